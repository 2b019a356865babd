"""The bash kernel, seen from the agent: an interactive bash that is fed one run at a time."""
import _signal as signal
import _socket
import os

from .contexts import Context
from .framing import FramingError
from .processes import kill_group

LONGEST_LINE = 64


class LineDecoder:
    """The lines that kernel.bash writes, as the messages that other kernels send."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data
        while True:
            line, found, rest = self.buffer.partition(b"\n")
            if len(line) > LONGEST_LINE:
                raise FramingError("a line of %d bytes" % len(line))
            if not found:
                return
            self.buffer = rest
            word, _, status = line.partition(b" ")
            message = {"ev": word.decode("ascii", "replace")}
            if status.isdigit():
                message["exitCode"] = int(status)
            yield message, b""


class BashContext(Context):
    def make_decoder(self):
        return LineDecoder()

    def start(self, theirs):
        bash = self.program("bash")
        script = os.path.join(self.agent.folder, "kernel.bash")
        ours, commands = _socket.socketpair()
        control = self.above(theirs.fileno())
        try:
            self.exec(
                [bash, "--noprofile", "--noediting", "--rcfile", script, "-i"],
                dict(self.env),
                [(os.POSIX_SPAWN_DUP2, commands.fileno(), 0), (os.POSIX_SPAWN_DUP2, control, 3)]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(control)
            commands.close()
        ours.setblocking(False)
        self.commands = ours
        self.begun = False
        self.wanted = False

    def post_run(self, number, env, paths, code):
        fields = [b"%d" % len(env)]
        fields += [os.fsencode(name) + b"=" + os.fsencode(value) for name, value in env.items()]
        # A NUL would end the code; bash itself drops it from what it reads.
        fields.append(code.replace(b"\0", b""))
        self.begun = self.wanted = False
        self.post(b"\0".join(fields) + b"\0")
        # Each line is a command of its own: after an interrupt bash goes on with the next one. The code is sourced, not
        # evaluated, because bash then leaves out what it tells humans: numbers of jobs, and that it exits.
        lines = (
            "{ __sandbox_begin; } 2>/dev/null\n"
            "exec 1>%s 2>%s\n"
            '. /dev/fd/9 9<<<"${__sandbox_code-(exit 130)}" 0</dev/null 3>&-\n'
            "{ __sandbox_end $?; } 2>/dev/null\n"
            "exec 1>/dev/null 2>/dev/null\n"
        ) % (paths[0], paths[1])
        try:
            self.commands.send(lines.encode("ascii"))
        except OSError:
            self.end_processes()

    def handle(self, header, blob):
        if header["ev"] == "begun":
            self.begun = True
            if self.wanted:
                self.signal_interrupt()
        elif header["ev"] == "done" and self.current is not None:
            super().handle(dict(header, run=self.current.number), blob)
        elif header["ev"] == "ready":
            super().handle(header, blob)

    def signal_interrupt(self):
        # Before that it would hit the kernel's own commands.
        if self.begun:
            kill_group(self.pid, signal.SIGINT)
        else:
            self.wanted = True

    def ended_by_itself(self):
        """`exit 3` is an end with a status, not a death."""
        return os.WEXITSTATUS(self.code) if os.WIFEXITED(self.code) else None

    def exited(self, code):
        self.commands.close()
        super().exited(code)
