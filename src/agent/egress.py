"""The way out of a sandbox: a proxy on its loopback, whose connections the engine makes."""
import os
import socket

from .loop import READ
from .proxy import Handshake, Refused
from .tunnels import CHUNK, FRAME_COST, WINDOW, Tunnel, Tunnels

# How much of a request that was refused is read and thrown away, so that its sender sees the refusal and no broken pipe.
MOST_DISCARDED = 1024 * 1024


class Egress(Tunnels):
    operations = dict(Tunnels.operations, **{"net.opened": "on_opened", "net.refused": "on_refused"})

    def __init__(self, loop, link, port, most):
        super().__init__(loop, link)
        self.most = most
        self.last = 0
        self.connections = set()
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
        super().forget(connection)
        self.connections.discard(connection)
        self.listen()


class Connection(Tunnel):
    """One program that has connected to the proxy."""

    def __init__(self, egress, client):
        super().__init__(egress, client)
        self.handshake = Handshake()
        self.request = None
        self.refused = False
        self.unsent = b""
        self.discarded = 0

    # The socket of the program

    def wanted(self):
        if self.said_all:
            return 0
        if self.request is None or self.refused:
            return CHUNK
        return 0 if self.unsent else super().wanted()

    def heard(self, data):
        if self.refused:
            self.discarded += len(data)
            if not data or self.discarded > MOST_DISCARDED:
                self.close()
        elif self.request is None:
            if data:
                self.converse(data)
            else:
                self.close()
        else:
            super().heard(data)

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
            self.number = self.owner.number(self)
            self.say("net.open", host=request.host, port=request.port)

    def refuse(self, answer):
        """Says no, and closes once the program has heard it."""
        self.refused = True
        self.request = None
        self.unsent = b""
        self.put(answer)
        self.finishing = True
        self.write()

    # The engine

    def pump(self):
        """Sends what came together with the request."""
        while self.opened and self.unsent and self.credit > FRAME_COST and not self.owner.link.congested:
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
        self.owner.numbered.pop(self.number, None)
        self.refuse(self.request.refusal(header["status"], header["message"]))

    def on_data(self, header, blob):
        answer = self.request.answer
        self.put(answer.feed(blob) if answer is not None else blob, len(blob) + FRAME_COST)

    def on_end(self, header, blob):
        if self.request.answer is not None:
            self.put(self.request.answer.end())
        super().on_end(header, blob)
