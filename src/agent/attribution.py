"""Which run a piece of code belongs to, however late it runs.

A run is known by its number in a context variable. A thread has that of the code that started it, a task of asyncio
copies its context when it is made, and work given to a pool of threads has that of the code that gave it.
"""
import _thread
import contextvars
import os
import sys

RUN = contextvars.ContextVar("sandbox_run", default=None)


class State:
    """`run` is the number of the run that goes on, `null` a descriptor that swallows what is written to it.

    `on_thread` is called before code starts a thread. `postponed`: an interrupt waits until text is in its buffer.
    """

    run = None
    null = -1
    on_thread = None
    postponed = False


def is_current():
    """Whether the code that asks belongs to the run that goes on. What has no number was not started by Python."""
    run = RUN.get()
    return State.run is not None and (run is None or run == State.run)


# How many threads each run has started that are still alive.
living = {}
_lock = _thread.allocate_lock()
_patched = set()


def _count(run):
    """A thread of that run is about to start."""
    State.on_thread()
    with _lock:
        living[run] = living.get(run, 0) + 1


def _adopt(run, function, arguments, keywords):
    RUN.set(run)
    try:
        function(*arguments, **keywords)
    finally:
        with _lock:
            living[run] -= 1
            if not living[run]:
                del living[run]


def _named_like(original):
    """`functools.wraps`, whose module takes longer to import than all of an interpreter's own."""

    def name(wrapper):
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(wrapper, attribute, getattr(original, attribute, None))
        wrapper.__wrapped__ = original
        return wrapper

    return name


def _wrap_starter(original):
    @_named_like(original)
    def start(function, arguments=(), *rest, **keywords):
        run = RUN.get()
        if run is None:
            return original(function, arguments, *rest, **keywords)
        _count(run)
        try:
            if "args" in keywords or not isinstance(arguments, tuple):
                raise TypeError("the arguments of a thread must be a tuple")
            kwargs = {}
            if rest and isinstance(rest[0], dict):
                kwargs, rest = rest[0], rest[1:]
            return original(_adopt, (run, function, arguments, kwargs), *rest, **keywords)
        except BaseException:
            with _lock:
                living[run] -= 1
                if not living[run]:
                    del living[run]
            raise

    return start


def _wrap_joinable(original):
    @_named_like(original)
    def start(function, *rest, **keywords):
        run = RUN.get()
        if run is None:
            return original(function, *rest, **keywords)
        _count(run)
        try:
            return original(lambda: _adopt(run, function, (), {}), *rest, **keywords)
        except BaseException:
            with _lock:
                living[run] -= 1
                if not living[run]:
                    del living[run]
            raise

    return start


def install():
    """Makes every way to start a thread remember the run. `threading` takes its own from `_thread` when it is imported."""
    threading = sys.modules.get("threading")
    os.system = _wrap_system(os.system)
    starter = _wrap_starter(_thread.start_new_thread)
    _thread.start_new_thread = _thread.start_new = starter
    if hasattr(threading, "_start_new_thread"):
        threading._start_new_thread = starter
    if hasattr(_thread, "start_joinable_thread"):
        joinable = _wrap_joinable(_thread.start_joinable_thread)
        _thread.start_joinable_thread = joinable
        if hasattr(threading, "_start_joinable_thread"):
            threading._start_joinable_thread = joinable


def _in_run(run, function, arguments, keywords):
    token = RUN.set(run)
    try:
        return function(*arguments, **keywords)
    finally:
        RUN.reset(token)


def patch_imported():
    """Patches what the user's code has imported by now; called before each run.

    What is used in the run that imports it needs no patch yet: it belongs to that run anyway.
    """
    pools = sys.modules.get("concurrent.futures.thread")
    if "pools" not in _patched and hasattr(pools, "ThreadPoolExecutor"):
        _patched.add("pools")
        pools.ThreadPoolExecutor.submit = _wrap_submit(pools.ThreadPoolExecutor.submit)
    subprocess = sys.modules.get("subprocess")
    if "subprocess" not in _patched and hasattr(getattr(subprocess, "Popen", None), "_get_handles"):
        _patched.add("subprocess")
        subprocess.Popen._get_handles = _wrap_handles(subprocess.Popen._get_handles)


def _wrap_submit(submit):
    @_named_like(submit)
    def submit_in_run(self, function, /, *arguments, **keywords):
        run = RUN.get()
        if run is None:
            return submit(self, function, *arguments, **keywords)
        return submit(self, _in_run, run, function, arguments, keywords)

    return submit_in_run


def _wrap_handles(get_handles):
    """A process that is started by what is left of an earlier run must not inherit the streams of this one."""

    @_named_like(get_handles)
    def get_handles_of_run(self, stdin, stdout, stderr):
        handles = get_handles(self, stdin, stdout, stderr)
        if is_current():
            return handles
        stdin_read, stdin_write, out_read, out_write, err_read, err_write = handles
        if out_write == -1:
            out_write = State.null
        if err_write == -1:
            err_write = State.null
        return stdin_read, stdin_write, out_read, out_write, err_read, err_write

    return get_handles_of_run


def _wrap_system(system):
    @_named_like(system)
    def system_of_run(command):
        if is_current():
            return system(command)
        import subprocess
        patch_imported()
        code = subprocess.call(command, shell=True)
        return -code if code < 0 else code << 8

    return system_of_run


def leftovers(run):
    """Whether threads of other runs than this are alive."""
    with _lock:
        return any(other != run for other in living)
