"""The Python kernel: a fork of the agent that runs code and keeps its state."""
import _signal as signal
import _socket
import _thread
import builtins
import errno
import gc
import os
import select
import struct
import sys

from . import attribution, processes
from .display import Display
from .evaluate import Evaluator
from .figures import PYPLOT, Figures
from .framing import LENGTHS, dump, head, load
from .imports import add_site, extend_path, extend_user_site, notice, prefer_library
from .streams import UNBROKEN, Streams, no_input

CONTROL = 3
RIGHT = struct.Struct("i")
# More than it takes to import what describes errors.
ROOM = 4 * 1024 * 1024
KEPT_ENV = {"MPLBACKEND": "agg"}


class Interrupts:
    """SIGINT raises KeyboardInterrupt while the user's code runs, and never in the middle of a message."""

    def __init__(self):
        self.armed = False
        self.shields = 0
        self.pending = False

    def handle(self, number, frame):
        if not self.armed:
            return
        if self.shields:
            self.pending = True
            return
        if frame is not None and frame.f_code is UNBROKEN:
            attribution.State.postponed = True
            return
        attribution.State.postponed = False
        raise KeyboardInterrupt

    def install(self):
        signal.signal(signal.SIGINT, self.handle)

    def shield(self):
        self.shields += 1

    def unshield(self):
        self.shields -= 1
        if self.pending and not self.shields:
            self.pending = False
            if self.armed:
                raise KeyboardInterrupt


