"""Contexts: one interpreter each, behind a control socket on which the interpreter is not believed more than needed."""
import _signal as signal
import _socket
import fcntl
import os
import struct
from _collections import deque

from .framing import MAX_BLOB, Decoder, FramingError, head
from .loop import READ, WRITE
from .processes import find_program, kill_all, kill_group, status
from .runs import REHEARSAL, Rehearsal, Run, Sink, make_fifo, make_pipe, start_failure

MAX_KERNEL_HEADER = 64 * 1024

# What V8 says before it aborts.
OUT_OF_MEMORY = b"heap out of memory"


class Context:
    """The part that is the same for every language."""

    # Code that does what most code does, and leaves nothing; None where an interpreter cannot forget that it ran.
    rehearsal = None

    def __init__(self, agent, name, language, cwd, env, rehearse=False):
        self.agent = agent
        self.name = name
        self.language = language
        self.cwd = cwd
        self.env = dict(agent.env)
        self.env.update(env)
        self.mark = agent.marks.next()
        self.pid = None
        self.code = None
        self.ready = False
        self.rehearse_first = rehearse and self.rehearsal is not None
        self.announced = False
        self.closing = False
        self.count = 0
        self.current = None
        self.waiting = deque()
        self.inbox = deque()
        self.outbox = bytearray()
        self.passing = None
        self.socket = None
        self.decoder = self.make_decoder()
        self.sink = None
        agent.contexts[name] = self
        failure = agent.check_directory(cwd)
        if failure is None:
            failure = self.launch()
        if failure is not None:
            del agent.contexts[name]
            agent.link.send(dict(failure, ev="context.failed", ctx=name))

    def make_decoder(self):
        return Decoder(MAX_KERNEL_HEADER, MAX_BLOB)

    def launch(self):
        """Starts the interpreter; gives the failure when that does not work."""
        ours, theirs = _socket.socketpair()
        try:
            self.start(theirs)
        except OSError as error:
            ours.close()
            return start_failure(error, "The interpreter for " + self.language)
        except ValueError as error:
            ours.close()
            return {"code": "start_failed", "message": "The interpreter could not be started: %s." % error}
        except LookupError as error:
            ours.close()
            return {"code": "language_unavailable", "field": "language", "message": str(error.args[0])}
        finally:
            theirs.close()
        ours.setblocking(False)
        self.socket = ours
        self.agent.children[self.pid] = self.exited
        self.watch()
        return None

    def program(self, name):
        path = find_program(name, self.env)
        if path is None:
            raise LookupError("There is no %s in the sandbox, which %s needs." % (name, self.language))
        return path

    def exec(self, arguments, env, actions):
        """Starts an interpreter that is a program; what it prints outside of runs is kept for a diagnosis only."""
        reader, writer = make_pipe()
        try:
            self.pid = self.agent.spawn(
                arguments,
                env,
                self.cwd,
                [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)] + actions,
                self.mark
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self.sink = Sink(self.agent.loop, reader, 8192)

    def above(self, fd):
        """A copy with a number above those that children get, so that none takes the place of another."""
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)

    # The control socket

    def watch(self):
        if self.socket is None:
            return
        events = WRITE if self.outbox else 0
        # What came in waits for output before it: reading on would only pile it up here.
        if not self.inbox and not self.agent.link.congested:
            events |= READ
        if events:
            self.agent.loop.watch(self.socket.fileno(), events, self.on_socket)
        else:
            self.agent.loop.unwatch(self.socket.fileno())

    def on_socket(self, events):
        if events & WRITE:
            self.write()
        if events & ~WRITE:
            self.receive()
            self.agent.link.hold(self.advance)

    def receive(self):
        """Reads once; False when there is nothing more to read."""
        if self.socket is None:
            return False
        try:
            data = self.socket.recv(256 * 1024)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        try:
            if data:
                self.inbox.extend(self.decoder.feed(data))
                return True
        except FramingError:
            pass
        # It closed its end, or it does not speak the protocol: either way it is of no use any more.
        self.disconnect()
        if self.code is None:
            self.end_processes()
        return False

    def disconnect(self):
        if self.socket is not None:
            self.agent.loop.unwatch(self.socket.fileno())
            self.socket.close()
            self.socket = None
            self.outbox.clear()

    def post(self, data, fds=()):
        """Queues bytes for the interpreter; `fds` go with the first of them."""
        self.outbox += data
        if fds:
            self.passing = fds
        self.write()

    def write(self):
        try:
            while self.outbox and self.socket is not None:
                with memoryview(self.outbox) as view:
                    if self.passing is None:
                        written = self.socket.send(view[:1024 * 1024])
                    else:
                        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("%di" % len(self.passing), *self.passing))
                        written = self.socket.sendmsg([view[:1024 * 1024]], [rights])
                if self.passing is not None:
                    self.release()
                del self.outbox[:written]
        except BlockingIOError:
            pass
        except OSError:
            # Its end is closed; reading will tell.
            self.outbox.clear()
            self.release()
        self.watch()

    def release(self):
        for fd in self.passing or ():
            os.close(fd)
        self.passing = None

    # Runs

    def execute(self, header, code):
        """A run: it starts now, or when those before it are over."""
        self.agent.jobs[header["run"]] = self
        self.waiting.append((header, code))
        self.next_run()

    def next_run(self):
        while self.ready and self.current is None and self.waiting and self.code is None:
            header, code = self.waiting.popleft()
            try:
                self.begin(header, code)
            except OSError as error:
                self.refuse(header["run"], start_failure(error, "The code"))

    def is_fresh(self):
        """Whether it is ready, and nothing has run in it."""
        return self.ready and self.count == 0 and self.current is None and not self.waiting and self.code is None

    def wake(self):
        """Has an interpreter that has waited do what a run begins with, while that is on its way: no cache holds it any more."""
        if self.rehearsal is not None and self.is_fresh():
            self.post(head({"op": "wake"}))

    def rehearse(self):
        """Has something run that nobody hears of, as long as nothing else has, all the way that a run goes. What is written to
        for the first time since the fork is copied then, here and in the interpreter.
        """
        if self.rehearsal is None or not self.is_fresh():
            return False
        try:
            self.begin({"op": "rehearse", "run": REHEARSAL, "credit": MAX_BLOB}, self.rehearsal)
        except OSError:
            return False
        return True

    def announce(self):
        if not self.announced:
            self.announced = True
            self.agent.link.send({"ev": "context.ready", "ctx": self.name, "pid": self.pid})

    def refuse(self, number, failure):
        self.agent.jobs.pop(number, None)
        self.agent.link.send(dict(failure, ev="refused", run=number))

    def credit_waiting(self, number, count):
        """Credit for a run that has not begun."""
        for header, _ in self.waiting:
            if header["run"] == number:
                header["credit"] += count

    def begin(self, header, code):
        """Makes the FIFOs and tells the interpreter to run."""
        number = header["run"]
        paths = [os.path.join(self.agent.private, "%d.%s" % (number, end)) for end in ("out", "err")]
        sources = {}
        try:
            for stream, path in enumerate(paths, 1):
                sources[stream] = make_fifo(path)
        except OSError:
            for fd in sources.values():
                os.close(fd)
            self.unlink(paths)
            raise
        self.started(header, sources, paths)
        self.post_run(number, header.get("env") or {}, paths, code)

    def started(self, header, sources, paths):
        number = header["run"]
        self.paths = paths
        if number == REHEARSAL:
            self.current = Rehearsal(self.agent, number, header["credit"], sources)
            return
        self.count += 1
        self.current = Run(self.agent, number, header["credit"], sources)
        self.agent.jobs[number] = self
        if self.language in ("javascript", "typescript"):
            self.current.keep_tail()

    def unlink(self, paths):
        for path in paths:
            try:
                os.unlink(path)
            except OSError:
                pass

    def post_run(self, number, env, paths, code):
        header = {"op": "run", "run": number, "count": self.count, "env": env, "stdout": paths[0], "stderr": paths[1]}
        self.post(head(header, len(code)) + code)

    # What the interpreter says

    def advance(self):
        """Handles what came in, up to the first message that has to wait for output."""
        while self.inbox and (self.current is None or self.current.remaining is None):
            header, blob = self.inbox.popleft()
            self.handle(header, blob)
        if self.code is not None and not self.inbox:
            self.bury()
        self.watch()

    def handle(self, header, blob):
        event = header.get("ev")
        if event == "ready":
            if not self.ready:
                self.ready = True
                if not (self.rehearse_first and self.rehearse()):
                    self.announce()
                    self.next_run()
            return
        run = self.current
        number = header.get("run")
        if run is None or type(number) is not int or number != run.number:
            return
        if event == "result" or event == "error":
            def forward():
                if run.spend(len(blob)):
                    run.say({"ev": event}, blob)
                self.later()

            run.after_output(forward, True)
            # Its program goes on printing only now: what it prints from here on comes after this result.
            ticket = header.get("sync")
            if type(ticket) is int:
                if len(self.outbox) > MAX_KERNEL_HEADER:
                    self.end_processes()
                else:
                    self.post(head({"op": "continue", "sync": ticket}))
        elif event == "done":
            exit_code = header.get("exitCode")
            self.finish(exit_code if type(exit_code) is int and 0 <= exit_code <= 255 else None)

    def later(self):
        """Goes on after a barrier, unless the caller is still at it."""
        if self.inbox or self.code is not None:
            self.agent.loop.spawn(self.resume())
        else:
            self.watch()

    def resume(self):
        self.advance()
        return
        yield

    def finish(self, exit_code, exited=False):
        """The run is done. `exited`: and its interpreter with it, so that the next run needs another."""
        run = self.current
        duration = run.duration()
        count = self.count

        def end():
            self.forget_run()
            header = {"ev": "done", "duration": duration, "count": count}
            if exit_code is not None:
                header["exitCode"] = exit_code
            if exited:
                header["exited"] = True
            run.end(header)
            self.announce()
            self.next_run()
            self.later()

        run.after_output(end)

    def forget_run(self):
        self.agent.jobs.pop(self.current.number, None)
        self.current = None
        self.unlink(self.paths)

    # Its end

    def interrupt(self, number):
        """SIGINT to the group, when it is that run that goes on."""
        if self.current is not None and self.current.number == number and self.code is None:
            self.signal_interrupt()

    def signal_interrupt(self):
        kill_group(self.pid, signal.SIGINT)

    def kill(self, number):
        if self.current is not None and self.current.number == number:
            self.end_processes()
            self.current.abandon()
            return
        for waiting in tuple(self.waiting):
            if waiting[0]["run"] == number:
                self.waiting.remove(waiting)
                self.refuse(number, {"code": "start_failed", "message": "The run was ended before it began."})

    def end_processes(self):
        roots = ()
        if self.code is None:
            kill_group(self.pid, signal.SIGKILL)
            roots = (self.pid,)
        kill_all(lambda mark: mark == self.mark, roots)

    def close(self):
        self.closing = True
        self.end_processes()
        if self.current is not None:
            self.current.abandon()

    def exited(self, code):
        self.code = code
        self.end_processes()
        # Whatever it said before its end still counts.
        while self.receive():
            pass
        self.disconnect()
        self.release()
        self.advance()

    def out_of_memory(self):
        said = self.sink.tail if self.sink is not None else b""
        if self.current is not None and self.current.tail:
            said += self.current.tail
        return self.language in ("javascript", "typescript") and OUT_OF_MEMORY in said

    def ended_by_itself(self):
        """The exit status with which a run is `done` though its interpreter is gone; None for a death."""
        return None

    def bury(self):
        """The process is gone and all that it said is handled: says so."""
        if self.sink is not None:
            while self.sink.fd >= 0 and self.sink.read():
                pass
        run = self.current
        if run is not None:
            if run.remaining is not None:
                return
            if self.ended_by_itself() is not None:
                self.finish(self.ended_by_itself(), True)
                return
            how = dict(status(self.code), ev="died")

            def end():
                if self.out_of_memory():
                    how["outOfMemory"] = True
                self.forget_run()
                run.end(how)
                self.later()

            run.after_output(end)
            return
        if self.agent.contexts.get(self.name) is not self:
            return
        del self.agent.contexts[self.name]
        for header, _ in self.waiting:
            message = "The interpreter of this context ended before the code was started."
            self.refuse(header["run"], {"code": "context_not_found", "message": message})
        how = status(self.code)
        if self.announced or self.closing:
            self.agent.link.send(dict(how, ev="context.exit", ctx=self.name))
        else:
            self.agent.link.send(
                {"ev": "context.failed", "ctx": self.name, "code": "start_failed", "message": self.diagnosis(how)}
            )

    def diagnosis(self, how):
        text = "The interpreter for %s ended before it was ready (%s)." % (
            self.language,
            how["signal"] or "exit status %d" % how["exitCode"]
        )
        said = self.sink.tail.decode("utf-8", "replace").strip() if self.sink is not None else ""
        return text + "\n" + said[-2000:] if said else text
