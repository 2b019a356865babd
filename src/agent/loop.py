"""The event loop: one thread, epoll, no timers. It sleeps until something happens, and wakes for nothing else."""
import select
from _collections import deque

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    def __init__(self):
        self.epoll = select.epoll()
        self.watched = {}
        self.tasks = deque()

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

    def run(self):
        while True:
            for fd, events in self.epoll.poll(0 if self.tasks else -1, 64):
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
