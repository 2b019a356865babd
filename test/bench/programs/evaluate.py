"""Evaluates what it is asked, a line of JSON each, and does nothing else."""
import json
import os

while line := os.read(0, 65536):
    answer = {"ev": "done", "text": repr(eval(json.loads(line)["code"]))}
    os.write(1, json.dumps(answer).encode() + b"\n")
