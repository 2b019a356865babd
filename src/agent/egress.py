"""The way out of a sandbox: a proxy on its loopback, whose connections the engine makes.

What a program sends is read only while there is credit for it, and what the engine sends is paid for when the program has
taken it: a side that does not read makes the other wait.
"""
import os
import socket
import struct
from collections import deque

from .loop import READ, WRITE
from .proxy import Handshake, Refused

WINDOW = 128 * 1024
FRAME_COST = 256
CHUNK = 64 * 1024

# How much of a request that was refused is read and thrown away, so that its sender sees the refusal and no broken pipe.
MOST_DISCARDED = 1024 * 1024

# The events that come without being asked for.
BROKEN = 0x8

RESET = struct.pack("ii", 1, 0)


class Egress:
    def __init__(self, loop, link, port, most):
        self.loop = loop
        self.link = link
        self.most = most
        self.last = 0
        self.connections = set()
        self.numbered = {}
        self.spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.listener.setblocking(False)
        self.listen()

    def listen(self):
        if len(self.connections) < self.most:
            self.loop.watch(self.listener.fileno(), READ, self.accept)
        else:
            self.loop.unwatch(self.listener.fileno())

    def accept(self, events=0):
        try:
            client, _ = self.listener.accept()
        except BlockingIOError:
            return
        except OSError:
            self.turn_away()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, client)
        self.connections.add(connection)
        connection.watch()
        self.listen()

    def turn_away(self):
        """Nobody waits for ever because the agent has as many files open as it may have."""
        os.close(self.spare)
        try:
            self.listener.accept()[0].close()
        except OSError:
            pass
        self.spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def number(self, connection):
        self.last += 1
        self.numbered[self.last] = connection
        return self.last

    def forget(self, connection):
        self.connections.discard(connection)
        self.numbered.pop(connection.number, None)
        self.listen()

    def on_message(self, op, header, blob):
        connection = self.numbered.get(header["net"])
        if connection is not None and op in OPERATIONS:
            getattr(connection, OPERATIONS[op])(header, blob)
            connection.watch()

    def pump(self):
        """The engine has read on."""
        for connection in tuple(self.connections):
            connection.pump()
            connection.watch()


class Connection:
    """One program that has connected to the proxy."""

    def __init__(self, egress, client):
        self.egress = egress
        self.client = client
        self.number = None
        self.handshake = Handshake()
        self.request = None
        self.opened = False
        self.refused = False
        self.credit = 0
        self.unsent = b""
        self.said_all = False
        self.outbox = deque()
        self.owed = 0
        self.finishing = False
        self.shut = False
        self.discarded = 0

    # The socket of the program

    def wanted(self):
        """How many bytes of the program's can be taken now."""
        if self.said_all:
            return 0
        if self.request is None or self.refused:
            return CHUNK
        if not self.opened or self.unsent or self.egress.link.congested:
            return 0
        return max(0, min(CHUNK, self.credit - FRAME_COST))

    def watch(self):
        if self.client is None:
            return
        events = (WRITE if self.outbox else 0) | (READ if self.wanted() else 0)
        if events:
            self.egress.loop.watch(self.client.fileno(), events, self.ready)
        else:
            self.egress.loop.unwatch(self.client.fileno())

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
        if self.refused:
            self.discarded += len(data)
            if not data or self.discarded > MOST_DISCARDED:
                self.close()
        elif self.request is None:
            if data:
                self.converse(data)
            else:
                self.close()
        elif data:
            self.credit -= len(data) + FRAME_COST
            self.say("net.data", blob=data)
        else:
            self.said_all = True
            self.say("net.end")
            self.settle()

    def converse(self, data):
        try:
            answer, request, rest = self.handshake.feed(data)
        except Refused as refused:
            self.refuse(self.handshake.refusal(refused))
            return
        self.put(answer)
        if request is not None:
            self.handshake = None
            self.request = request
            self.unsent = request.forward + rest
            self.number = self.egress.number(self)
            self.say("net.open", host=request.host, port=request.port)

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
                self.client.shutdown(socket.SHUT_WR)
            except OSError:
                self.abort()
                return
            self.settle()

    def settle(self):
        if self.shut and self.said_all:
            self.close()

    def refuse(self, answer):
        """Says no, and closes once the program has heard it."""
        self.refused = True
        self.request = None
        self.unsent = b""
        self.put(answer)
        self.finishing = True
        self.write()

    def abort(self):
        """One side has gone without a proper end: neither may take what it got for all."""
        if self.client is not None:
            if self.number in self.egress.numbered:
                self.say("net.close")
            self.reset({}, b"")

    def close(self):
        client, self.client = self.client, None
        if client is not None:
            self.egress.loop.unwatch(client.fileno())
            client.close()
            self.outbox.clear()
            self.egress.forget(self)

    # The engine

    def say(self, event, blob=b"", **header):
        header.update(ev=event, net=self.number)
        self.egress.link.send(header, blob)

    def pump(self):
        """Sends what came together with the request."""
        while self.opened and self.unsent and self.credit > FRAME_COST and not self.egress.link.congested:
            piece = self.unsent[:min(CHUNK, self.credit - FRAME_COST)]
            self.unsent = self.unsent[len(piece):]
            self.credit -= len(piece) + FRAME_COST
            self.say("net.data", blob=piece)

    def on_opened(self, header, blob):
        self.opened = True
        self.credit = WINDOW
        self.put(self.request.established)
        self.pump()

    def on_refused(self, header, blob):
        self.egress.numbered.pop(self.number, None)
        self.refuse(self.request.refusal(header["status"], header["message"]))

    def on_data(self, header, blob):
        answer = self.request.answer
        self.put(answer.feed(blob) if answer is not None else blob, len(blob) + FRAME_COST)

    def on_end(self, header, blob):
        if self.request.answer is not None:
            self.put(self.request.answer.end())
        self.finishing = True
        self.write()

    def on_credit(self, header, blob):
        self.credit += header["bytes"]
        self.pump()

    def reset(self, header, blob):
        if self.client is not None:
            try:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            except OSError:
                pass
            self.close()


OPERATIONS = {
    "net.opened": "on_opened",
    "net.refused": "on_refused",
    "net.data": "on_data",
    "net.end": "on_end",
    "net.credit": "on_credit",
    "net.close": "reset"
}
