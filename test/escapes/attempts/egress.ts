/**
 * A network of named hosts, as a way to others.
 */
import { Effect } from "effect"
import { type Attempt, escaped, type Family, held } from "../Attempt.js"

const { raw } = String

const WALL = "the engine resolves and connects by itself, to public addresses that are allowed"

/** Speaks to the proxy on the sandbox's own loopback. `P` is the port of the host that must not be reached. */
const speaking = raw`
P = H["everywhere"]
def proxy(*pieces):
    """What comes back for some bytes, with pauses between the pieces."""
    with socket.create_connection(("127.0.0.1", 3128), timeout=1) as client:
        client.settimeout(1)
        answer = b""
        try:
            for piece in pieces:
                client.sendall(piece)
                if len(pieces) > 1:
                    time.sleep(0.05)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                answer += data
        except OSError as error:
            answer += code_of(error).encode()
    print(answer)
    first = answer.split(b"\r\n")[0].decode("latin1")
    if " 200" in first or b"canary-" in answer:
        escaped("%r gave %r" % (pieces[0][:80], answer[:100]))
    else:
        held(first[:40] if first.startswith("HTTP/") else "closed")
def ask(target, *headers):
    proxy(("CONNECT %s HTTP/1.1\r\n%s\r\n" % (target, "".join(each + "\r\n" for each in headers))).encode("latin1"))
def get(url, *headers):
    proxy(("GET %s HTTP/1.1\r\n%s\r\n" % (url, "".join(each + "\r\n" for each in headers))).encode("latin1"))
def socks(kind, address, port):
    with socket.create_connection(("127.0.0.1", 3128), timeout=1) as client:
        client.settimeout(1)
        answer = b""
        try:
            client.sendall(b"\5\1\0")
            client.recv(2)
            client.sendall(b"\5\1\0" + bytes([kind]) + address + struct.pack(">H", port))
            answer = client.recv(64)
            answer += client.recv(64) if answer[1:2] == b"\0" else b""
        except OSError as error:
            answer += code_of(error).encode()
    print(answer)
    escaped("SOCKS to %r gave %r" % (address, answer)) if answer[1:2] == b"\0" else held("SOCKS %r" % answer[1:2])
`

/** An attempt from a sandbox that may reach names which lead back to this machine, and a host of the Internet. */
const allowed = (id: string, title: string, code: string): Attempt => ({
  id,
  title,
  wall: WALL,
  make: (arena) =>
    Effect.gen(function*() {
      const { everywhere, hostName, tcp } = arena.host.told
      const names = ["localhost", "ip6-localhost", "localhost.localdomain"]
      if (/^[A-Za-z0-9.-]+$/.test(hostName)) names.push(hostName)
      const allow = [...names.flatMap((name) => [`${name}:${everywhere}`, `${name}:${tcp}`]), "example.org:443"]
      const sandboxId = yield* arena.another({ memoryMb: 256, processes: 128 }, {}, { allow })
      return yield* arena.in(sandboxId).judged("python", speaking + code)
    })
})

