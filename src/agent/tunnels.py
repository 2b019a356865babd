"""Sockets in the sandbox whose other end is with the engine; their bytes are carried by `net.*`.

What a program sends is read only while there is credit for it, and what the engine sends is paid for when the program has
taken it: a side that does not read makes the other wait.
"""
import _socket
import struct
from _collections import deque

from .loop import READ, WRITE

WINDOW = 128 * 1024
FRAME_COST = 256
CHUNK = 64 * 1024

# The events that come without being asked for.
BROKEN = 0x8

RESET = struct.pack("ii", 1, 0)


class Tunnel:
    """One of them. Its owner has the loop, the link, and those that have a number, and is told when one is over."""

    def __init__(self, owner, client, number=None):
        self.owner = owner
        self.client = client
        self.number = number
        self.opened = False
        self.credit = 0
        self.said_all = False
        self.outbox = deque()
        self.owed = 0
        self.finishing = False
        self.shut = False

    # The socket of the program

    def wanted(self):
        """How many bytes of the program's can be taken now."""
        if self.said_all or not self.opened or self.owner.link.congested:
            return 0
        return max(0, min(CHUNK, self.credit - FRAME_COST))

    def watch(self):
        if self.client is None:
            return
        events = (WRITE if self.outbox else 0) | (READ if self.wanted() else 0)
        if events:
            self.owner.loop.watch(self.client.fileno(), events, self.ready)
        else:
            self.owner.loop.unwatch(self.client.fileno())

    def ready(self, events):
        if events & WRITE:
            self.write()
        if self.client is not None and events & ~WRITE:
            wanted = self.wanted()
            if wanted:
                self.read(wanted)
            elif events & BROKEN:
                self.abort()
        self.watch()

    def read(self, most):
        try:
            data = self.client.recv(most)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        self.heard(data)

    def heard(self, data):
        """What the program has sent; nothing, when it will send no more."""
        if data:
            self.credit -= len(data) + FRAME_COST
            self.say("net.data", blob=data)
        else:
            self.said_all = True
            self.say("net.end")
            self.settle()

    def put(self, data, cost=0):
        """Passes something on to the program; `cost` is given back to the engine when it has taken it."""
        if data or cost:
            self.outbox.append((memoryview(data), cost))
            self.write()

    def write(self):
        outbox = self.outbox
        while outbox and self.client is not None:
            data, cost = outbox[0]
            try:
                written = self.client.send(data) if data else 0
            except BlockingIOError:
                break
            except OSError:
                self.abort()
                return
            if written < len(data):
                outbox[0] = (data[written:], cost)
                break
            outbox.popleft()
            self.owed += cost
        if self.owed and (not outbox or self.owed >= WINDOW // 4):
            self.say("net.credit", bytes=self.owed)
            self.owed = 0
        if self.finishing and not outbox and not self.shut and self.client is not None:
            self.shut = True
            try:
                self.client.shutdown(_socket.SHUT_WR)
            except OSError:
                self.abort()
                return
            self.settle()

    def settle(self):
        if self.shut and self.said_all:
            self.close()

    def abort(self):
        """One side has gone without a proper end: neither may take what it got for all."""
        if self.client is not None:
            if self.number in self.owner.numbered:
                self.say("net.close")
            self.reset({}, b"")

    def close(self):
        client, self.client = self.client, None
        if client is not None:
            self.owner.loop.unwatch(client.fileno())
            client.close()
            self.outbox.clear()
            self.owner.forget(self)

    # The engine

    def say(self, event, blob=b"", **header):
        header.update(ev=event, net=self.number)
        self.owner.link.send(header, blob)

    def pump(self):
        """The engine has read on."""

    def on_data(self, header, blob):
        self.put(blob, len(blob) + FRAME_COST)

    def on_end(self, header, blob):
        self.finishing = True
        self.write()

    def on_credit(self, header, blob):
        self.credit += header["bytes"]
        self.pump()

    def reset(self, header, blob):
        if self.client is not None:
            try:
                self.client.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, RESET)
            except OSError:
                pass
            self.close()


class Tunnels:
    """All that were opened from one side."""

    operations = {"net.data": "on_data", "net.end": "on_end", "net.credit": "on_credit", "net.close": "reset"}

    def __init__(self, loop, link):
        self.loop = loop
        self.link = link
        self.numbered = {}

    def forget(self, tunnel):
        self.numbered.pop(tunnel.number, None)

    def on_message(self, op, header, blob):
        tunnel = self.numbered.get(header["net"])
        if tunnel is not None and op in self.operations:
            getattr(tunnel, self.operations[op])(header, blob)
            tunnel.watch()

    def pump(self):
        """The engine has read on."""
        for tunnel in tuple(self.numbered.values()):
            tunnel.pump()
            tunnel.watch()
