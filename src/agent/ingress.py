"""The way into a sandbox: connections to its own loopback, which the engine asks for."""
import _socket
import errno

from .loop import WRITE
from .tunnels import WINDOW, Tunnel, Tunnels

# A server listens at one of the two, or at both.
LOOPBACK = ((_socket.AF_INET, "127.0.0.1"), (_socket.AF_INET6, "::1"))

# There is no room for another connection.
FULL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Ingress(Tunnels):
    def on_message(self, op, header, blob):
        if op == "net.dial":
            Inbound(self, header["net"], header["port"])
        else:
            super().on_message(op, header, blob)


class Inbound(Tunnel):
    """One connection that the engine wants."""

    def __init__(self, ingress, number, port):
        super().__init__(ingress, None, number)
        self.port = port
        self.left = list(LOOPBACK)
        ingress.numbered[number] = self
        self.dial(errno.ECONNREFUSED)

    def dial(self, why):
        """Tries the next address."""
        while self.left:
            family, host = self.left.pop(0)
            try:
                client = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
            except OSError as error:
                why = error.errno
                continue
            code = client.connect_ex((host, self.port))
            if code == 0 or code == errno.EINPROGRESS:
                self.client = client
                if code == 0:
                    self.connected()
                else:
                    self.watch()
                return
            client.close()
            why = code if why not in FULL else why
        self.say("net.refused", status=503 if why in FULL else 502)
        self.owner.forget(self)

    def watch(self):
        if self.client is not None and not self.opened:
            self.owner.loop.watch(self.client.fileno(), WRITE, self.settled)
        else:
            super().watch()

    def settled(self, events):
        code = self.client.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code == 0:
            self.connected()
        else:
            self.give_up(code)

    def connected(self):
        client = self.client
        try:
            # Where nobody listens, a connection may find itself: by chance its own end has the number of that port.
            itself = client.getsockname() == client.getpeername()
            client.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError as error:
            self.give_up(error.errno)
            return
        if itself:
            self.give_up(errno.ECONNREFUSED)
            return
        self.opened = True
        self.credit = WINDOW
        self.say("net.opened")
        self.watch()

    def give_up(self, why):
        client, self.client = self.client, None
        self.owner.loop.unwatch(client.fileno())
        client.close()
        self.dial(why)
