"""Runs: the two pipes of each, or its terminal, read under credit, and the order of what is said about it."""
import errno
import fcntl
import os
import struct
import termios
import time

from .framing import head
from .loop import READ
from .terminals import TERMINAL_BUFFER, is_terminal_end

CHUNK = 256 * 1024
PIPE_SIZE = 1024 * 1024
F_SETPIPE_SZ = 1031

# The number of runs that the engine does not hear of; its own begin with 1.
REHEARSAL = 0
TAIL = 8192


def grow(fd):
    """A large pipe saves switches between processes; a user's allowance of pipe memory may forbid it."""
    try:
        fcntl.fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass


def make_pipe():
    """A pipe for output: `(read end that does not block, write end)`."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    grow(reader)
    return reader, writer


def make_fifo(path):
    """A FIFO for output: its read end."""
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    grow(reader)
    return reader


def read_output(fd, most):
    """What a pipe or a terminal has, at most so many bytes: none at its end. Raises BlockingIOError when it is empty."""
    try:
        return os.read(fd, most)
    except OSError as error:
        if is_terminal_end(error):
            return b""
        raise


def available(fd):
    """How many bytes wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]


class Run:
    """One execution. `sources` are the read ends of its standard output and standard error; with `merge`, only the first.

    A barrier holds back everything else that is to be said of the run until the bytes which were in the pipes when it
    was set have been sent: that keeps results, errors and the end in order with the output.
    """

    def __init__(self, agent, number, credit, sources, terminal=False):
        self.agent = agent
        self.terminal = terminal
        self.number = number
        self.credit = credit
        self.sources = dict(sources)
        self.remaining = None
        self.then = None
        self.paid = False
        self.abandoned = False
        self.ended = False
        self.started = time.monotonic_ns()
        self.tail = None
        agent.runs[number] = self
        for stream in self.sources:
            self.watch(stream)

    def keep_tail(self):
        """Remembers the end of standard error, for the reason of a death."""
        self.tail = b""

    def duration(self):
        return (time.monotonic_ns() - self.started) // 1000

    def say(self, header, blob=b""):
        header["run"] = self.number
        self.agent.link.send(header, blob)

    def allow(self, count):
        self.credit += count
        self.pump()

    def watch(self, stream):
        fd = self.sources.get(stream)
        if fd is None:
            return
        wanted = self.credit > 0 and not self.agent.link.congested
        if self.remaining is not None and not self.remaining.get(stream):
            wanted = False
        if wanted:
            self.agent.loop.watch(fd, READ, lambda events: self.read(stream))
        else:
            self.agent.loop.unwatch(fd)

    def read(self, stream):
        """The pipe is ready: sends one piece of it."""
        if stream not in self.sources or self.credit <= 0 or self.agent.link.congested:
            self.watch(stream)
        elif self.remaining is not None:
            self.pump()
        else:
            self.take(stream, CHUNK)
            if self.credit <= 0 or self.agent.link.congested:
                for each in self.sources:
                    self.watch(each)

    def take(self, stream, most):
        """Reads and sends at most so many bytes; False when there are none now."""
        fd = self.sources.get(stream)
        if fd is None:
            return False
        try:
            data = read_output(fd, min(self.credit, CHUNK, most))
        except BlockingIOError:
            return False
        if not data:
            self.close(stream)
            return False
        self.credit -= len(data)
        if self.remaining is not None:
            self.remaining[stream] -= len(data)
        if self.tail is not None and stream == 2:
            self.tail = (self.tail + data)[-TAIL:]
        self.say({"ev": "output", "fd": stream}, data)
        return True

    def close(self, stream):
        fd = self.sources.pop(stream)
        self.agent.loop.unwatch(fd)
        os.close(fd)

    def spend(self, count):
        """Takes credit for something that is no output: there must be some, though it may be less. False without any."""
        if self.credit <= 0:
            return False
        self.credit -= count
        return True

    def after_output(self, then, paid=False):
        """Calls `then` once all that is in the pipes at this moment has been sent; when `paid`, also not without credit."""
        self.then = then
        self.paid = paid
        # Of a terminal the kernel tells a part only, but a read comes after all of it.
        self.remaining = {
            stream: TERMINAL_BUFFER if self.terminal else available(fd) for stream, fd in self.sources.items()
        }
        self.pump()

    def pump(self):
        """Goes on with what a lack of credit, or a long queue, had stopped."""
        if self.remaining is not None:
            remaining = self.remaining
            for stream in (1, 2):
                while remaining.get(stream) and self.remaining is remaining:
                    if self.abandoned and self.credit <= 0:
                        remaining[stream] = 0
                    elif self.credit <= 0 or self.agent.link.congested and not self.abandoned:
                        break
                    elif not self.take(stream, remaining[stream]):
                        # Gone: whoever holds the write end can read it too, by way of /proc.
                        remaining[stream] = 0
            affordable = not self.paid or self.credit > 0 or self.abandoned
            if self.remaining is remaining and not any(remaining.values()) and affordable:
                then = self.then
                self.remaining = self.then = None
                then()
        if not self.ended:
            for stream in tuple(self.sources):
                self.watch(stream)

    def abandon(self):
        """The engine gave the run up: what there is no credit for is not waited for."""
        self.abandoned = True
        self.pump()

    def end(self, header, blob=b""):
        """Sends the one terminal message; from now on the pipes are only emptied."""
        self.ended = True
        self.agent.runs.pop(self.number, None)
        self.say(header, blob)
        for fd in self.sources.values():
            self.agent.loop.unwatch(fd)
            Sink(self.agent.loop, fd)
        self.sources.clear()


class Rehearsal(Run):
    """A run that nobody hears of, and does all else that one does."""

    def say(self, header, blob=b""):
        header["run"] = self.number
        head(header, len(blob))


class Sink:
    """Reads a pipe until nobody can write to it any more, and keeps only the end of it."""

    def __init__(self, loop, fd, keep=0):
        self.loop = loop
        self.fd = fd
        self.keep = keep
        self.tail = b""
        # Mostly there is nobody left who writes.
        self.read()
        if self.fd >= 0:
            loop.watch(fd, READ, self.read)

    def read(self, events=0):
        try:
            data = read_output(self.fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        if self.keep:
            self.tail = (self.tail + data)[-self.keep:]
        return True

    def close(self):
        if self.fd >= 0:
            self.loop.unwatch(self.fd)
            os.close(self.fd)
            self.fd = -1


def start_failure(error, what):
    """The failure of something that could not be started, in words."""
    code = "start_failed"
    if error.errno == errno.EAGAIN:
        code = "quota_exceeded"
        reason = "the sandbox has as many processes as it may have (resources.processes)"
    elif error.errno == errno.EMFILE:
        code = "quota_exceeded"
        reason = "the sandbox has as many files and pipes open as it may have (resources.openFiles)"
    elif error.errno == errno.ENOMEM:
        reason = "there is not enough memory (resources.memoryMb)"
    elif error.errno == errno.ENOSPC:
        reason = "the private folder of the agent is full"
    else:
        reason = os.strerror(error.errno) if error.errno else str(error)
    return {"code": code, "message": "%s could not be started: %s." % (what, reason)}
