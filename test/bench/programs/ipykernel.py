"""Runs a line in a Jupyter kernel for each line that it is given, and says how many milliseconds the round trip took."""
import sys
import time

from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")


def execute(code):
    """As nbclient does: until the shell has replied and the kernel is idle again."""
    request = client.execute(code)
    while client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != request:
        pass
    while True:
        message = client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") == request and message["content"].get("execution_state") == "idle":
            return


try:
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        execute(line.rstrip("\n"))
        print((time.perf_counter() - start) * 1000, flush=True)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
