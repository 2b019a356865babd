/**
 * The network.
 */
import { type Family, javascript, python } from "../Attempt.js"

const { raw } = String

const WALL = "network namespace with a loopback of its own"
const FAMILIES = "seccomp filter, by family and protocol"

export const network: Family = {
  name: "network",
  title: "The network",
  attempts: [
    python(
      "network-loopback",
      "Connect to the host's loopback",
      WALL,
      raw`
for address in ("127.0.0.1", "127.1.2.3", "0.0.0.0", "localhost"):
    for port in (H["tcp"], H["everywhere"]):
        refused("connect to %s" % address, lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (address, port)))
refused("connect to ::1", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", H["tcp6"])))
refused("connect to ::ffff:127.0.0.1", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", H["tcp"])))
`
    ),
    javascript(
      "network-loopback-node",
      "Connect to the host's loopback from Node",
      WALL,
      raw`
const net = require("node:net")
for (const host of ["127.0.0.1", "::1", ...H.addresses]) {
  await new Promise((resolve) => {
    const socket = net.connect({ host, port: host === "::1" ? H.tcp6 : H.everywhere, timeout: 1000 })
    socket.on("data", (data) => { escaped("connected: " + data); socket.destroy(); resolve() })
    socket.on("error", (error) => { held(error.code); resolve() })
    socket.on("timeout", () => { held("timeout"); socket.destroy(); resolve() })
  })
}`
    ),
    python(
      "network-host-addresses",
      "Connect to the host by its other addresses",
      WALL,
      raw`
for address in H["addresses"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    refused("connect to " + address, lambda: connect(family, socket.SOCK_STREAM, (address, H["everywhere"])))
refused("connect to a name", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (H["hostName"], H["everywhere"])))
`
    ),
    python(
      "network-udp",
      "Send datagrams to the host",
      WALL,
      raw`
for address in ["127.0.0.1", "255.255.255.255", "224.0.0.1"] + [each for each in H["addresses"] if ":" not in each]:
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.settimeout(0.3)
            client.sendto(b"hello", (address, H["udp"]))
            return client.recv(100)
    refused("send to " + address, send)
`
    ),
    python(
      "network-abstract-socket",
      "Connect to an abstract socket of the host",
      WALL,
      raw`
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    refused("connect", lambda: connect(socket.AF_UNIX, kind, "\0" + H["abstractSocket"]))
`
    ),
    python(
      "network-metadata",
      "Ask the cloud's metadata service",
      WALL,
      raw`
for address in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"):
    refused("connect to " + address, lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (address, 80)))
refused("connect by IPv6", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("fd00:ec2::254", 80)))
refused("connect by name", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("metadata.google.internal", 80)))
import urllib.request
refused("fetch", lambda: urllib.request.urlopen("http://169.254.169.254/latest/meta-data/", timeout=1).read())
`
    ),
    python(
      "network-dns",
      "Ask a name server, to carry something out",
      WALL,
      raw`
query = bytes.fromhex("123401000001000000000000") + b"\7example\3org\0" + bytes.fromhex("00010001")
for address in H["nameservers"] + ["8.8.8.8", "1.1.1.1", "127.0.0.53"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    def ask(kind):
        with socket.socket(family, kind) as client:
            client.settimeout(0.5)
            client.connect((address, 53))
            client.send(query if kind == socket.SOCK_DGRAM else struct.pack(">H", len(query)) + query)
            return client.recv(512)
    refused("ask " + address, lambda: ask(socket.SOCK_DGRAM))
    refused("ask by TCP " + address, lambda: ask(socket.SOCK_STREAM))
refused("getaddrinfo", lambda: socket.getaddrinfo("example.org", 80))
`
    ),
    python(
      "network-internet",
      "Connect to anywhere",
      WALL,
      raw`
for address, port in (("1.1.1.1", 443), ("8.8.8.8", 53), ("10.0.0.1", 22), ("172.17.0.1", 2375), ("192.168.0.1", 80)):
    refused("connect to " + address, lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (address, port)))
refused("connect by IPv6", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("2606:4700:4700::1111", 443)))
`
    ),
    python(
      "network-raw",
      "Make packets by hand",
      "no capabilities in the network namespace",
      raw`
for family, kind, protocol in ((2, 3, 1), (2, 3, 255), (2, 3, 6), (2, 2, 1), (10, 3, 58), (10, 2, 58), (17, 3, 0x300), (17, 2, 0x300)):
    def ping():
        with socket.socket(family, kind, protocol) as client:
            client.settimeout(0.3)
            client.sendto(b"\x08\0\xf7\xff\0\0\0\0", ("1.1.1.1", 0))
            return client.recv(100)
    refused("family %d type %d protocol %d" % (family, kind, protocol), ping)
`
    ),
    python(
      "network-families",
      "Open sockets of all other families",
      FAMILIES,
      raw`
# Each is a module that the kernel loads on demand; AF_VSOCK (40) reaches the hypervisor from any network namespace.
for family in range(64):
    if family in (1, 2, 10, 16):
        continue
    for kind in (1, 2, 3, 5):
        denied("family %d" % family, lambda: socket.socket(family, kind).close())
`
    ),
    python(
      "network-vsock",
      "Talk to the hypervisor",
      FAMILIES,
      raw`
for address in (0, 1, 2, 3):
    refused("connect to %d" % address, lambda: connect(40, socket.SOCK_STREAM, (address, 1024)))
refused("its device", lambda: os.open("/dev/vsock", os.O_RDONLY))
`
    ),
    python(
      "network-protocols",
      "Open sockets of rare protocols",
      FAMILIES,
      raw`
for family in (2, 10):
    for kind, protocol in ((1, 132), (5, 132), (1, 33), (6, 33), (1, 262), (2, 136), (3, 2), (3, 47), (3, 115)):
        denied("protocol %d" % protocol, lambda: socket.socket(family, kind, protocol).close())
`
    ),
    python(
      "network-netlink",
      "Talk to the kernel by netlink beyond routes",
      FAMILIES,
      raw`
for protocol in range(1, 32):
    denied("netlink %d" % protocol, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol).close())
`
    ),
    python(
      "network-configure",
      "Set the network up",
      "no capabilities in the network namespace",
      raw`
def ask(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(2)
        link.send(struct.pack("IHHII", 16 + len(body), kind, 5 | flags, 1, 0) + body)
        answer = link.recv(8192)
        error = struct.unpack_from("i", answer, 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))
        return "done"
def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
dummy = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"mine\0") + attribute(18, attribute(1, b"dummy"))
veth = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(18, attribute(1, b"veth"))
refused("add an interface", lambda: ask(16, 0x600, dummy))
refused("add a pair", lambda: ask(16, 0x600, veth))
refused("add an address", lambda: ask(20, 0x600, struct.pack("BBBBi", 2, 24, 0, 0, 1) + attribute(2, bytes([10, 9, 8, 7]))))
refused("take lo down", lambda: ask(16, 0, struct.pack("BxHiII", 0, 0, 1, 0, 1)))
refused("move lo to the first process", lambda: ask(16, 0, struct.pack("BxHiII", 0, 0, 1, 0, 0) + attribute(19, struct.pack("I", 1))))
refused("open a tunnel", lambda: os.open("/dev/net/tun", os.O_RDWR))
names = [name for _, name in socket.if_nameindex()]
held("only lo") if names == ["lo"] else escaped(names)
`
    )
  ]
}
