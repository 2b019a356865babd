"""What programs say to the proxy of a sandbox before their connection is made, and what they are told.

HTTP/1.1 (RFC 9110, 9.3.6 and RFC 9112, 3.2): `CONNECT host:port`, and plain requests with a whole URL. SOCKS version 5
(RFC 1928): connections, without authentication, by name or by address.
"""
import ipaddress
import re
import struct

MAX_HEAD = 64 * 1024
MAX_HOST = 255

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
END_OF_LINE = re.compile(rb"\r?\n")
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
URL = re.compile(rb"http://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+))(?::([0-9]{0,5}))?")

UNPRINTABLE = re.compile(r"[^ -~]")

# They say how the message itself goes on, and what it is for: no Connection header takes them away.
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"host"))
# What concerns this connection alone (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization"))

REPLIES = {403: 2, 502: 4, 503: 1, 504: 6}


class Refused(Exception):
    """It is not a request, or none that is served."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


class HttpRequest:
    """A connection that was asked for. `forward` is what the server is sent first, `established` what the client is."""

    def __init__(self, host, port, forward=b"", established=b"", answer=None):
        self.host = host
        self.port = port
        self.forward = forward
        self.established = established
        self.answer = answer

    def refusal(self, status, message):
        return http_refusal(status, message)


class SocksRequest:
    def __init__(self, host, port):
        self.host = host
        self.port = port
        self.forward = b""
        self.established = socks_reply(0)
        self.answer = None

    def refusal(self, status, message):
        return socks_reply(REPLIES.get(status, 1))


class Handshake:
    """Takes what a client says, piece by piece."""

    def __init__(self):
        self.buffer = bytearray()
        self.greeted = False
        self.greeting = b""

    def feed(self, data):
        """Gives `(what to answer at once, the request or None, what followed on it)`. Raises `Refused`."""
        self.buffer += data
        if self.buffer[0] == 5:
            return self.socks()
        found = END_OF_HEAD.search(self.buffer)
        if found is None or found.end() > MAX_HEAD:
            if len(self.buffer) > MAX_HEAD:
                raise Refused(431, "The header of the request is longer than %d bytes." % MAX_HEAD)
            return b"", None, b""
        request = read_http(bytes(self.buffer[:found.start()]))
        return b"", request, bytes(self.buffer[found.end():])

    def refusal(self, refused):
        """How a client is told that it was not understood."""
        if self.buffer[0] == 5:
            return self.greeting + socks_reply(refused.status) if self.greeted else b"\x05\xff"
        return http_refusal(refused.status, refused.message)

    def socks(self):
        buffer = self.buffer
        self.greeting = b""
        if not self.greeted:
            if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
                return b"", None, b""
            if 0 not in buffer[2:2 + buffer[1]]:
                raise Refused(255, "")
            del buffer[1:2 + buffer[1]]
            self.greeted = True
            self.greeting = b"\x05\x00"
        # What is left begins with the version of the greeting, which is that of the request too.
        request = buffer[1:]
        if len(request) < 5:
            return self.greeting, None, b""
        size = {1: 4, 3: 1 + request[4], 4: 16}.get(request[3])
        if request[0] != 5 or size is None:
            raise Refused(8, "")
        if request[1] != 1:
            raise Refused(7, "")
        if len(request) < 4 + size + 2:
            return self.greeting, None, b""
        address = bytes(request[4:4 + size])
        host = address[1:].decode("latin-1") if request[3] == 3 else str(ipaddress.ip_address(address))
        (port,) = struct.unpack_from(">H", request, 4 + size)
        if not host or not port:
            raise Refused(1, "")
        return self.greeting, SocksRequest(host, port), bytes(request[4 + size + 2:])


def socks_reply(code):
    return struct.pack(">BBBBIH", 5, code, 0, 1, 0, 0)


def http_refusal(status, message):
    """The sentence is in the status line too: of a CONNECT that fails, many programs show nothing else."""
    line = UNPRINTABLE.sub("?", message).encode("ascii")
    return b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n" % (
        status, line, len(line) + 1, line
    )


def authority(text, default):
    """The host and port of `host:port`, with the port of the scheme where there is none."""
    found = AUTHORITY.fullmatch(text)
    port = int(found[3]) if found and found[3] else default
    if not found or not port or port > 65535 or len(found[1] or found[2]) > MAX_HOST:
        raise Refused(400, "The request names no host and port, such as example.org:443.")
    return (found[1] or found[2]).decode("latin-1"), port


def read_http(head):
    lines = END_OF_LINE.split(head)
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not TOKEN.fullmatch(parts[0]) or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refused(400, "This is a proxy for HTTP/1.1 and SOCKS 5, and the request is neither.")
    method, target, version = parts
    if method == b"CONNECT":
        host, port = authority(target, None)
        return HttpRequest(host, port, established=b"HTTP/1.1 200 Connection established\r\n\r\n")
    url = URL.fullmatch(target)
    if url is None:
        if target.lower().startswith(b"https:"):
            raise Refused(400, "Ask for https by CONNECT: the proxy does not look into it.")
        raise Refused(400, "This is the proxy of the sandbox and no web server: name the whole URL, http://host/path.")
    named = url[1].rpartition(b"@")[2]
    host, port = authority(named, 80)
    path = url[2]
    if not path.startswith(b"/"):
        path = b"*" if method == b"OPTIONS" and not path else b"/" + path
    forward = b" ".join((method, path, version)) + b"\r\nHost: " + named + b"\r\n" + request_fields(lines[1:])
    return HttpRequest(host, port, forward=forward, answer=Answer())


def fields_of(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise Refused(400, "A header field of the request is malformed.")
        fields.append((name.lower(), value.strip(b" \t"), line))
    return fields


def options_of(fields):
    return {
        option.strip(b" \t").lower()
        for name, value, _ in fields if name in (b"connection", b"proxy-connection")
        for option in value.split(b",")
    }


def request_fields(lines):
    """The fields for the server: one request a connection, as each may be for another host."""
    fields = fields_of(lines)
    options = options_of(fields)
    upgrades = b"upgrade" in options and any(name == b"upgrade" for name, _, _ in fields)
    dropped = (HOP_BY_HOP | {b"host"}) | (options - FRAMING - ({b"upgrade"} if upgrades else set()))
    kept = [line for name, _, line in fields if name not in dropped]
    return b"\r\n".join(kept + [b"Connection: upgrade" if upgrades else b"Connection: close", b"", b""])


class Answer:
    """What a server answers to a plain request, on its way to the client: unchanged, but that no other request follows."""

    def __init__(self):
        self.held = b""
        self.passing = False

    def feed(self, data):
        """Gives what can go on now."""
        if self.passing:
            return data
        self.held += data
        done = b""
        while not self.passing:
            found = END_OF_HEAD.search(self.held)
            if found is None:
                if len(self.held) <= MAX_HEAD and self.held[:5] == b"HTTP/"[:len(self.held)]:
                    break
                self.passing = True
                continue
            head, self.held = self.held[:found.end()], self.held[found.end():]
            status = head.split(b" ", 2)[1][:3] if head.startswith(b"HTTP/") and b" " in head else b""
            if status[:1] != b"1" or status == b"101":
                self.passing = True
            done += head if status[:1] == b"1" or not status else self.closing(head[:found.start()])
        if self.passing:
            done += self.held
            self.held = b""
        return done

    def closing(self, head):
        lines = END_OF_LINE.split(head)
        names = HOP_BY_HOP - {b"proxy-authorization"}
        kept = [line for line in lines[1:] if line.partition(b":")[0].strip().lower() not in names]
        return b"\r\n".join([lines[0]] + kept + [b"Connection: close", b"", b""])

    def end(self):
        """What was still held back."""
        held, self.held, self.passing = self.held, b"", True
        return held