class Control:
    """The socket to the agent. A message that an interrupt cut in two is completed by the next one."""

    def __init__(self, fd, interrupts):
        self.socket = _socket.socket(fileno=fd)
        self.socket.setblocking(False)
        self.interrupts = interrupts
        self.outgoing = bytearray()
        self.incoming = bytearray()
        self.rights = []
        # Kept open for the descriptors of the next run: code may use up all others, and still be run again.
        self.reserve = []
        self.keep_reserve()
        self.lock = None
        self.ticket = 0
        self.write_poll = select.poll()
        self.write_poll.register(fd, select.POLLOUT)
        self.read_poll = select.poll()
        self.read_poll.register(fd, select.POLLIN)

    def send(self, header, blob=b""):
        self.keep(header, blob)
        self.flush()

    def keep(self, header, blob=b""):
        """Sends together with what is sent next."""
        self.interrupts.shield()
        try:
            self.outgoing += head(header, len(blob))
            self.outgoing += blob
        finally:
            self.interrupts.unshield()

    def flush(self):
        while self.outgoing:
            blocked = False
            self.interrupts.shield()
            try:
                with memoryview(self.outgoing) as view:
                    sent = self.socket.send(view)
                del self.outgoing[:sent]
            except BlockingIOError:
                blocked = True
            finally:
                self.interrupts.unshield()
            if blocked:
                self.write_poll.poll()

    def send_in_order(self, header, blob):
        """Sends, and waits until the agent has taken note of the output before it."""
        self.ticket += 1
        ticket = self.ticket
        self.send(dict(header, sync=ticket), blob)
        while True:
            answer, _ = self.receive()
            if answer.get("op") == "continue" and answer.get("sync") == ticket:
                return

    def receive(self):
        """The next message. Descriptors that came along are in `rights`."""
        buffer = self.incoming
        while True:
            self.interrupts.shield()
            try:
                if len(buffer) >= 8:
                    header_length, blob_length = LENGTHS.unpack_from(buffer)
                    end = 8 + header_length + blob_length
                    if len(buffer) >= end:
                        header = load(buffer[8:8 + header_length].decode("utf-8"))
                        blob = bytes(buffer[8 + header_length:end])
                        del buffer[:end]
                        return header, blob
                received = self.receive_some()
            finally:
                self.interrupts.unshield()
            if not received:
                self.read_poll.poll()

    def keep_reserve(self):
        try:
            while len(self.reserve) < 2:
                self.reserve.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            pass

    def give_reserve(self):
        while self.reserve:
            try:
                os.close(self.reserve.pop())
            except OSError:
                pass

    def receive_some(self):
        self.give_reserve()
        try:
            data, ancillary, _, _ = self.socket.recvmsg(256 * 1024, 256, _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            self.keep_reserve()
            return False
        if not data:
            os._exit(0)
        for level, kind, content in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                whole = len(content) - len(content) % RIGHT.size
                self.rights.extend(number for number, in RIGHT.iter_unpack(content[:whole]))
        if not self.rights:
            self.keep_reserve()
        self.incoming += data
        return True


class Kernel:
    def __init__(self):
        self.pid = os.getpid()
        self.interrupts = Interrupts()
        self.control = Control(CONTROL, self.interrupts)
        self.streams = Streams()
        self.main = type(sys)("__main__")
        self.main.__dict__["__builtins__"] = builtins
        self.main.__dict__["__annotations__"] = {}
        sys.modules["__main__"] = self.main
        self.evaluator = Evaluator(self.main.__dict__)
        self.figures = Figures()
        self.display = Display(self.figures)
        self.run = None
        # Nothing is ever written to it, so that it takes none of the machine's.
        self.room = bytes(ROOM)
        self.prepare()

    def prepare(self):
        builtins.input = no_input
        builtins.display = self.show
        self.interrupts.install()
        attribution.install()
        sys.addaudithook(self.audit)
        os.register_at_fork(
            before=self.streams.before_fork, after_in_parent=self.streams.after_fork, after_in_child=self.in_child
        )
        self.figures.show_figure = self.show_figure
        notice({PYPLOT: self.figures.loaded, "linecache": self.evaluator.restore_sources})
        extend_path()

    def audit(self, event, arguments):
        if event in FLUSH_BEFORE and self.run is not None and os.getpid() == self.pid:
            self.streams.flush()

    def in_child(self):
        """A fork of the user's: it has nothing to say to the agent, and prints to its own run."""
        self.streams.after_fork()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.streams.in_child()
        try:
            self.control.socket.close()
        except OSError:
            pass

    # Messages

    def show(self, *values):
        """`display(value, …)`: shows values on the way, in every representation that they offer."""
        for value in values:
            self.send_result(self.display.result(value, False))

    def show_figure(self, figure):
        self.send_result(self.display.figure_result(figure, False))

    def send_result(self, result, wait=True):
        run = attribution.RUN.get()
        if os.getpid() != self.pid:
            print(result.get("text", ""))
            return
        number = self.run
        if number is None or run not in (None, number):
            return
        self.streams.flush()
        header = {"ev": "result", "run": number}
        blob = dump(result).encode("ascii")
        with self.control_lock:
            # The run may have ended while this thread was at it.
            if self.run != number:
                return
            # Only the main thread reads answers: another one could take the next run for its own.
            if wait and _thread.get_ident() == self.main_thread:
                self.control.send_in_order(header, blob)
            elif wait:
                self.control.send(header, blob)
            else:
                # The last one of a run: what comes next is at its end.
                self.control.keep(header, blob)

    # Runs

    def serve(self):
        self.control_lock = _thread.RLock()
        self.main_thread = _thread.get_ident()
        self.control.send({"ev": "ready"})
        self.warm_up()
        while True:
            header, blob = self.control.receive()
            op = header.get("op")
            if op == "run":
                self.execute(header, blob)
            elif op == "rehearse":
                self.rehearse(header, blob)
            elif op == "wake":
                self.warm_up()

    def warm_up(self):
        """Does what a run does, while nobody waits: from the first time on, its memory is this process' own."""
        evaluator = Evaluator({"__builtins__": builtins})
        dump(self.display.result(evaluator.run("0", 0), True))
        evaluator.forget()
        extend_user_site()
        attribution.patch_imported()
        self.figures.open_figures()

    def rehearse(self, header, blob):
        """A run like others, of which nothing is left that code could find."""
        self.execute(header, blob)
        attribution.RUN.set(None)
        builtins.__dict__.pop("_", None)
        self.evaluator.forget()

    def execute(self, header, blob):
        number = header["run"]
        rights = self.control.rights[:2]
        del self.control.rights[:2]
        if len(rights) < 2:
            # A thread of the code was faster.
            for fd in rights:
                os.close(fd)
            self.refuse(number)
            return
        attribution.patch_imported()
        extend_user_site()
        previous = set_environment(header["env"])
        alone = not attribution.leftovers(number) and not self.evaluator.pending()
        self.streams.begin(number, *rights, alone)
        self.control.keep_reserve()
        self.interrupts.install()
        self.interrupts.pending = False
        self.run = number
        error = None
        try:
            self.interrupts.armed = True
            self.evaluate(header["count"], blob)
            self.interrupts.armed = False
        except BaseException as raised:
            error = self.explain(raised)
        self.interrupts.armed = False
        self.leave_child(error)
        self.figures.close()
        self.streams.end()
        restore_environment(previous)
        with self.control_lock:
            self.run = None
            if error is not None:
                self.control.send({"ev": "error", "run": number}, dump(error).encode("ascii"))
            self.control.send({"ev": "done", "run": number})

    def refuse(self, number):
        text = "[Errno %d] %s: none is left for the output of the run" % (errno.EMFILE, os.strerror(errno.EMFILE))
        error = {"name": "OSError", "value": text, "traceback": "OSError: " + text + "\n"}
        self.control.send({"ev": "error", "run": number}, dump(error).encode("ascii"))
        self.control.send({"ev": "done", "run": number})

    def evaluate(self, count, blob):
        value = self.evaluator.run(blob.decode("utf-8"), count)
        if os.getpid() != self.pid:
            return
        shown = None
        if value is not None:
            builtins._ = value
            if self.figures.is_figure(value):
                shown = value
                self.send_result(self.display.figure_result(value, True), False)
            else:
                self.send_result(self.display.result(value, True), False)
        for figure in self.figures.open_figures():
            if figure is not shown:
                self.show_figure(figure)

    def explain(self, raised):
        """The error as it is reported. What the user's classes do on the way can be interrupted too."""
        try:
            describe = self.describer()
            self.interrupts.armed = True
            try:
                return describe(raised, self.evaluator)
            finally:
                self.interrupts.armed = False
        except BaseException:
            name = type(raised).__name__
            return {"name": name, "value": "", "traceback": name + ": (its message could not be made)\n"}

    def describer(self):
        """What describes errors. It takes as long to import as all that an interpreter starts with, so the first error does that."""
        # Code may have left neither memory nor descriptors, and is told so by this.
        self.room = None
        self.control.give_reserve()
        try:
            from .tracebacks import describe_error
            return describe_error
        finally:
            self.control.keep_reserve()

    def leave_child(self, error):
        """Ends a process that the user's code forked and that came back here instead of ending itself."""
        if os.getpid() == self.pid:
            return
        if error is not None and error["name"] != "SystemExit":
            sys.stderr.write(error["traceback"])
        self.streams.flush()
        os._exit(0 if error is None or error["name"] == "SystemExit" and error["value"] in ("", "0") else 1)


FLUSH_BEFORE = frozenset(
    ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.spawn", "pty.spawn")
)


def set_environment(env):
    """Sets the variables of a run; gives what they were."""
    previous = {}
    for name, value in env.items():
        previous[name] = os.environ.get(name)
        os.environ[name] = value
    return previous


def restore_environment(previous):
    for name, value in previous.items():
        try:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        except Exception:
            pass


_begun = False


def share():
    """Does in the agent, once, what all interpreters begin with."""
    global _begun
    if not _begun:
        _begun = True
        prefer_library()
        add_site()


def share_rest():
    """Imports what an interpreter imports at its first error, so that all that are forked from now on share it."""
    from . import tracebacks  # noqa: F401


def start(control, env, cwd):
    """Turns a fresh fork of the agent into a kernel. Does not return."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in processes.DEFAULT_SIGNALS[:5] + (signal.SIGTSTP,):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.prctl(processes.PR_SET_DUMPABLE, 1)
        processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 0)
        null = os.open(os.devnull, os.O_RDWR)
        diagnostics = os.dup(2)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        control = os.dup(control) if control == CONTROL else control
        os.dup2(control, CONTROL, inheritable=False)
        os.dup2(diagnostics, 4, inheritable=False)
        processes.close_from(5)
        os.environ.clear()
        os.environ.update(env)
        for name, value in KEPT_ENV.items():
            os.environ.setdefault(name, value)
        os.chdir(cwd)
        gc.enable()
        kernel = Kernel()
        os.close(4)
    except BaseException:
        import traceback
        os.write(4, traceback.format_exc().encode("utf-8", "replace"))
        os._exit(70)
    kernel.serve()


