"""What the agent does: it takes messages of the engine, and hands each to whom it concerns."""
import _signal as signal
import gc
import os
import resource
import stat
import sys

from . import processes
from .commands import Command
from .ingress import Ingress
from .languages import make_context
from .link import Link
from .loop import READ, Loop
from .paths import PUBLIC, Workspace

LINK = 3
STDIO = "--stdio"
NO_PYTHON = "--no-python"
KERNEL_SOON = "--kernel-soon"
VERSION = 1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT, signal.SIGTSTP)


class Agent:
    def __init__(self, folder, incoming, outgoing):
        self.pid = os.getpid()
        self.folder = folder
        self.private = os.environ.get("SANDBOX_RUN", "/run/sandbox")
        self.env = {}
        self.runs = {}
        self.jobs = {}
        self.contexts = {}
        self.children = {}
        self.forks = 0
        self.score = processes.OomScore()
        self.marks = processes.Marks()
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
        self.loop = Loop()
        self.await_children()
        self.link = Link(self.loop, incoming, outgoing, self.on_message, self.end, self.on_room)
        # Without isolation, the workspace has the path that it has on the host; then limits on the processes of a user
        # would count those outside of the sandbox too.
        self.isolated = "SANDBOX_WORKSPACE" not in os.environ
        self.egress = None
        self.ingress = Ingress(self.loop, self.link)
        self.workspace = Workspace(os.environ.get("SANDBOX_WORKSPACE", PUBLIC))
        self.sync_files = False
        self.files = None

    # Processes

    def await_children(self):
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.loop.watch(reader, READ, lambda events: self.reap(reader))

    def reap(self, reader):
        try:
            os.read(reader, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # Orphans come here too; they are only reaped.
            exited = self.children.pop(pid, None)
            if exited is not None:
                exited(code)

    def spawn(self, arguments, env, cwd, actions, mark, program=None):
        """Starts a program in a session of its own; the first argument is the program when it is not given."""
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(self.real(cwd))
            self.marks.wear(mark)
            self.score.raised()
            return os.posix_spawn(
                program or arguments[0],
                arguments,
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=processes.DEFAULT_SIGNALS + (signal.SIGTSTP,)
            )
        finally:
            self.score.restored()
            self.marks.drop()
            os.fchdir(here)
            os.close(here)

    def open_files(self):
        """What works on files. Its modules take as long to import as all that an agent starts with, so they come later."""
        if self.files is None:
            from .files import Files

            self.files = Files(self.loop, self.link, self.workspace, self.sync_files)
        return self.files

    def real(self, path):
        """Where a path of the sandbox really is."""
        if not self.isolated and (path == PUBLIC or path.startswith(PUBLIC + "/")):
            return os.fsdecode(self.workspace.root) + path[len(PUBLIC):]
        return path

    def check_directory(self, path):
        """The failure of a working directory that is none, or None."""
        try:
            if stat.S_ISDIR(os.stat(self.real(path)).st_mode) and os.access(self.real(path), os.X_OK):
                return None
            code, reason = "not_a_directory", "is no directory that can be entered"
        except FileNotFoundError:
            code, reason = "file_not_found", "does not exist"
        except (OSError, ValueError):
            code, reason = "not_a_directory", "is no directory"
        return {"code": code, "field": "cwd", "message": "The working directory %s %s." % (path, reason)}

    def end(self):
        """The engine is gone: so is everything."""
        base = self.marks.base >> 24
        processes.kill_all(lambda mark: mark >> 24 == base, tuple(self.children))
        os._exit(0)

    # Messages

    def on_message(self, header, blob):
        op = header.get("op")
        if type(op) is str and op.startswith("file."):
            self.open_files().on_message(op, header, blob)
            return
        if type(op) is str and op.startswith("net."):
            # Their numbers say which side has opened them.
            (self.ingress if header["net"] < 0 else self.egress).on_message(op, header, blob)
            return
        handler = getattr(self, "on_" + str(op).replace(".", "_"), None)
        if handler is not None and op in OPERATIONS:
            handler(header, blob)

    def on_configure(self, header, blob):
        self.env = dict(header["env"])
        if not self.isolated:
            for name in ("HOME", "PATH"):
                parts = self.env.get(name, "").split(":")
                self.env[name] = ":".join(self.real(part) for part in parts)
            # Marks what is started here, so that the engine finds and ends it even when this process was killed.
            self.env.update((name, os.environ[name]) for name in ("SANDBOX_OWNER",) if name in os.environ)
        limits = header.get("limits") or {}
        for name, what in (
            ("processes", resource.RLIMIT_NPROC),
            ("openFiles", resource.RLIMIT_NOFILE),
            ("fileSize", resource.RLIMIT_FSIZE),
            ("dataSize", resource.RLIMIT_DATA)
        ):
            if limits.get(name) is not None and (self.isolated or name != "processes"):
                limit(what, limits[name])
        limit(resource.RLIMIT_CORE, 0)
        self.sync_files = header.get("syncFiles") is True
        proxy = header.get("proxy")
        if proxy is not None:
            from .egress import Egress  # most sandboxes have no way out, and need not wait for what it takes

            # More than the engine makes, so that it is the engine that refuses; but files need descriptors as well.
            most = min(proxy["connections"] * 3 // 2, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
            self.egress = Egress(self.loop, self.link, proxy["port"], most)

    def on_context_open(self, header, blob):
        name = header["ctx"]
        kind = make_context(header["language"])
        if header["language"] == "python" and NO_PYTHON in sys.argv:
            kind = None
        if name in self.contexts or kind is None:
            if kind is None:
                failure = {"code": "language_unavailable", "field": "language"}
                failure["message"] = "There is no interpreter for %s in the sandbox." % header["language"]
            else:
                failure = {"code": "start_failed", "message": "The context %s is open already." % name}
            self.link.send(dict(failure, ev="context.failed", ctx=name))
            return
        kind(self, name, header["language"], header["cwd"], header.get("env") or {}, header.get("rehearse") is True)

    def on_context_close(self, header, blob):
        context = self.contexts.get(header["ctx"])
        if context is None:
            self.link.send({"ev": "context.exit", "ctx": header["ctx"], "exitCode": None, "signal": None})
        else:
            context.close()

    def on_ping(self, header, blob):
        self.link.send({"ev": "reply", "id": header["id"], "value": None})
        context = self.contexts.get(header.get("ctx"))
        if context is not None:
            context.wake()

    def on_run(self, header, blob):
        context = self.contexts.get(header["ctx"])
        if context is None:
            message = "There is no context %s, or its interpreter has ended." % header["ctx"]
            self.link.send(
                {"ev": "refused", "run": header["run"], "code": "context_not_found", "message": message}
            )
        else:
            context.execute(header, blob)

    def on_command(self, header, blob):
        Command(self, header, blob)

    def on_interrupt(self, header, blob):
        job = self.jobs.get(header["run"])
        if job is not None:
            job.interrupt(header["run"])

    def on_kill(self, header, blob):
        job = self.jobs.get(header["run"])
        if job is not None:
            job.kill(header["run"])

    def on_signal(self, header, blob):
        job = self.jobs.get(header["run"])
        if isinstance(job, Command):
            job.signal(header["signal"])

    def on_resize(self, header, blob):
        job = self.jobs.get(header["run"])
        if isinstance(job, Command):
            job.resize(header["cols"], header["rows"])

    def input_of(self, header):
        """What leads to the standard input of a run, if it has one."""
        job = self.jobs.get(header["run"])
        return job.input if isinstance(job, Command) else None

    def on_stdin_data(self, header, blob):
        stdin = self.input_of(header)
        if stdin is not None:
            stdin.put(blob)

    def on_stdin_end(self, header, blob):
        stdin = self.input_of(header)
        if stdin is not None:
            stdin.finish()

    def on_credit(self, header, blob):
        run = self.runs.get(header["run"])
        if run is not None:
            run.allow(header["bytes"])
            return
        job = self.jobs.get(header["run"])
        if job is not None:
            job.credit_waiting(header["run"], header["bytes"])

    def on_room(self):
        """The engine has read on."""
        for run in tuple(self.runs.values()):
            run.pump()
        for context in tuple(self.contexts.values()):
            context.watch()
        if self.files is not None:
            self.files.pump()
        self.ingress.pump()
        if self.egress is not None:
            self.egress.pump()


OPERATIONS = frozenset((
    "configure",
    "ping",
    "context.open",
    "context.close",
    "run",
    "command",
    "interrupt",
    "kill",
    "signal",
    "resize",
    "stdin.data",
    "stdin.end",
    "credit"
))


def limit(what, value):
    """Sets both limits; what is lower already stays."""
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))


def link_descriptors():
    """The descriptors to read from and to write to, which no program that is started will have."""
    if STDIO not in sys.argv:
        processes.close_from(LINK + 1)
        os.set_inheritable(LINK, False)
        return LINK, LINK
    processes.close_from(LINK)
    # What anything prints from here on is for a diagnosis.
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return incoming, outgoing


def main(folder):
    """Runs the agent, whose files are in this folder. A child of it that is to be a Python kernel raises BecomeKernel."""
    incoming, outgoing = link_descriptors()
    os.umask(0o022)
    agent = Agent(folder, incoming, outgoing)
    agent.link.send({"ev": "ready", "pid": os.getpid(), "version": VERSION})
    if KERNEL_SOON in sys.argv:
        # While the engine hears of that: it is about to ask for an interpreter.
        from .kernel import share

        share()
    gc.freeze()
    gc.enable()
    agent.loop.run()
