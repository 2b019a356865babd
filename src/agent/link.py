"""The stream to the engine: a queue of frames that is written as fast as the engine reads."""
import os
from _collections import deque

from .framing import MAX_HEADER, Decoder, head
from .loop import READ, WRITE

# Above the first, pipes and files are not read any more; below the second, they are again.
LONG = 1024 * 1024
SHORT = 256 * 1024

# The engine is trusted, but its code blobs may be larger than what it accepts itself.
MAX_ENGINE_BLOB = 256 * 1024 * 1024


class Link:
    def __init__(self, loop, fd, out, on_message, on_end, on_room):
        self.loop = loop
        self.fd = fd
        # The same descriptor, or another one.
        self.out = out
        self.on_message = on_message
        self.on_end = on_end
        self.on_room = on_room
        self.queue = deque()
        self.queued = 0
        self.congested = False
        self.held = False
        self.decoder = Decoder(MAX_HEADER, MAX_ENGINE_BLOB)
        os.set_blocking(fd, False)
        os.set_blocking(out, False)
        loop.watch(fd, READ, self.ready)

    def send(self, header, blob=b""):
        """Queues one frame and writes what can be written now."""
        first = head(header, len(blob))
        idle = not self.queue
        self.queue.append(first)
        self.queued += len(first) + len(blob)
        if blob:
            self.queue.append(blob)
        if idle and not self.held:
            self.write()
        if self.queued > LONG:
            self.congested = True

    def hold(self, work):
        """Does something, and writes at once all that is sent meanwhile."""
        self.held = not self.queue
        work()
        if self.held:
            self.held = False
            self.ready_to_write(WRITE)

    def write(self):
        queue = self.queue
        try:
            while queue:
                batch = [queue[i] for i in range(min(len(queue), 64))]
                written = os.writev(self.out, batch)
                self.queued -= written
                while written:
                    size = len(queue[0])
                    if written < size:
                        queue[0] = memoryview(queue[0])[written:]
                        break
                    queue.popleft()
                    written -= size
        except BlockingIOError:
            pass
        except OSError:
            self.on_end()
        if self.out == self.fd:
            self.loop.watch(self.fd, READ | WRITE if queue else READ, self.ready)
        elif queue:
            self.loop.watch(self.out, WRITE, self.ready_to_write)
        else:
            self.loop.unwatch(self.out)

    def ready_to_write(self, events):
        self.write()
        if self.congested and self.queued < SHORT:
            self.congested = False
            self.on_room()

    def ready(self, events):
        if events & WRITE:
            self.ready_to_write(events)
        if events & ~WRITE:
            self.read()

    def read(self):
        try:
            data = os.read(self.fd, 256 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.on_end()
            return
        for header, blob in self.decoder.feed(data):
            self.on_message(header, blob)
