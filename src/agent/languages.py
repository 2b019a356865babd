"""The interpreters: how each is started, and what is particular to it."""
import os

from .contexts import Context
from .framing import head
from .runs import make_pipe
from .shells import BashContext


class BecomeKernel(BaseException):
    """Raised in a forked child: it leaves the agent's frames behind and becomes a Python kernel."""

    def __init__(self, control, env, cwd):
        super().__init__()
        self.control = control
        self.env = env
        self.cwd = cwd


class PythonContext(Context):
    """A fork of the agent. It gets the write ends of its runs' pipes over the socket, not by name."""

    rehearsal = b"print(0)\n0"

    def start(self, theirs):
        from . import kernel  # once, before the first fork, for all of them

        kernel.share()
        agent = self.agent
        if agent.forks:
            kernel.share_rest()
        agent.forks += 1
        agent.marks.wear(self.mark)
        agent.score.raised()
        try:
            pid = os.fork()
            if pid == 0:
                raise BecomeKernel(theirs.detach(), self.env, agent.real(self.cwd))
            self.pid = pid
        finally:
            if os.getpid() == agent.pid:
                agent.score.restored()
                agent.marks.drop()

    def begin(self, header, code):
        opened = []
        try:
            for _ in (1, 2):
                opened.extend(make_pipe())
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        self.started(header, {1: opened[0], 2: opened[2]}, ())
        message = {"op": header["op"], "run": header["run"], "count": self.count, "env": header.get("env") or {}}
        self.post(head(message, len(code)) + code, (opened[1], opened[3]))


class NodeContext(Context):
    """JavaScript and TypeScript: a node of its own, and a pipe to interrupt what signals do not reach."""

    def start(self, theirs):
        node = self.program("node")
        env = dict(self.env, SANDBOX_LANGUAGE=self.language)
        reader, self.bell = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.bell, False)
        try:
            control = self.above(theirs.fileno())
            interrupt = self.above(reader)
            try:
                self.exec(
                    # An interrupt in a timer would make Node 24 abort, over its stack of async ids.
                    [node, "--no-force-async-hooks-checks", os.path.join(self.agent.folder, "kernel.cjs")],
                    env,
                    [
                        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_DUP2, control, 3),
                        (os.POSIX_SPAWN_DUP2, interrupt, 4)
                    ]
                )
            finally:
                os.close(control)
                os.close(interrupt)
        except BaseException:
            os.close(self.bell)
            raise
        finally:
            os.close(reader)

    def signal_interrupt(self):
        try:
            # With its number, so that it cannot hit the next run if this one ends meanwhile.
            os.write(self.bell, b"%d\n" % self.current.number)
        except OSError:
            pass
        super().signal_interrupt()

    def exited(self, code):
        os.close(self.bell)
        super().exited(code)


def make_context(language):
    if language == "python":
        return PythonContext
    if language == "bash":
        return BashContext
    if language in ("javascript", "typescript"):
        return NodeContext
    return None
