"""Processes: how they are started, marked, found again, and ended.

Whatever is started for a context or a command carries a mark: a soft RLIMIT_RTTIME. That limit concerns real-time
scheduling only, which a sandbox does not have, so it changes nothing; and it is inherited by fork and exec and can be
read by prlimit(2). So a daemon that has left its session and lost its parent is still known as a descendant.
"""
import _ctypes
import _signal as signal
import os
import resource

RTTIME = getattr(resource, "RLIMIT_RTTIME", 15)

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

# Python ignores the last two; the agent ignores the others. None of that is for the programs of the user.
DEFAULT_SIGNALS = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ
)


# The half of `ctypes` that is in C: whatever the agent does before it is ready needs this one function.
_prctl = _ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), "prctl")


def prctl(option, value):
    _ctypes.call_function(_prctl, (option, value, 0, 0, 0))


def close_from(first):
    """Closes every descriptor from `first` on."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= first:
            try:
                os.close(int(name))
            except OSError:
                pass


def status(code):
    """`exitCode` and `signal` of a wait status."""
    if os.WIFSIGNALED(code):
        number = os.WTERMSIG(code)
        from signal import Signals  # it takes as long as all that is imported here
        try:
            name = Signals(number).name
        except ValueError:
            name = "SIG%d" % number
        return {"exitCode": None, "signal": name}
    return {"exitCode": os.WEXITSTATUS(code), "signal": None}


def find_program(name, env):
    """The path of a program by the PATH of `env`, or None."""
    for folder in env.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":"):
        path = os.path.join(folder or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


class Marks:
    """Gives out marks; `current` is set around a start so that the child inherits it."""

    def __init__(self):
        # The process id keeps apart the marks of two agents that see the same processes.
        self.base = (1 << 60) | (os.getpid() << 24)
        self.last = 0
        self.own = resource.getrlimit(RTTIME)

    def next(self):
        self.last += 1
        return self.base | self.last

    def wear(self, mark):
        resource.setrlimit(RTTIME, (mark, self.own[1]))

    def drop(self):
        resource.setrlimit(RTTIME, self.own)


class OomScore:
    """Makes the kernel end the user's processes before the agent when memory runs out.

    The file is opened while the agent is still dumpable: afterwards it belongs to root.
    """

    def __init__(self):
        try:
            self.fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self.own = int(os.read(self.fd, 16))
        except (OSError, ValueError):
            self.fd = -1

    def _write(self, value):
        if self.fd >= 0:
            try:
                os.pwrite(self.fd, b"%d" % value, 0)
            except OSError:
                pass

    def raised(self):
        self._write(min(1000, self.own + 500) if self.fd >= 0 else 0)

    def restored(self):
        self._write(self.own if self.fd >= 0 else 0)


def _stat(pid):
    """`(state, parent)` of a process, or None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb", buffering=0) as file:
            text = file.read(1024)
    except OSError:
        return None
    # The name in parentheses can hold anything, parentheses too.
    fields = text[text.rfind(b")") + 2:].split()
    return fields[0], int(fields[1])


def find(matches, roots=()):
    """The living processes whose mark `matches`, and all that descends from these and from `roots`."""
    me = os.getpid()
    children = {}
    found = set()
    alive = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        if pid == me:
            continue
        known = _stat(pid)
        if known is None or known[0] in (b"Z", b"X"):
            continue
        alive.add(pid)
        children.setdefault(known[1], []).append(pid)
        try:
            if matches(resource.prlimit(pid, RTTIME)[0]):
                found.add(pid)
        except (OSError, ValueError):
            pass
    found.update(pid for pid in roots if pid in alive)
    pending = list(found) + [pid for pid in roots if pid not in alive]
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found.add(child)
                pending.append(child)
    return found


def kill_all(matches, roots=()):
    """SIGKILL to all of them, repeated until no new one is seen.

    Each is forbidden to fork before it is killed, so that a program that forks faster than it is found is still ended.
    """
    killed = set()
    while True:
        found = find(matches, roots) - killed
        if not found:
            return
        for pid in found:
            try:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
            except (OSError, ValueError):
                pass
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        killed |= found


def kill_group(pid, number):
    try:
        os.killpg(pid, number)
    except OSError:
        pass
