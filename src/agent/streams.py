"""Standard output and standard error of a Python kernel.

Both are what Python itself has there, so printing is as fast as it can be: text in front of a block buffer, which is
flushed when it is full, when the run ends, before another process is started, and every 20 ms while a run goes on.

While something of an earlier run is alive, the buffer's class is replaced by one that looks who writes: what is not
from the current run is thrown away, as its own run is over.
"""
import _thread
import io
import os
import sys
import time

from .attribution import RUN, State, is_current

BLOCK = 64 * 1024
FLUSH_SECONDS = 0.02


class Direct(io.BufferedWriter):
    """Everything written belongs to the current run."""


class Selective(io.BufferedWriter):
    """Only what the current run writes gets through."""

    def write(self, data):
        if is_current():
            return super().write(data)
        return memoryview(data).nbytes


class NoInput(io.TextIOBase):
    """Standard input: there is nobody to type."""

    name = "<stdin>"
    encoding = "utf-8"
    errors = "strict"
    mode = "r"

    def _refuse(self, *arguments):
        raise EOFError(NO_INPUT)

    read = readline = readlines = __next__ = _refuse

    def __iter__(self):
        return self

    def readable(self):
        return True

    def fileno(self):
        return 0

    def isatty(self):
        return False

    @property
    def buffer(self):
        return self


NO_INPUT = "input is not available: code in a sandbox cannot read from the keyboard. Pass the value in the code instead."


def no_input(prompt=""):
    """Stands for the builtin `input`."""
    raise EOFError(NO_INPUT)


def open_stream(fd, errors, line_buffering):
    """A text stream whose text is always in the buffer in the order in which it, and bytes, were written."""
    raw = io.FileIO(fd, "w", closefd=False)
    raw.name = "<stdout>" if fd == 1 else "<stderr>"
    buffer = Selective(raw, BLOCK)
    stream = io.TextIOWrapper(
        buffer, "utf-8", errors, newline="\n", line_buffering=line_buffering, write_through=True
    )
    stream.mode = "w"
    return stream, buffer


class Streams:
    def __init__(self):
        self.null = State.null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self.parked = _thread.allocate_lock()
        self.parked.acquire()
        self.is_parked = False
        self.started = False
        self.start_thread = _thread.start_new_thread
        self.make()
        sys.stdin = sys.__stdin__ = NoInput()

    def make(self):
        self.out, self.out_buffer = open_stream(1, "surrogateescape", False)
        self.err, self.err_buffer = open_stream(2, "backslashreplace", True)
        sys.stdout = sys.__stdout__ = self.out
        sys.stderr = sys.__stderr__ = self.err

    def flush(self):
        for stream in (self.out, self.err):
            try:
                stream.flush()
            except (OSError, ValueError, RuntimeError):
                pass

    def switch(self, kind):
        self.out_buffer.__class__ = kind
        self.err_buffer.__class__ = kind

    def begin(self, run, out_fd, err_fd, alone):
        """Points both streams at a run. `alone`: nothing of an earlier run is alive."""
        # What somebody wrote after the last run goes where its output went.
        self.flush()
        if self.out.closed or self.err.closed or self.out_buffer.closed or self.err_buffer.closed:
            self.make()
        os.dup2(out_fd, 1)
        os.dup2(err_fd, 2)
        os.close(out_fd)
        os.close(err_fd)
        State.run = run
        RUN.set(run)
        self.switch(Direct if alone else Selective)
        if not self.started:
            self.started = True
            self.start_thread(self.flush_often, ())
        elif self.is_parked:
            self.is_parked = False
            self.parked.release()

    def end(self):
        """The run is over: everything is flushed, and what comes now goes nowhere."""
        self.flush()
        self.switch(Selective)
        State.run = None
        self.flush()
        os.dup2(self.null, 1)
        os.dup2(self.null, 2)

    def flush_often(self):
        """The thread that flushes. It sleeps without waking while there is no run."""
        sleep = time.sleep
        while True:
            sleep(FLUSH_SECONDS)
            if State.run is None:
                self.is_parked = True
                self.parked.acquire()
                continue
            self.flush()

    def in_child(self):
        """After a fork: the child keeps the pipes of the run that made it, and nobody flushes for it."""
        self.started = True
        self.is_parked = False
        if not is_current():
            os.dup2(self.null, 1)
            os.dup2(self.null, 2)
        self.switch(Direct)
        for stream in (self.out, self.err):
            try:
                stream.reconfigure(line_buffering=True)
            except (OSError, ValueError):
                pass
