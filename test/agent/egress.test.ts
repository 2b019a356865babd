/**
 * The proxy in a sandbox, by the real agent: what programs say to it, and what the engine hears of that.
 */
import { expect } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { NET_CONNECTIONS, NET_WINDOW, PROXY_PORT } from "../../src/agent/Protocol.js"
import { type Agent, baseEnv, describeAgents, startAgent } from "./harness.js"

const startProxy = Effect.tap(startAgent(), (agent) =>
  Effect.sync(() =>
    agent.send({
      op: "configure",
      env: baseEnv,
      limits: {},
      proxy: { port: PROXY_PORT, connections: NET_CONNECTIONS }
    })
  ))

/** Sends pieces of text (latin1) to the proxy one by one, and prints all that comes back. */
const PROGRAM = `
import json, os, socket, sys
client = socket.create_connection(("127.0.0.1", ${PROXY_PORT}))
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for piece in json.loads(sys.stdin.read()):
    text, times = piece if type(piece) is list else (piece, 1)
    client.sendall(text.encode("latin-1") * times)
got = b""
try:
    while part := client.recv(65536): got += part
except ConnectionResetError: got += b"RESET"
print(got.decode("latin-1"), end="")
`

/** Starts the program; gives its run. */
const say = (agent: Agent, ...pieces: ReadonlyArray<string | readonly [text: string, times: number]>): number =>
  agent.startCommand(`printf %s "$PIECES" | python3 -I -c "$PROGRAM"`, {
    env: { PROGRAM, PIECES: JSON.stringify(pieces) }
  })

const heard = (agent: Agent, run: number) =>
  Effect.map(agent.outcome(run), ({ stderr, stdout }) => stdout.toString() + stderr.toString())

const opened = (agent: Agent) =>
  Effect.map(agent.wait(({ message }) => message.ev === "net.open"), ({ message }) => {
    if (message.ev !== "net.open") throw new Error("unreachable")
    return message
  })

/** What the outside gets until `length` bytes are there. */
const carried = (agent: Agent, net: number, length: number): Effect.Effect<string> =>
  Effect.gen(function*() {
    let text = ""
    while (text.length < length) {
      const { blob } = yield* agent.wait(({ message }) => message.ev === "net.data" && message.net === net)
      text += blob.toString("latin1")
      agent.send({ op: "net.credit", net, bytes: blob.length + 256 })
    }
    return text
  })

/** Lets a request through and gives what the server would get of it. */
const forwarded = (agent: Agent, request: string, expected: string) =>
  Effect.gen(function*() {
    const run = say(agent, request)
    const { host, net, port } = yield* opened(agent)
    agent.send({ op: "net.opened", net })
    const text = yield* carried(agent, net, expected.length)
    agent.send({ op: "net.end", net })
    yield* heard(agent, run)
    return { host, port, text }
  })

