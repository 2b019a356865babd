"""Standard output and standard error of a Python kernel.

Both are what Python itself has there, so printing is as fast as it can be: text in front of a block buffer, which is
flushed when it is full, when the run ends, before another process is started, and every 20 ms while a run goes on.

Standard output gathers some text before it gives it to its buffer, as Python's own does, as long as only one thread of
the user's is there and nobody has asked for the buffer: otherwise it gives it at once, so that all stays in order.

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
# A block is written out when it is full, and text that comes meanwhile still fits.
ROOM = 2 * BLOCK
FLUSH_SECONDS = 0.02

accept = io.BufferedWriter.write

# Held by the thread that flushes: what it has taken of gathered text comes before what is gathered meanwhile.
ORDER = _thread.RLock()


class Plain:
    """`closed` as a plain attribute: it is asked for at each write, and a property takes half as long as the write.

    What is below was another file when these were made, and is always a pipe while code runs.
    """

    closed = False

    def seekable(self):
        return False

    def close(self):
        try:
            super().close()
        finally:
            self.closed = True


class Direct(Plain, io.BufferedWriter):
    """Everything written belongs to the current run."""


class Gathered(Plain, io.BufferedWriter):
    """Likewise, and what is written is text that was gathered: nothing else has it any more.

    So it is taken in before anything is waited for: an interrupt comes while the buffer is emptied, or after that, and is
    put off in `write` itself (`UNBROKEN`). Only a text that is larger than a block was not gathered.
    """

    filled = 0

    def write(self, data):
        size = memoryview(data).nbytes
        if size > BLOCK:
            return self.write_large(data)
        with ORDER:
            if self.filled + size > ROOM:
                # Interrupts have kept it from being emptied. There is room as soon as somebody reads.
                self.flush()
                self.filled = 0
            accept(self, data)
        self.filled += size
        if self.filled >= BLOCK:
            self.drain()
        if State.postponed:
            interrupt()
        return size

    def drain(self):
        try:
            self.flush()
        except BaseException:
            self.filled = max(self.filled, BLOCK)
            raise
        self.filled = 0

    def write_large(self, data):
        self.drain()
        self.filled = BLOCK
        return accept(self, data)


# What an interrupt must not break off: it sets `State.postponed` instead.
UNBROKEN = Gathered.write.__code__


def interrupt():
    State.postponed = False
    raise KeyboardInterrupt


class Selective(Plain, io.BufferedWriter):
    """Only what the current run writes gets through."""

    def write(self, data):
        if is_current():
            return super().write(data)
        return memoryview(data).nbytes


class Text(Plain, io.TextIOWrapper):
    """Text in front of a buffer, which it shares from when somebody asks for that."""

    is_shared = False

    @property
    def buffer(self):
        if not self.is_shared:
            self.is_shared = True
            self.pass_on()
        return super().buffer

    def gather(self):
        """From now on some text is gathered."""
        super().buffer.__class__ = Gathered
        self.reconfigure(write_through=False)

    def pass_on(self):
        """From now on text is in the buffer as soon as it is written."""
        self.reconfigure(write_through=True)
        buffer = super().buffer
        if type(buffer) is Gathered:
            buffer.__class__ = Direct

    def detach(self):
        self.pass_on()
        buffer = super().detach()
        self.closed = True
        return buffer


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
    """A text stream whose text is in the buffer in the order in which it, and bytes, were written."""
    raw = io.FileIO(fd, "w", closefd=False)
    raw.name = "<stdout>" if fd == 1 else "<stderr>"
    buffer = Selective(raw, ROOM)
    stream = Text(buffer, "utf-8", errors, newline="\n", line_buffering=line_buffering, write_through=True)
    stream.mode = "w"
    return stream, buffer


class Streams:
    def __init__(self):
        self.null = State.null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self.parked = _thread.allocate_lock()
        self.parked.acquire()
        self.is_parked = False
        self.started = False
        self.is_flushed = False
        self.has_others = False
        self.left = []
        self.start_thread = _thread.start_new_thread
        State.on_thread = self.pass_on
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

    def pass_on(self):
        """Text is no longer gathered: there is a second thread now, or the run is over."""
        try:
            if not self.out.write_through:
                self.out.pass_on()
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
        State.postponed = False
        RUN.set(run)
        self.switch(Direct if alone else Selective)
        if alone and not self.out.is_shared:
            self.out.gather()
        if not self.started:
            self.started = self.is_flushed = True
            self.start_thread(self.flush_often, ())
        elif self.is_parked:
            self.is_parked = False
            self.parked.release()

    def end(self):
        """The run is over: everything is flushed, and what comes now goes nowhere."""
        self.pass_on()
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
            with ORDER:
                self.flush()

    def before_fork(self):
        """The thread that flushes keeps out of the streams meanwhile.

        It could have the lock of one otherwise, which it gets without the interpreter's while another thread goes on: in the
        child nobody would ever give that back.
        """
        ORDER.acquire()
        self.flush()
        self.has_others = len(sys._current_frames()) > 1 + self.is_flushed

    def after_fork(self):
        """In both, by the same thread."""
        try:
            ORDER.release()
        except RuntimeError:
            # An interrupt came before it was had.
            pass

    def in_child(self):
        """After a fork: the child keeps the pipes of the run that made it, and nobody flushes for it."""
        self.started = True
        self.is_flushed = self.is_parked = False
        if self.has_others:
            self.replace()
        if not is_current():
            os.dup2(self.null, 1)
            os.dup2(self.null, 2)
        # In this order: the thread that holds the lock may be none of the child's.
        self.switch(Direct)
        self.pass_on()
        for stream in (self.out, self.err):
            try:
                stream.reconfigure(line_buffering=True)
            except (OSError, ValueError):
                pass

    def replace(self):
        """New streams in a child: threads of the user's may have had the locks of the old ones.

        Those are kept, for to end them takes their locks.
        """
        out, err = sys.stdout, sys.stderr
        old = self.out, self.err
        self.left.append(old)
        self.make()
        # Where the code has put something else there, it stays.
        if out is not old[0]:
            sys.stdout = out
        if err is not old[1]:
            sys.stderr = err
