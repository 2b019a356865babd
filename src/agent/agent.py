"""The agent of a sandbox: it starts interpreters and commands, carries their output, and works on files.

It is started as `python3 -I -S agent.py`, speaks the frames of `framing` on descriptor 3, and ends when that is closed,
taking everything that it started along. With `--stdio` it speaks them on its standard input and output instead, which are
then out of reach for all that it starts. With `--no-python` it runs by a Python that is not the sandbox's, and code in
Python is refused. With `--kernel-soon` it makes ready for code in Python before that is asked for.

Somebody waits for each millisecond of its start. So its modules use `_socket`, `_signal`, `_json`, `_collections`, `_ctypes`
and `_ast`, which are written in C, where these have all that is needed: `socket`, `signal` and `json` each take longer to import
than all modules of the agent. What `ready` and the first code do not need is imported when it is asked for (`files.py`,
`egress.py`, `tracebacks.py`); so is what `site` does, which `-S` leaves out (`imports.py`).
"""
import gc

# Nothing of what is imported is garbage; the loop begins with it enabled.
gc.disable()

import os  # noqa: E402
import sys  # noqa: E402

FOLDER = os.path.dirname(os.path.abspath(__file__))

# The modules beside this file, under one name that no program of a user has: nothing is added to the search path.
package = type(sys)("sandbox_agent")
package.__path__ = [FOLDER]
sys.modules["sandbox_agent"] = package

from sandbox_agent.framing import FramingError  # noqa: E402
from sandbox_agent.languages import BecomeKernel  # noqa: E402
from sandbox_agent.main import main  # noqa: E402

if __name__ == "__main__":
    try:
        main(FOLDER)
    except BecomeKernel as become:
        kernel_arguments = (become.control, become.env, become.cwd)
        # What is left of the agent here must never be collected: its descriptors' numbers will mean something else.
        gc.freeze()
    except FramingError as error:
        print("agent: %s" % error, file=sys.stderr)
        os._exit(1)
    from sandbox_agent.kernel import start
    start(*kernel_arguments)
