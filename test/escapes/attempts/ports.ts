/**
 * Ports that are reached from outside, as a way to others: to the host, to the neighbour, and to who asks.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { PortAddress } from "../../../src/Port.js"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, unclear, type Verdict } from "../Attempt.js"
import { KEY, serve } from "./injection.js"
import { raw, serving } from "./serving.js"

const LOOPBACK = "connections are made by the agent, to the sandbox's own loopback"
const PARSED = "Node's HTTP on both sides; one request a connection"
const TOKEN = "a token of each port"

const OK = String.raw`client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")`

const attempt = (
  id: string,
  title: string,
  wall: string,
  make: (arena: Arena) => Effect.Effect<Verdict, AnySandboxSDKError>
): Attempt => ({ id, title, wall, alone: { memoryMb: 256, processes: 64 }, make })

const pathOf = ({ url }: PortAddress): string => new URL(url).pathname

/** A request by hand; it asks for the connection to be closed unless `more` is to follow. */
const request = (path: string, ...fields: ReadonlyArray<string>): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`

const CLOSE = "Connection: close"

const isRefused = (text: string): boolean => text === "" || /^HTTP\/1\.1 (4\d\d|502)/.test(text)

/** Judges what came back for several requests that all are to fail. */
const allRefused = (answers: ReadonlyArray<readonly [string, string]>): Verdict => {
  const let_ = answers.find(([, text]) => !isRefused(text))
  return let_ === undefined
    ? held([...new Set(answers.map(([, text]) => text.split("\r\n")[0] ?? ""))].join(", "))
    : escaped(`${let_[0]} gave ${let_[1].slice(0, 150)}`)
}

export const ports: Family = {
  name: "ports",
  title: "Ports that are reached from outside",
  attempts: [
    attempt(
      "ports-others-loopback",
      "Have a port lead to the host, or to a neighbour",
      LOOPBACK,
      (arena) =>
        Effect.gen(function*() {
          const { everywhere, tcp, tcp6 } = arena.host.told
          const answers = yield* Effect.forEach([everywhere, tcp, tcp6, arena.neighbour.told.tcp], (port) =>
            Effect.flatMap(arena.sdk.getPort(arena.sandboxId, port), (address) =>
              Effect.map(
                raw(address.url, [request(pathOf(address), CLOSE)]),
                (text) =>
                  [`port ${port}`, text] as const
              )))
          return allRefused(answers)
        })
    ),
    attempt(
      "ports-relay",
      "Pass what comes in on to the host and to a neighbour",
      "network namespace",
      (arena) =>
        Effect.gen(function*() {
          const { url } = yield* serving(
            arena,
            8001,
            String.raw`
said = b""
for port in (H["everywhere"], H["tcp"], H["neighbour"]["tcp"]):
    for address in ["127.0.0.1"] + [each for each in H["addresses"] if ":" not in each]:
        try:
            said += connect(socket.AF_INET, socket.SOCK_STREAM, (address, port))
        except OSError as error:
            said += b"HELD " + code_of(error).encode() + b"\n"
