/**
 * Connections into a sandbox: the engine's side against agents that break the rules, and the agent's against the engine.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { makeDialer } from "../../src/agent/Dialer.js"
import type { EngineMessage } from "../../src/agent/Protocol.js"
import { NET_FRAME_COST, NET_WINDOW, PORT_CONNECTIONS } from "../../src/agent/Protocol.js"
import { eventually } from "../conformance/support.js"
import { type Agent, describeAgents, startAgent } from "./harness.js"

type Sent = Extract<EngineMessage, { readonly net: number }>

const none = Buffer.alloc(0)

/** A dialer, and everything that it says. */
const start = () => {
  const said: Array<Sent & { readonly length: number }> = []
  const violations: Array<string> = []
  let isCongested = false
  const dialer = makeDialer({
    send: (message, blob) => said.push({ ...message, length: blob?.length ?? 0 }),
    congested: () => isCongested,
    violated: (what) => violations.push(what)
  })
  return {
    ...dialer,
    said,
    violations,
    congest: (value: boolean) => {
      isCongested = value
    },
    /** A connection that is made; numbers are -1, -2 … */
    connected: (net: number) =>
      Effect.gen(function*() {
        const dialing = yield* Effect.fork(dialer.dial(8000))
        yield* eventually(Effect.sync(() => said.some((message) => message.op === "net.dial" && message.net === net)))
        dialer.receive({ ev: "net.opened", net }, none)
        return yield* Fiber.join(dialing)
      })
  }
}

describe("The engine's side of connections into a sandbox", () => {
  it.scopedLive("takes no more than the credit, and gives it back only for what has been read", () =>
    Effect.gen(function*() {
      const agent = start()
      const stream = yield* agent.connected(-1)
      const piece = Buffer.alloc(16 * 1024)
      for (let sent = 0; sent + piece.length + NET_FRAME_COST <= NET_WINDOW; sent += piece.length + NET_FRAME_COST) {
        agent.receive({ ev: "net.data", net: -1 }, piece)
      }
      expect(agent.violations).toEqual([])
      // Of what nobody has read, no more than the buffer of the stream has been paid for.
      const paid = () => agent.said.reduce((sum, message) => sum + (message.op === "net.credit" ? message.bytes : 0), 0)
      expect(paid()).toBeLessThanOrEqual(64 * 1024 + 8 * NET_FRAME_COST)
      expect(stream.readableLength + paid()).toBeLessThanOrEqual(2 * NET_WINDOW)
      for (let more = 0; more < 20; more++) agent.receive({ ev: "net.data", net: -1 }, piece)
      expect(agent.violations).toEqual(expect.arrayContaining(["more of a connection than it was allowed to send"]))
    }))

  it.scopedLive("sends no more than it may, and nothing while the agent does not read", () =>
    Effect.gen(function*() {
      const agent = start()
      const stream = yield* agent.connected(-1)
      const sent = () => agent.said.reduce((sum, message) => sum + message.length, 0)
      agent.congest(true)
      stream.write(Buffer.alloc(1024 * 1024))
      expect(sent()).toBe(0)
      agent.congest(false)
      agent.resume()
      yield* eventually(Effect.sync(() => sent() === NET_WINDOW - NET_FRAME_COST))
      agent.receive({ ev: "net.credit", net: -1, bytes: NET_WINDOW }, none)
      yield* eventually(Effect.sync(() => sent() > NET_WINDOW))
      agent.receive({ ev: "net.credit", net: -1, bytes: NET_WINDOW + 1 }, none)
      expect(agent.violations).toEqual(["more credit for a connection than it had taken"])
    }))

  it.scopedLive("goes by nothing that was not asked for", () =>
    Effect.gen(function*() {
      const agent = start()
      for (const net of [-1, -7]) {
        agent.receive({ ev: "net.opened", net }, none)
        agent.receive({ ev: "net.refused", net, status: 502 }, none)
        agent.receive({ ev: "net.data", net }, Buffer.from("x"))
        agent.receive({ ev: "net.end", net }, none)
        agent.receive({ ev: "net.close", net }, none)
        agent.receive({ ev: "net.credit", net, bytes: 1 }, none)
      }
      expect([agent.said, agent.violations]).toEqual([[], []])
      const stream = yield* agent.connected(-1)
      // A second answer changes nothing.
      agent.receive({ ev: "net.opened", net: -1 }, none)
      agent.receive({ ev: "net.refused", net: -1, status: 503 }, none)
      agent.receive({ ev: "net.end", net: -1 }, none)
      agent.receive({ ev: "net.end", net: -1 }, none)
      agent.receive({ ev: "net.data", net: -1 }, Buffer.from("x"))
      expect(stream.destroyed).toBe(false)
      expect(agent.violations).toEqual(["more of a connection than it was allowed to send"])
      agent.receive({ ev: "net.open", net: -9, host: "example.org", port: 80 }, none)
      expect(agent.violations).toContain("a number of a connection that is not its own")
    }))

  it.scopedLive("makes so many connections at a time, and counts those that were given up no more", () =>
    Effect.gen(function*() {
      const agent = start()
      const scope = yield* Scope.make()
      yield* Effect.forEach(
        Array.from({ length: PORT_CONNECTIONS }),
        () => Effect.fork(Effect.scoped(Effect.zipRight(agent.dial(1), Effect.never))),
        { concurrency: "unbounded" }
      ).pipe(Effect.flatMap((fibers) => Scope.addFinalizer(scope, Fiber.interruptAll(fibers))))
      yield* eventually(Effect.sync(() => agent.said.length === PORT_CONNECTIONS))
      expect(yield* Effect.flip(agent.dial(1))).toMatchObject({ reason: "full" })
      yield* Scope.close(scope, Exit.void)
      expect(agent.said.filter(({ op }) => op === "net.close")).toHaveLength(PORT_CONNECTIONS)
      yield* agent.connected(-PORT_CONNECTIONS - 1)
    }))

  it.scopedLive("breaks all of them when the agent is gone", () =>
    Effect.gen(function*() {
      const agent = start()
      const stream = yield* agent.connected(-1)
      const waiting = yield* Effect.fork(Effect.flip(agent.dial(2)))
      yield* eventually(Effect.sync(() => agent.said.length === 2))
      agent.lost()
      yield* eventually(Effect.sync(() => stream.closed))
      expect(yield* Fiber.join(waiting)).toMatchObject({ reason: "lost" })
      expect(yield* Effect.flip(agent.dial(3))).toMatchObject({ reason: "lost" })
    }))
})

