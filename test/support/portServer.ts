/**
 * A server for the port of a sandbox, in Python without anything beside it: HTTP with bodies of any size both ways, and
 * WebSockets (RFC 6455), whose handshake and frames are written out.
 */
export const portServer = (port: number, host = "127.0.0.1"): string => `
import base64, hashlib, json, struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments): pass

    def answer(self, body, kind="application/json", more=()):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more: self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() == "websocket": return self.talk()
        if self.path.startswith("/bytes/"):
            count = int(self.path[7:])
            self.send_response(200)
            self.send_header("Content-Length", str(count))
            self.end_headers()
            piece = bytes(range(256)) * 256
            while count:
                self.wfile.write(piece[:count])
                count -= len(piece[:count])
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
        elif self.path == "/live":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"6\\r\\nfirst\\n\\r\\n")
            self.wfile.flush()
            import time
            while True:
                time.sleep(0.05)
                self.wfile.write(b"5\\r\\nmore\\n\\r\\n")
        elif self.path == "/evil":
            self.answer(b"<script>1</script>", "text/html", [
                ("Set-Cookie", "mine=1; Path=/; Domain=example.org"), ("Set-Cookie", "sandbox-port-1=stolen"),
                ("Service-Worker-Allowed", "/"), ("Clear-Site-Data", '"*"'), ("Strict-Transport-Security", "max-age=1"),
                ("Access-Control-Allow-Origin", "https://evil.example"), ("Connection", "X-Hop"), ("X-Hop", "1"),
                ("X-Kept", "1"), ("Content-Security-Policy", "default-src 'none'")])
        elif self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/somewhere?x=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/silent":
            self.connection.close()
        else:
            self.answer(json.dumps({
                "method": self.command, "path": self.path, "headers": [[n.lower(), v] for n, v in self.headers.items()]
            }).encode())

    do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def do_POST(self):
        """Gives the body back while it comes, or, at /sum, what it adds up to."""
        left = int(self.headers.get("Content-Length", "-1"))
        total, digest = 0, hashlib.sha256()
        echo = self.path == "/echo"
        if echo:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        for piece in self.pieces(left):
            total += len(piece)
            digest.update(piece)
            if echo: self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
        if echo: self.wfile.write(b"0\\r\\n\\r\\n")
        else: self.answer(json.dumps({"bytes": total, "sha256": digest.hexdigest()}).encode())

    do_PUT = do_PATCH = do_POST

    def pieces(self, left):
        if left >= 0:
            while left and (piece := self.rfile.read1(min(left, 65536))):
                left -= len(piece)
                yield piece
        else:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

    def talk(self):
        key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
        greeting = ("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
            "Sec-WebSocket-Accept: %s\\r\\n\\r\\n" % accept).encode()
        # In one piece with the first frame, as a server may.
        self.wfile.write(greeting + self.frame(1, b"hello " + self.path.encode()))
        while True:
            first, second = self.rfile.read(2)
            size = second & 127
            if size == 126: (size,) = struct.unpack(">H", self.rfile.read(2))
            elif size == 127: (size,) = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = self.rfile.read(size)
            whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            data = whole.to_bytes(size, "big")
            self.wfile.write(self.frame(first & 15, data))
            if first & 15 == 8: break
        self.close_connection = True

    def frame(self, kind, data):
        size = len(data)
        head = struct.pack(">BB", 128 | kind, size) if size < 126 else struct.pack(">BBH", 128 | kind, 126, size) \\
            if size < 65536 else struct.pack(">BBQ", 128 | kind, 127, size)
        return head + data

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    import socket
    address_family = socket.AF_INET6 if ":" in "${host}" else socket.AF_INET

Server(("${host}", ${port}), Handler).serve_forever()
`