describeAgents("The proxy of a sandbox", (it, kind) => {
  it.scopedLive("sends a server the request that was meant for it, for it alone", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      for (
        const [request, expected, at] of [
          [
            "GET http://a.test/p?q=1 HTTP/1.1\r\nHost: evil.test\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\n\r\n",
            "GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            "a.test:80"
          ],
          [
            "GET HTTP://user:pass@A.test:8080#part HTTP/1.0\r\nProxy-Authorization: Basic eA==\r\nKeep-Alive: 5\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: A.test:8080\r\nConnection: close\r\n\r\n",
            "A.test:8080"
          ],
          [
            "OPTIONS http://[2001:db8::1]:81 HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nConnection: close\r\n\r\n",
            "2001:db8::1:81"
          ],
          [
            "POST http://a.test?q HTTP/1.1\r\nConnection: X-Own, Content-Length\r\nX-Own: 1\r\nContent-Length: 4\r\n\r\nbody",
            "POST /?q HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
            "a.test:80"
          ],
          [
            "GET http://a.test/ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "a.test:80"
          ],
          [
            "GET http://a.test/bare HTTP/1.1\nAccept: x\n\n",
            "GET /bare HTTP/1.1\r\nHost: a.test\r\nAccept: x\r\nConnection: close\r\n\r\n",
            "a.test:80"
          ],
          ["CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:1\r\n\r\nhello", "hello", "a.test:443"],
          ["CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\nhello", "hello", "2001:db8::1:443"],
          ["\x05\x01\x00\x05\x01\x00\x03\x06a.test\x01\xbbhello", "hello", "a.test:443"],
          ["\x05\x02\x02\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50hello", "hello", "1.2.3.4:80"],
          [`\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8${"\0".repeat(11)}\x01\x00\x50hello`, "hello", "2001:db8::1:80"]
        ] as const
      ) {
        const { host, port, text } = yield* forwarded(agent, request, expected)
        expect([`${host}:${port}`, text]).toEqual([at, expected])
      }
    }))

  it.scopedLive("understands a request however it is cut", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      for (
        const request of [
          "CONNECT a.test:443 HTTP/1.1\r\n\r\nhello",
          "\x05\x01\x00\x05\x01\x00\x03\x06a.test\x01\xbbhello"
        ]
      ) {
        const run = say(agent, ...request)
        const { host, net, port } = yield* opened(agent)
        expect([host, port]).toEqual(["a.test", 443])
        agent.send({ op: "net.opened", net })
        expect(yield* carried(agent, net, 5)).toBe("hello")
        agent.send({ op: "net.data", net }, "answer")
        agent.send({ op: "net.end", net })
        expect((yield* heard(agent, run)).endsWith("answer")).toBe(true)
      }
    }))

  it.scopedLive("passes an answer on as it is, but for what it says of the connection", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      const answer = (...pieces: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const run = say(agent, "GET http://a.test/ HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
          const { net } = yield* opened(agent)
          agent.send({ op: "net.opened", net })
          for (const piece of pieces) agent.send({ op: "net.data", net }, Buffer.from(piece, "latin1"))
          agent.send({ op: "net.end", net })
          return yield* heard(agent, run)
        })
      const head = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-Connection: 1\r\n\r\n"
      const closing = "HTTP/1.1 200 OK\r\nX-Connection: 1\r\nConnection: close\r\n\r\n"
      const body = "body\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"
      expect(yield* answer(head + body)).toBe(closing + body)
      expect(yield* answer(...(head + body))).toBe(closing + body)
      expect(yield* answer(`HTTP/1.1 100 Continue\r\n\r\n${head}body`)).toBe(
        `HTTP/1.1 100 Continue\r\n\r\n${closing}body`
      )
      const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n\x00\xff"
      expect(yield* answer(upgraded)).toBe(upgraded)
      for (const odd of ["no HTTP at all", "HTTP/1.1 200 OK\r\nConnec", "HT", "HTTP/1.1\r\n\r\nx", "\r\n\r\n"]) {
        expect(yield* answer(odd)).toBe(odd)
      }
      const long = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\nbody`
      expect(yield* answer(long.slice(0, 70_000), long.slice(70_000))).toBe(long)
    }))

  it.scopedLive("says what is wrong with a request", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      for (
        const [request, expected] of [
          ["GET / HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*no web server/],
          ["GET https://a.test/ HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*CONNECT/],
          ["GET http:///path HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*names no host/],
          ["GET http://a.test:99999/ HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*names no host/],
          [`GET http://${"a".repeat(256)}/ HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 400 .*names no host/],
          ["CONNECT a.test HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*names no host/],
          ["CONNECT a.test:0 HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 400 .*names no host/],
          ["GET http://a.test/ HTTP/2\r\n\r\n", /^HTTP\/1\.1 400 /],
          ["GET http://a.test/ HTTP/1.1\r\nbad header\r\n\r\n", /^HTTP\/1\.1 400 .*malformed/],
          ["GET http://a.test/ HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n", /^HTTP\/1\.1 400 .*malformed/],
          ["\x16\x03\x01\x02\x00\r\n\r\n", /^HTTP\/1\.1 400 /],
          [`GET http://a.test/ HTTP/1.1\r\nX: ${"x".repeat(70_000)}`, /^HTTP\/1\.1 431 /],
          ["\x05\x01\x02", /^\x05\xff$/],
          ["\x05\x01\x00\x05\x02\x00\x03\x06a.test\x01\xbb", /^\x05\x00\x05\x07/],
          ["\x05\x01\x00\x05\x01\x00\x09\x06a.test\x01\xbb", /^\x05\x00\x05\x08/]
        ] as const
      ) {
        expect([request.slice(0, 60), yield* heard(agent, say(agent, request))]).toEqual([
          request.slice(0, 60),
          expect.stringMatching(expected)
        ])
      }
      expect(agent.unread.filter(({ message }) => message.ev === "net.open")).toEqual([])
    }))

  it.scopedLive("tells a refusal in the words of the engine, and of SOCKS", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      const refused = (request: string, status: number, more = 0) =>
        Effect.gen(function*() {
          const run = say(agent, request, ["x", more])
          const { net } = yield* opened(agent)
          agent.send({ op: "net.refused", net, status, message: "No: é\r\nX: 1" })
          return yield* heard(agent, run)
        })
      // A program that has sent more than is read of it still hears why.
      for (const request of ["CONNECT a.test:1", "POST http://a.test/"]) {
        expect(yield* refused(`${request} HTTP/1.1\r\n\r\n`, 403, 500_000)).toMatch(
          /^HTTP\/1\.1 403 No: \?\?\?X: 1\r\nContent-Type/
        )
      }
      const socks = "\x05\x01\x00\x05\x01\x00\x03\x06a.test\x01\xbb"
      for (const [status, code] of [[403, 2], [502, 4], [503, 1], [504, 6]] as const) {
        expect((yield* refused(socks, status)).charCodeAt(3)).toBe(code)
      }
    }))

  it.scopedLive("reads no more of a program than there is credit for, and resets it when the connection breaks", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      const run = say(agent, "CONNECT a.test:1 HTTP/1.1\r\n\r\n", ["x", 100_000])
      const { net } = yield* opened(agent)
      agent.send({ op: "net.opened", net })
      const flood = say(agent, "CONNECT a.test:2 HTTP/1.1\r\n\r\n", ["y", 1_000_000])
      const { net: other } = yield* opened(agent)
      agent.send({ op: "net.opened", net: other })
      // Whoever asks after it has its answer after all that was sent without credit.
      yield* agent.command("sleep 0.5")
      const taken = agent.unread.filter(({ message }) => message.ev === "net.data" && message.net === other)
      const bytes = taken.reduce((sum, { blob }) => sum + blob.length + 256, 0)
      expect(bytes).toBeGreaterThan(NET_WINDOW / 2)
      expect(bytes).toBeLessThanOrEqual(NET_WINDOW)
      for (const each of [net, other]) agent.send({ op: "net.close", net: each })
      expect(yield* heard(agent, run)).toMatch(/RESET$/)
      expect(yield* heard(agent, flood)).toMatch(/RESET|BrokenPipe|ConnectionReset/)
    }))

  it.scopedLive("survives whatever programs say, and goes on", () =>
    Effect.gen(function*() {
      const agent = yield* startProxy
      const start = fc.constantFrom(
        "",
        "\x05",
        "\x05\x01\x00",
        "\x05\x01\x00\x05\x01\x00\x03",
        "GET ",
        "CONNECT ",
        "\x04\x01"
      )
      const rest = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"))
      const words = fc.array(
        fc.constantFrom(" ", ":", "/", "http://", "[", "]", "@", "a", "\r\n", "\n", "HTTP/1.1", "#", "?"),
        {
          maxLength: 20
        }
      ).map((parts) => `${parts.join("")}\r\n\r\n`)
      const inputs = fc.sample(fc.tuple(start, fc.oneof(rest, words)).map((parts) => parts.join("")), 300)
      const program = `
import json, socket, sys
for text in json.loads(sys.stdin.read()):
    client = socket.create_connection(("127.0.0.1", ${PROXY_PORT}))
    client.sendall(text.encode("latin-1"))
    client.shutdown(socket.SHUT_WR)
    client.close()
print("done")`
      agent.send({ op: "file.write", id: 900, path: "/workspace/inputs.json", createParents: false })
      agent.send({ op: "file.data", id: 900, last: false }, JSON.stringify(inputs))
      agent.send({ op: "file.data", id: 900, last: true })
      yield* agent.answer(900)
      const { stderr, stdout } = yield* agent.command(`python3 -I -c "$PROGRAM" < inputs.json`, {
        env: { PROGRAM: program }
      })
      expect([stdout.toString(), stderr.toString()]).toEqual(["done\n", ""])
      const run = say(agent, "CONNECT last.test:443 HTTP/1.1\r\n\r\nhello")
      const { message } = yield* agent.wait(({ message }) => message.ev === "net.open" && message.host === "last.test")
      if (message.ev !== "net.open") throw new Error("unreachable")
      agent.send({ op: "net.refused", net: message.net, status: 403, message: "No." })
      expect(yield* heard(agent, run)).toMatch(/^HTTP\/1\.1 403 No\./)
      expect((yield* agent.command("echo alive")).stdout.toString()).toBe("alive\n")
    }))

  it.scopedLive("is not there unless it is asked for, and no interpreter holds its port", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const connect = `exec 3<> /dev/tcp/127.0.0.1/${PROXY_PORT} && echo yes`
      expect((yield* agent.command(connect)).stdout.toString()).toBe("")
      agent.send({ op: "configure", env: baseEnv, limits: {}, proxy: { port: PROXY_PORT, connections: 1 } })
      // Node listens a moment after it was told to.
      const until = `until (${connect}) 2> /dev/null; do sleep 0.02; done`
      expect((yield* agent.command(until)).stdout.toString()).toBe("yes\n")
      yield* agent.open("c", "bash")
      const { stdout } = yield* agent.run(
        "c",
        "ls -l /proc/$$/fd | grep -c socket: ; ls -l /proc/self/fd | grep -c socket:"
      )
      // Its commands, and its control socket.
      expect(stdout.toString()).toBe("2\n0\n")
      if (kind === "node") return
      yield* agent.open("p", "python")
      const { results } = yield* agent.run(
        "p",
        "import os\n[os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')]"
      )
      expect(results[0]?.text?.match(/socket:/g)).toHaveLength(1)
    }))
})