const ECHO = `
import socket
server = socket.create_server(("127.0.0.1", 7000))
while True:
    client, _ = server.accept()
    while data := client.recv(65536): client.sendall(data)
    client.close()
`

/** Asks for a connection and gives the answer. */
const dial = (agent: Agent, net: number, port: number) => {
  agent.send({ op: "net.dial", net, port })
  return Effect.map(agent.wait(({ message }) => "net" in message && message.net === net), ({ message }) => message)
}

/** Starts the server and connects to it, as soon as it listens; gives the number of the connection. */
const connected = (agent: Agent, program: string) =>
  Effect.gen(function*() {
    agent.startCommand(`exec python3 -c "$PROGRAM"`, { env: { PROGRAM: program } })
    let net = -1
    while ((yield* dial(agent, net, 7000)).ev !== "net.opened") {
      net -= 1
      yield* Effect.sleep("20 millis")
    }
    return net
  })

const FLOOD = `
import socket
server = socket.create_server(("127.0.0.1", 7000))
client, _ = server.accept()
try:
    for _ in range(100): client.sendall(bytes(65536))
finally: open("sent", "w").close()
`

describeAgents("connections into a sandbox", (it) => {
  it.scopedLive("are made to the loopback inside, carry bytes both ways and end one direction at a time", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const net = yield* connected(agent, ECHO)
      agent.send({ op: "net.data", net }, "hello")
      const { blob } = yield* agent.wait(({ message }) => message.ev === "net.data" && message.net === net)
      expect(blob.toString()).toBe("hello")
      yield* agent.wait(({ message }) => message.ev === "net.credit" && message.net === net)
      agent.send({ op: "net.end", net })
      yield* agent.wait(({ message }) => message.ev === "net.end" && message.net === net)
      expect(yield* dial(agent, net - 1, 1)).toEqual({ ev: "net.refused", net: net - 1, status: 502 })
      // What is unknown, or over, is ignored.
      for (const over of [net, net - 1, -999]) {
        agent.send({ op: "net.data", net: over }, "x")
        agent.send({ op: "net.end", net: over })
        agent.send({ op: "net.credit", net: over, bytes: 1 })
        agent.send({ op: "net.close", net: over })
      }
      expect((yield* agent.command("echo here")).stdout.toString()).toBe("here\n")
    }))

  it.scopedLive("send no more than they were given credit for, and break when they are closed", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const net = yield* connected(agent, FLOOD)
      let received = 0
      const take = Effect.map(
        agent.wait(({ message }) => message.ev === "net.data" && message.net === net),
        ({ blob }) => {
          received += blob.length + NET_FRAME_COST
        }
      )
      while (received + NET_FRAME_COST < NET_WINDOW) yield* take
      // Another run shows that the agent has had time to send more.
      expect((yield* agent.command("sleep 0.2; ls")).stdout.toString()).toBe("")
      expect(received).toBeLessThanOrEqual(NET_WINDOW)
      expect(agent.unread.filter(({ message }) => message.ev === "net.data")).toEqual([])
      agent.send({ op: "net.credit", net, bytes: NET_WINDOW })
      while (received + NET_FRAME_COST < 2 * NET_WINDOW) yield* take
      agent.send({ op: "net.close", net })
      yield* eventually(Effect.map(agent.command("ls"), ({ stdout }) => stdout.toString() === "sent\n"))
    }))
})
