"""What a program reads as its standard input: written as fast as it takes it, and given back as credit then."""
import os
from _collections import deque

from .loop import WRITE


class Input:
    """The writing end of a pipe, or another descriptor of a terminal's master. `ending(last)` gives the bytes to write at
    the end, when closing alone does not tell it.
    """

    def __init__(self, agent, number, fd, ending=None):
        self.agent = agent
        self.number = number
        self.fd = fd
        self.ending = ending
        self.queue = deque()
        self.finishing = False
        self.last = b""
        os.set_blocking(fd, False)

    def say(self, event, **header):
        self.agent.link.send(dict(header, ev=event, run=self.number))

    def put(self, data):
        if self.fd < 0:
            return
        if data:
            self.last = data[-1:]
            self.queue.append((memoryview(data), True))
        self.write()

    def finish(self):
        """Closes it when all before has been taken."""
        if self.fd < 0 or self.finishing:
            return
        self.finishing = True
        if self.ending is not None:
            self.queue.append((memoryview(self.ending(self.last)), False))
        self.write()

    def write(self, events=0):
        taken = 0
        broken = False
        try:
            while self.queue:
                data, counted = self.queue[0]
                written = os.write(self.fd, data)
                if counted:
                    taken += written
                if written < len(data):
                    self.queue[0] = (data[written:], counted)
                else:
                    self.queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            # Nobody can read it any more.
            broken = True
        if taken:
            self.say("stdin.credit", bytes=taken)
        if broken:
            self.close()
            self.say("stdin.closed")
        elif self.queue:
            self.agent.loop.watch(self.fd, WRITE, self.write)
        elif self.finishing:
            self.close()
        else:
            self.agent.loop.unwatch(self.fd)

    def close(self):
        if self.fd >= 0:
            self.agent.loop.unwatch(self.fd)
            os.close(self.fd)
            self.fd = -1
            self.queue.clear()
