"""Commands and programs: each a session of its own, started by posix_spawn, which costs no copy of the agent."""
import _signal as signal
import errno
import os

from .inputs import Input
from .processes import find_program, kill_all, kill_group, status
from .runs import Run, make_pipe, start_failure
from .terminals import TERM, end_of_file, hang_up, open_terminal, resize

# One argument of a program is at most 128 KiB long (execve(2)); a longer command is given as a file.
LONGEST_ARGUMENT = 120 * 1024
SCRIPT_FD = 9


class Refusal(Exception):
    """Why something was not started."""

    def __init__(self, code, message, field=None):
        super().__init__(message)
        self.failure = {"code": code, "message": message}
        if field is not None:
            self.failure["field"] = field


def not_started(error, args):
    """The failure of a start that the kernel refused, in words."""
    if args is not None and error.errno == errno.ENOENT:
        return {"code": "file_not_found", "field": "args", "message": "There is no program %s." % args[0]}
    if args is not None and error.errno == errno.EACCES:
        message = "%s is no program that this user may execute." % args[0]
        return {"code": "permission_denied", "field": "args", "message": message}
    return start_failure(error, "The command" if args is None else args[0])


class Command:
    def __init__(self, agent, header, blob):
        self.agent = agent
        self.number = header["run"]
        self.run = None
        self.input = None
        self.has_terminal = False
        self.interrupted = False
        env = dict(agent.env)
        env.update(header.get("env") or {})
        failure = self.start(header, blob, env)
        if failure is not None:
            agent.link.send(dict(failure, ev="refused", run=self.number))

    def start(self, header, blob, env):
        """Starts it; gives the failure when that does not work."""
        agent = self.agent
        process = header.get("process") or {}
        ours = []
        theirs = []
        try:
            path, arguments, actions = self.program(process.get("args"), blob, env, theirs)
            failure = agent.check_directory(header["cwd"])
            if failure is not None:
                raise Refusal(failure["code"], failure["message"], failure["field"])
            if process.get("pty") is not None:
                env.setdefault("TERM", TERM)
                sources, stdin, streams = self.terminal(process["pty"], ours, theirs)
            else:
                sources, stdin, streams = self.pipes(process.get("stdin"), header.get("merge"), ours, theirs)
            self.mark = agent.marks.next()
            pid = agent.spawn(arguments, env, header["cwd"], streams + actions, self.mark, path)
        except Refusal as refusal:
            failure = refusal.failure
        except OSError as error:
            failure = not_started(error, process.get("args"))
        except ValueError as error:
            failure = {"code": "start_failed", "message": "The command could not be started: %s." % error}
        else:
            failure = None
        finally:
            for fd in theirs:
                os.close(fd)
        if failure is not None:
            for fd in ours:
                os.close(fd)
            return failure
        self.pid = pid
        agent.children[pid] = self.exited
        agent.jobs[self.number] = self
        self.run = Run(agent, self.number, header["credit"], sources, self.has_terminal)
        if stdin is not None:
            self.input = Input(agent, self.number, stdin, self.ending if self.has_terminal else None)
        if process:
            self.run.say({"ev": "started", "pid": pid})
        return None

    def program(self, args, blob, env, theirs):
        """What to start, `(path, arguments, actions)`: a program with arguments, or a shell with a command."""
        if args is not None:
            path = args[0] if "/" in args[0] else find_program(args[0], env)
            if path is None:
                message = "There is no program %s in the PATH of the sandbox." % args[0]
                raise Refusal("file_not_found", message, "args")
            return path, args, []
        shell = find_program("bash", env) or find_program("sh", env)
        if shell is None:
            raise Refusal("start_failed", "There is neither bash nor sh in the PATH of the sandbox.")
        if b"\0" in blob:
            raise Refusal("start_failed", "The command contains a NUL character.", "command")
        if len(blob) <= LONGEST_ARGUMENT:
            return shell, [shell, "-c", blob], []
        script = os.memfd_create("command", os.MFD_CLOEXEC)
        theirs.append(script)
        with os.fdopen(os.dup(script), "wb") as file:
            file.write(blob)
        os.lseek(script, 0, os.SEEK_SET)
        return shell, [shell, "/proc/self/fd/%d" % SCRIPT_FD], [(os.POSIX_SPAWN_DUP2, script, SCRIPT_FD)]

    def pipes(self, stdin, merge, ours, theirs):
        """`(sources, descriptor of its input, actions)` with a pipe for each stream."""
        out, out_writer = make_pipe()
        ours.append(out)
        theirs.append(out_writer)
        sources = {1: out}
        err_writer = out_writer
        if not merge:
            err, err_writer = make_pipe()
            ours.append(err)
            theirs.append(err_writer)
            sources[2] = err
        writer = None
        first = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
        if stdin:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            ours.append(writer)
            theirs.append(reader)
            first = (os.POSIX_SPAWN_DUP2, reader, 0)
        return sources, writer, [
            first,
            (os.POSIX_SPAWN_DUP2, out_writer, 1),
            (os.POSIX_SPAWN_DUP2, err_writer, 2)
        ]

    def terminal(self, size, ours, theirs):
        """The same with a terminal for all three."""
        try:
            master, slave, path = open_terminal(size["cols"], size["rows"])
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENOMEM):
                raise
            message = "There is no terminal left on the machine that the sandbox is on (kernel.pty.max)."
            raise Refusal("quota_exceeded", message, "pty") from None
        ours.append(master)
        theirs.append(slave)
        self.has_terminal = True
        stdin = os.dup(master)
        ours.append(stdin)
        # The leader of a session gets the first terminal that it opens as its own (tty(4)).
        return {1: master}, stdin, [
            (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2)
        ]

    def ending(self, last):
        return end_of_file(self.input.fd, last)

    def interrupt(self, number):
        if self.pid is None:
            return
        self.interrupted = True
        if self.has_terminal and 1 in self.run.sources:
            hang_up(self.run.sources[1], self.pid)
        else:
            kill_group(self.pid, signal.SIGINT)

    def kill(self, number):
        self.kill_everything()
        self.run.abandon()

    def kill_everything(self):
        roots = ()
        if self.pid is not None:
            kill_group(self.pid, signal.SIGKILL)
            roots = (self.pid,)
        kill_all(lambda mark: mark == self.mark, roots)

    def signal(self, name):
        from signal import Signals
        if name not in Signals.__members__ or self.pid is None:
            return
        if name == "SIGKILL":
            self.kill_everything()
        else:
            kill_group(self.pid, Signals[name])

    def resize(self, cols, rows):
        if self.has_terminal and 1 in self.run.sources:
            try:
                resize(self.run.sources[1], cols, rows)
            except OSError:
                pass

    def exited(self, code):
        self.pid = None
        if self.input is not None:
            self.input.close()
        duration = self.run.duration()
        if self.interrupted:
            # What it started in the background ignores SIGINT, but was meant to be stopped with it.
            kill_all(lambda mark: mark == self.mark)

        def end():
            self.agent.jobs.pop(self.number, None)
            how = status(code)
            if how["signal"] is None:
                self.run.end({"ev": "done", "duration": duration, "exitCode": how["exitCode"]})
            else:
                self.run.end(dict(how, ev="died"))

        self.run.after_output(end)