export const egress: Family = {
  name: "egress",
  title: "A network of named hosts",
  attempts: [
    allowed(
      "egress-rebinding",
      "Reach the host by a name that is allowed and leads back to it",
      raw`
for name in ("localhost", "LOCALHOST", "localhost.", "ip6-localhost", "localhost.localdomain", H["hostName"]):
    for port in (P, H["tcp"]):
        ask("%s:%d" % (name, port))
        get("http://%s:%d/" % (name, port))
        socks(3, bytes([len(name)]) + name.encode(), port)
`
    ),
    allowed(
      "egress-addresses",
      "Reach the host by its addresses, in every spelling",
      raw`
for address in ["127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.0.0.1.",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%lo]",
    "[0:0:0:0:0:0:0:1]", "::1"] + H["addresses"]:
    ask("%s:%d" % (address, P))
    get("http://%s:%d/" % (address, P))
socks(1, bytes([127, 0, 0, 1]), P)
socks(4, bytes(15) + b"\1", P)
socks(4, bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1]), P)
for name in (b"127.0.0.1", b"::1", b"2130706433", b"0x7f.1", b"127.0.0.1\0.example.org"):
    socks(3, bytes([len(name)]) + name, P)
`
    ),
    allowed(
      "egress-metadata",
      "Reach the metadata service and private networks",
      raw`
for address in ("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "metadata.google.internal", "10.0.0.1", "172.17.0.1",
    "192.168.0.1", "100.64.0.1", "[fe80::1]", "[fc00::1]", "224.0.0.1", "255.255.255.255", "192.0.0.192", "168.63.129.16"):
    ask("%s:80" % address)
    get("http://%s/latest/meta-data/" % address)
socks(1, bytes([169, 254, 169, 254]), 80)
`
    ),
    allowed(
      "egress-smuggling",
      "Say one host to the check and another to the connection",
      raw`
evil = "127.0.0.1:%d" % P
for target in ("example.org:443@" + evil, "example.org:443#@" + evil, "example.org:443\t" + evil, "example.org:443 " + evil,
    "example.org:443\0" + evil, "example.org:443," + evil, "example.org:443/" + evil, "//example.org:443@" + evil,
    "http://" + evil, evil + "\0example.org:443", evil + "#example.org:443", evil + "?example.org:443", "example.org:443:%d" % P,
    "example.org%00@" + evil, "[example.org]:443", "example.org\uff0eevil:%d".encode("utf-8").decode("latin1") % P,
    "localhost:+%d" % P, "localhost:0%d" % P, "localhost: %d" % P, "localhost:%d.0" % P, "localhost:%d" % (P + 65536)):
    ask(target)
    ask(target, "Host: example.org:443")
ask(evil, "Host: example.org:443")
get("http://example.org:443@%s/" % evil)
get("http://%s/" % evil, "Host: example.org:443")
get("http://example.org:443/", "Host: " + evil)
get("http://%s#@example.org:443/" % evil)
get("http://%s\\@example.org:443/" % evil)
get("/", "Host: " + evil)
get("https://%s/" % evil)
get("HTTP://EXAMPLE.ORG:443@%s/" % evil)
`
    ),
    allowed(
      "egress-pipelining",
      "Hide a second request behind the first",
      raw`
evil = b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (P, P)
connect_evil = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % P
for second in (evil, connect_evil):
    proxy(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % P, second)
    proxy(b"GET http://localhost:%d/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % P, second)
    proxy(b"GET http://localhost:%d/ HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n" % P, second)
    proxy(b"GET http://localhost:%d/ HTTP/1.1\r\nX: y\n\n" % P + second)
    proxy(b"GET http://localhost:%d/ HTTP/1.1\r\nX: a\r\n b\r\nHost : x\r\n\r\n" % P + second)
    proxy(b"\r\n\r\n" + second)
    proxy(b"\0" + second)
    proxy(*[bytes([each]) for each in connect_evil])
`
    ),
    allowed(
      "egress-neighbour",
      "Reach another sandbox by way of the engine",
      raw`
for port in (H["neighbour"]["tcp"], 3128):
    for name in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]"):
        ask("%s:%d" % (name, port))
`
    ),
    allowed(
      "egress-flood",
      "Exhaust the engine with connections",
      raw`
kept = []
try:
    for _ in range(600):
        client = socket.create_connection(("127.0.0.1", 3128), timeout=1)
        client.setblocking(False)
        client.send(b"CONNECT example.org:443 HTTP/1.1\r\nX: " + b"x" * 1000)
        kept.append(client)
    held("%d half-made requests" % len(kept))
except OSError as error:
    held("%s after %d" % (code_of(error), len(kept)))
for client in kept:
    client.close()
big = socket.create_connection(("127.0.0.1", 3128), timeout=1)
sent = 0
try:
    for _ in range(64):
        big.sendall(b"x" * (1 << 20))
        sent += 1
    escaped("%d MiB of a request line were taken" % sent)
except OSError as error:
    held("%s after %d MiB" % (code_of(error), sent))
`
    ),
    {
      id: "egress-private-names",
      title: "Ask for a network that leads to this machine",
      wall: "the engine's own bounds: public hosts by default",
      make: (arena) =>
        Effect.gen(function*() {
          const { everywhere } = arena.host.told
          const reasons = new Set<string>()
          for (const host of ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"]) {
            const made = yield* Effect.either(arena.another({}, {}, { allow: [`${host}:${everywhere}`] }))
            if (made._tag === "Left") {
              reasons.add("code" in made.left ? String(made.left.code) : made.left._tag)
              continue
            }
            const verdict = yield* arena.in(made.right).judged("python", `${speaking}ask("${host}:${everywhere}")`)
            if (verdict.outcome !== "held") return escaped(verdict.how)
            reasons.add(verdict.how)
          }
          return held([...reasons].join(", "))
        })
    },
    {
      id: "egress-none",
      title: "Find the proxy where no network was given",
      wall: "there is none",
      make: (arena) =>
        arena.judged(
          "python",
          raw`
for port in (3128, 1080, 8080):
    refused("connect", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)))
for name in os.environ:
    if "proxy" in name.lower():
        escaped(name)
`
        )
    }
  ]
}