client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
`
          )
          const text = yield* Effect.promise(async () => (await fetch(url)).text())
          return text !== "" && text.split("\n").every((line) => line === "" || line.startsWith("HELD"))
            ? held([...new Set(text.trim().split("\n"))].join(", ").replaceAll("HELD ", ""))
            : escaped(text.slice(0, 200))
        })
    ),
    attempt(
      "ports-redirect",
      "Send the proxy to the metadata service, to the host and to files",
      "the proxy follows nothing",
      (arena) =>
        Effect.gen(function*() {
          const to = `http://127.0.0.1:${arena.host.told.everywhere}/`
          const address = yield* serving(
            arena,
            8002,
            String.raw`
targets = [b"http://169.254.169.254/latest/meta-data/", b"${to}", b"//127.0.0.1:${arena.host.told.everywhere}/", b"file:///etc/shadow"]
target = targets[int(head.split(b" ")[1].split(b"=")[-1])]
client.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nX-Accel-Redirect: " + target + b"\r\nX-Sendfile: /etc/shadow\r\n"
    b"Refresh: 0; url=" + target + b"\r\nContent-Length: 2\r\n\r\nno")
`
          )
          // Whether somebody has been there, the host knows itself.
          const answers = yield* Effect.forEach([0, 1, 2, 3], (n) =>
            raw(address.url, [request(`${pathOf(address)}?n=${n}`, CLOSE)]))
          const bad = answers.find((text) =>
            !/^HTTP\/1\.1 302/.test(text) || !text.endsWith("no")
          )
          return bad === undefined ? held("302, as it came") : escaped(bad.slice(0, 200))
        })
    ),
    attempt("ports-host", "Ask for one place and mean another", PARSED, (arena) =>
      Effect.gen(function*() {
        const address = yield* serving(arena, 8003, OK)
        const evil = `127.0.0.1:${arena.host.told.everywhere}`
        const own = pathOf(address)
        const without = own.replace(/~[^/]*\//, "")
        const refused = yield* Effect.forEach(
          [
            `GET http://${evil}/ HTTP/1.1\r\nHost: ${evil}\r\n${CLOSE}\r\n\r\n`,
            `CONNECT ${evil} HTTP/1.1\r\nHost: ${evil}\r\n\r\n`,
            `GET //${evil}/ HTTP/1.1\r\nHost: ${evil}\r\n${CLOSE}\r\n\r\n`,
            request(`${without}~${"a".repeat(27)}/`, CLOSE),
            request(without, CLOSE),
            `GET ${own} HTTP/1.1\r\n${CLOSE}\r\n\r\n`.replace(own, `${own} HTTP/1.1 HTTP/1.1\r\nX: `)
          ],
          (text) => Effect.map(raw(address.url, [text]), (answer) => [text.split("\r\n")[0] ?? "", answer] as const)
        )
        // What is said in fields leads nowhere else: the answer is the port's own.
        const inFields = yield* Effect.forEach(
          [`Host: ${evil}`, `X-Forwarded-Host: ${evil}`, `Forwarded: host=${evil}`, `X-Original-URL: http://${evil}/`],
          (field) => raw(address.url, [request(own, field, CLOSE)])
        )
        const astray = inFields.find((text) => !text.endsWith("ok") && !isRefused(text))
        return astray === undefined ? allRefused(refused) : escaped(astray.slice(0, 200))
      })),
    attempt(
      "ports-smuggle",
      "Hide a request without a token behind one that has it",
      PARSED,
      (arena) =>
        Effect.gen(function*() {
          const address = yield* serving(
            arena,
            8004,
            String.raw`
if head.startswith(b"GET /hidden"):
    open("/workspace/hidden", "w").close()
client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
`
          )
          const own = pathOf(address)
          const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
          const post = (...fields: ReadonlyArray<string>) => request(own, ...fields).replace("GET", "POST")
          const answers = yield* Effect.forEach(
            [
              [request(own), hidden],
              [post("Content-Length: 5", "Transfer-Encoding: chunked"), `0\r\n\r\n${hidden}`],
              [post("Transfer-Encoding: chunked, identity"), `0\r\n\r\n${hidden}`],
              [post("Transfer-Encoding:\u000bchunked"), `0\r\n\r\n${hidden}`],
              [post("Transfer-Encoding : chunked"), `0\r\n\r\n${hidden}`],
              [post("Content-Length: 0", "Content-Length: 40"), hidden],
              [post("Content-Length: +0"), hidden],
              [post("Content-Length: 0"), hidden],
              [request(own, `X: y\n\n${hidden}`)],
              [request(own, `X: y\r\r\n${hidden}`)],
              [request(own, "Connection: Content-Length", "Content-Length: 36"), hidden],
              [request(own, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"), hidden]
            ],
            (pieces) => raw(address.url, pieces),
            { concurrency: 6 }
          )
          const isThere = yield* Effect.isSuccess(arena.sdk.statFile(arena.sandboxId, "hidden"))
          return isThere
            ? escaped("the server was asked for what nobody has asked with the token")
            : held([...new Set(answers.map((text) => text.split("\r\n")[0] ?? ""))].join(", "))
        })
    ),
    attempt(
      "ports-answer-twice",
      "Answer the next request of whoever asks, in another's name",
      PARSED,
      (arena) =>
        Effect.gen(function*() {
          const forged = String.raw`HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`
          const lying = yield* serving(
            arena,
            8005,
            String.raw`
kind = int(head.split(b" ")[1].split(b"=")[-1])
answers = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
]
client.sendall(answers[kind] + b"${forged}" * 3)
`
          )
          const honest = String.raw`
client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest")`
          const other = yield* serving(arena, 8006, honest)
          const answers = yield* Effect.forEach(
            [0, 1, 2, 3, 4, 5, 6, 7],
            (n) =>
              raw(lying.url, [
                request(`${pathOf(lying)}?n=${n}`),
                request(`${pathOf(lying)}?n=0`, CLOSE)
              ])
          )
          const heads = answers.map((text) => text.match(/HTTP\/1\.1 200/g)?.length ?? 0)
          const bad = answers.find((text) => text.includes("forged"))
          const after = yield* raw(other.url, [request(pathOf(other), CLOSE)])
          return bad !== undefined
            ? escaped(`what stood behind an answer was passed on: ${bad.slice(0, 200)}`)
            : after.endsWith("honest")
            ? held(`answers: ${heads.join(" ")}`)
            : unclear(after.slice(0, 200))
        })
    ),
    attempt(
      "ports-key",
      "Learn the API key of whoever asks through a server",
      "the key is not passed on",
      (arena) =>
        Effect.gen(function*() {
          yield* serving(
            arena,
            8007,
            String.raw`
client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))`
          )
          const web = yield* serve(arena)
          const key = `Authorization: Bearer ${KEY}`
          const texts = yield* Effect.forEach(
            [[key], [key, "Connection: x, Authorization"], [`AUTHORIZATION: bearer  ${KEY} `]],
            (fields) => raw(web.url, [request(`/api/sandboxes/${arena.sandboxId}/ports/8007/a`, ...fields, CLOSE)])
          )
          const seen = texts.find((text) => text.includes(KEY))
          return seen !== undefined
            ? escaped(`the server in the sandbox saw it: ${seen.slice(0, 300)}`)
            : texts.every((text) => text.includes("GET /a HTTP/1.1"))
            ? held("it sees the request without it")
            : unclear(texts.join().slice(0, 300))
        }).pipe(Effect.scoped)
    ),
    attempt(
      "ports-upgrade",
      "Go on to a neighbour over an upgraded connection",
      TOKEN,
      (arena) =>
        Effect.gen(function*() {
          const address = yield* serving(
            arena,
            8008,
            String.raw`
client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nup ")
client.settimeout(1)
while piece := client.recv(65536):
    client.sendall(b"own:" + piece)
`
          )
          const theirs = yield* arena.sdk.getPort(arena.neighbour.told.sandboxId, arena.neighbour.told.tcp)
          const wish = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
          ]
          const own = pathOf(address)
          // One's own token at the neighbour's address; and the neighbour's address over one's own connection.
          const refused = yield* raw(theirs.url, [request(own, ...wish)])
          const over = yield* raw(address.url, [request(own, ...wish), request(pathOf(theirs), CLOSE)])
          return over.includes(arena.neighbour.secret) || refused.includes(arena.neighbour.secret) ||
              /^HTTP\/1\.1 101/.test(refused)
            ? escaped(`${refused.slice(0, 100)} ${over.slice(0, 100)}`)
            : over.includes("own:GET")
            ? held(`${refused.split("\r\n")[0] ?? ""}; all bytes went to its own server`)
            : unclear(over.slice(0, 200))
        })
    ),
    attempt(
      "ports-endless",
      "Have the engine keep an answer that never ends",
      "heads are bounded, bodies pass through",
      (arena) =>
        Effect.gen(function*() {
          const address = yield* serving(
            arena,
            8009,
            String.raw`
if b"?head" in head:
    client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
elif b"?fields" in head:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
else:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n")
piece = b"X-Field: 1\r\n" * 10000 if b"?fields" in head else b"x" * 1048576
sent = 0
client.settimeout(5)
try:
    while sent < 1 << 31:
        client.sendall(piece)
        sent += len(piece)
except OSError:
    pass
with open("/workspace/sent" + head.split(b" ")[1].decode()[-4:].strip("/?"), "w") as file:
    file.write(str(sent))
`
          )
          const heads = yield* Effect.forEach(["?head", "?fields"], (query) =>
            Effect.map(
              raw(address.url, [request(`${pathOf(address)}${query}`, CLOSE)]),
              (text) => [query, text] as const
            ))
          return allRefused(heads)
        })
    )
  ]
}
