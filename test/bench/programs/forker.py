"""Says that it is there, and evaluates each line of JSON that it is asked in a process of its own."""
import json
import os

os.write(1, b'{"ev": "ready"}\n')
while line := os.read(0, 65536):
    back, to = os.pipe()
    if os.fork() == 0:
        os.setsid()
        answer = {"ev": "done", "text": repr(eval(json.loads(line)["code"]))}
        os.write(to, json.dumps(answer).encode() + b"\n")
        os._exit(0)
    os.close(to)
    os.write(1, os.read(back, 65536))
    os.close(back)
