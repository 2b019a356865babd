"""Shell commands: each a session of its own, started by posix_spawn, which costs no copy of the agent."""
import os
import signal

from .processes import DEFAULT_SIGNALS, find_program, kill_all, kill_group, status
from .runs import Run, make_pipe, start_failure

# One argument of a program is at most 128 KiB long (execve(2)); a longer command is given as a file.
LONGEST_ARGUMENT = 120 * 1024
SCRIPT_FD = 9


class Command:
    def __init__(self, agent, header, blob):
        self.agent = agent
        self.number = header["run"]
        self.run = None
        self.interrupted = False
        env = dict(agent.env)
        env.update(header.get("env") or {})
        failure = self.start(header, blob, env)
        if failure is not None:
            agent.link.send(dict(failure, ev="refused", run=self.number))

    def start(self, header, blob, env):
        """Starts it; gives the failure when that does not work."""
        agent = self.agent
        shell = find_program("bash", env) or find_program("sh", env)
        if shell is None:
            return {"code": "start_failed", "message": "There is neither bash nor sh in the PATH of the sandbox."}
        if b"\0" in blob:
            return {"code": "start_failed", "field": "command", "message": "The command contains a NUL character."}
        failure = agent.check_directory(header["cwd"])
        if failure is not None:
            return failure
        opened = []
        try:
            out, out_writer = make_pipe()
            opened += [out, out_writer]
            sources = {1: out}
            err_writer = out_writer
            if not header.get("merge"):
                err, err_writer = make_pipe()
                opened += [err, err_writer]
                sources[2] = err
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out_writer, 1),
                (os.POSIX_SPAWN_DUP2, err_writer, 2)
            ]
            arguments = [shell, "-c", blob]
            if len(blob) > LONGEST_ARGUMENT:
                script = os.memfd_create("command", os.MFD_CLOEXEC)
                opened.append(script)
                with os.fdopen(os.dup(script), "wb") as file:
                    file.write(blob)
                os.lseek(script, 0, os.SEEK_SET)
                actions.append((os.POSIX_SPAWN_DUP2, script, SCRIPT_FD))
                arguments = [shell, "/proc/self/fd/%d" % SCRIPT_FD]
            self.mark = agent.marks.next()
            pid = agent.spawn(arguments, env, header["cwd"], actions, self.mark)
        except OSError as error:
            for fd in opened:
                os.close(fd)
            return start_failure(error, "The command")
        except ValueError as error:
            for fd in opened:
                os.close(fd)
            return {"code": "start_failed", "message": "The command could not be started: %s." % error}
        for fd in opened:
            if fd not in sources.values():
                os.close(fd)
        self.pid = pid
        agent.children[pid] = self.exited
        agent.jobs[self.number] = self
        self.run = Run(agent, self.number, header["credit"], sources)
        return None

    def interrupt(self, number):
        if self.pid is not None:
            self.interrupted = True
            kill_group(self.pid, signal.SIGINT)

    def kill(self, number):
        roots = ()
        if self.pid is not None:
            kill_group(self.pid, signal.SIGKILL)
            roots = (self.pid,)
        kill_all(lambda mark: mark == self.mark, roots)
        self.run.abandon()

    def exited(self, code):
        self.pid = None
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
