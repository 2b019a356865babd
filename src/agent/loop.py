"""The event loop: one thread, epoll, no timers. It sleeps until something happens, and wakes for nothing else; but once it
has been quiet for a moment, it does what could wait until then.
"""
import select
from _collections import deque

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
QUIET_SECONDS = 0.05


class Loop:
    def __init__(self):
        self.epoll = select.epoll()
        self.watched = {}
        self.tasks = deque()
        self.later = deque()

    def watch(self, fd, events, callback):
        """Calls `callback(events)` whenever `fd` is ready; replaces what was asked for it before."""
        known = self.watched.get(fd)
        if known is None:
            self.epoll.register(fd, events)
        elif known[0] != events:
            self.epoll.modify(fd, events)
        self.watched[fd] = (events, callback)

    def unwatch(self, fd):
        """Stops that. Asking for no events would not do: epoll reports a hang-up even then, again and again."""
        if self.watched.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def spawn(self, task):
        """Runs a generator piece by piece between events, so that long work holds nothing up."""
        self.tasks.append(task)

    def when_quiet(self, work):
        """Does something once, when nothing has happened for a moment."""
        self.later.append(work)

    def patience(self):
        """How long to wait for something to happen."""
        if self.tasks:
            return 0
        return QUIET_SECONDS if self.later else -1

    def run(self):
        while True:
            ready = self.epoll.poll(self.patience(), 64)
            if not ready and not self.tasks and self.later:
                self.later.popleft()()
            for fd, events in ready:
                # An earlier callback of this round may have closed it.
                known = self.watched.get(fd)
                if known is not None:
                    known[1](events)
            if self.tasks:
                task = self.tasks.popleft()
                try:
                    next(task)
                except StopIteration:
                    continue
                self.tasks.append(task)
