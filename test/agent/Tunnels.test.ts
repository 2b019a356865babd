/**
 * The engine's side of connections, against agents that break the rules. The outside is real sockets of this machine.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { duplexPair } from "node:stream"
import * as Client from "../../src/agent/Client.js"
import { encodeFrame } from "../../src/agent/Frames.js"
import type { EngineMessage } from "../../src/agent/Protocol.js"
import { NET_CONNECTIONS, NET_FRAME_COST, NET_WINDOW } from "../../src/agent/Protocol.js"
import { type Dial, makeTunnels, Refusal } from "../../src/agent/Tunnels.js"
import { Sockets } from "../../src/engine/Sockets.js"
import { SandboxError } from "../../src/Errors.js"
import { makeRunAside } from "../../src/internal/aside.js"
import { eventually } from "../conformance/support.js"
import { holding, listening } from "../support/servers.js"

type Sent = Extract<EngineMessage, { readonly net: number }> & { readonly bytes?: number }

/** Tunnels, and everything that they say. */
const start = (dial: Dial) =>
  Effect.gen(function*() {
    const said: Array<Sent> = []
    const violations: Array<string> = []
    let received = 0
    let isCongested = false
    const tunnels = yield* makeTunnels({
      dial,
      send: (message, blob) => {
        received += blob?.length ?? 0
        said.push(message)
      },
      congested: () => isCongested,
      violated: (what) => violations.push(what)
    })
    const says = (op: Sent["op"], net: number) =>
      eventually(Effect.sync(() => said.some((message) => message.op === op && message.net === net)))
    return {
      ...tunnels,
      said,
      says,
      violations,
      received: () => received,
      congest: (value: boolean) => {
        isCongested = value
      },
      open: (net: number, port: number) => tunnels.receive({ ev: "net.open", net, host: "127.0.0.1", port }, none)
    }
  })

const none = Buffer.alloc(0)

const dial: Dial = (host, port) =>
  Sockets.defaultValue().connect(host, port).pipe(
    Effect.mapError(({ code }) => new Refusal({ status: 502, message: code }))
  )

/** A server that never stops to send. */
const flood = listening(() =>
  Net.createServer((socket) => {
    const more = () => socket.write(Buffer.alloc(64 * 1024), (error) => error ? undefined : more())
    socket.on("error", () => {})
    more()
  })
)

/** A server that does not read. */
const deaf = listening(() => Net.createServer((socket) => socket.on("error", () => {}).pause()))

describe("Tunnels", () => {
  it.scopedLive("takes no more than the credit, and gives it back only for what the outside has taken", () =>
    Effect.gen(function*() {
      const { port } = yield* deaf
      const agent = yield* start(dial)
      agent.open(1, port)
      yield* agent.says("net.opened", 1)
      let credit = NET_WINDOW
      let counted = 0
      const piece = Buffer.alloc(16 * 1024)
      // As an honest agent: until nothing comes back any more.
      for (let quiet = 0; quiet < 20;) {
        for (; counted < agent.said.length; counted += 1) {
          const message = agent.said[counted]
          if (message?.op === "net.credit") credit += message.bytes
        }
        quiet = credit < piece.length + NET_FRAME_COST ? quiet + 1 : 0
        while (credit >= piece.length + NET_FRAME_COST) {
          credit -= piece.length + NET_FRAME_COST
          agent.receive({ ev: "net.data", net: 1 }, piece)
        }
        yield* Effect.sleep("20 millis")
      }
      expect(agent.violations).toEqual([])
      agent.receive({ ev: "net.data", net: 1 }, piece)
      expect(agent.violations).toEqual(["more of a connection than it was allowed to send"])
    }))

  it.scopedLive("counts every frame, so that empty ones are not free", () =>
    Effect.gen(function*() {
      const { port } = yield* deaf
      const agent = yield* start(dial)
      agent.open(1, port)
      yield* agent.says("net.opened", 1)
      for (let index = 0; index <= NET_WINDOW / NET_FRAME_COST; index += 1) {
        agent.receive({ ev: "net.data", net: 1 }, none)
      }
      expect(agent.violations).toHaveLength(1)
    }))

  it.scopedLive("sends no more than the credit, nor while what it has sent waits, and takes no credit out of thin air", () =>
    Effect.gen(function*() {
      const { port } = yield* flood
      const agent = yield* start(dial)
      agent.open(1, port)
      const settled: Effect.Effect<number> = Effect.gen(function*() {
        const before = agent.received()
        yield* Effect.sleep("100 millis")
        return before > 0 && before === agent.received() ? before : yield* settled
      })
      const first = yield* settled
      expect(first).toBeLessThanOrEqual(NET_WINDOW)
      expect(first).toBeGreaterThan(NET_WINDOW / 2)
      agent.congest(true)
      agent.receive({ ev: "net.credit", net: 1, bytes: NET_WINDOW / 2 }, none)
      expect(yield* settled).toBe(first)
      agent.congest(false)
      agent.resume()
      yield* eventually(Effect.sync(() => agent.received() > first))
      expect(agent.violations).toEqual([])
      agent.receive({ ev: "net.credit", net: 1, bytes: 2 * NET_WINDOW }, none)
      expect(agent.violations).toEqual(["more credit for a connection than it had taken"])
    }))

  it.scopedLive("takes each number once and upwards, no data after the end, and ignores what it does not know", () =>
    Effect.gen(function*() {
      const { port } = yield* deaf
      const agent = yield* start(dial)
      for (const net of [0, 7, 12345]) {
        agent.receive({ ev: "net.data", net }, none)
        agent.receive({ ev: "net.end", net }, none)
        agent.receive({ ev: "net.close", net }, none)
        agent.receive({ ev: "net.credit", net, bytes: 1 }, none)
      }
      expect([agent.violations, agent.said]).toEqual([[], []])
      agent.open(3, port)
      yield* agent.says("net.opened", 3)
      agent.receive({ ev: "net.end", net: 3 }, none)
      agent.receive({ ev: "net.data", net: 3 }, none)
      expect(agent.violations).toHaveLength(1)
      agent.open(3, port)
      agent.open(2, port)
      agent.open(0, port)
      agent.open(-1, port)
      expect(agent.violations).toHaveLength(5)
    }))

  it.scopedLive("gives up a connection that is being made, and counts those that are", () =>
    Effect.gen(function*() {
      let dialling = 0
      const agent = yield* start(() =>
        Effect.acquireRelease(Effect.sync(() => dialling += 1), () => Effect.sync(() => dialling -= 1)).pipe(
          Effect.zipRight(Effect.never)
        )
      )
      for (let net = 1; net <= NET_CONNECTIONS + 2; net += 1) agent.open(net, 1)
      expect(dialling).toBe(NET_CONNECTIONS)
      expect(agent.said).toMatchObject([NET_CONNECTIONS + 1, NET_CONNECTIONS + 2].map((net) => ({
        op: "net.refused",
        net,
        status: 503
      })))
      agent.receive({ ev: "net.close", net: 1 }, none)
      yield* eventually(Effect.sync(() => dialling === NET_CONNECTIONS - 1))
      agent.open(1_000, 1)
      expect(dialling).toBe(NET_CONNECTIONS)
    }))

  it.scopedLive("tells a refusal, also when making the connection breaks altogether", () =>
    Effect.gen(function*() {
      const agent = yield* start((_, port) =>
        port === 1 ? Effect.die(new Error("broken")) : Effect.fail(new Refusal({ status: 403, message: "No." }))
      )
      agent.open(1, 1)
      agent.open(2, 2)
      yield* agent.says("net.refused", 1)
      yield* agent.says("net.refused", 2)
      expect(agent.said).toContainEqual({ op: "net.refused", net: 2, status: 403, message: "No." })
    }))

  it.live("closes the sockets with its scope, without a word", () =>
    Effect.gen(function*() {
      const { open, port } = yield* holding
      const scope = yield* Scope.make()
      const agent = yield* Scope.extend(start(dial), scope)
      for (const net of [1, 2, 3]) {
        agent.open(net, port)
        yield* agent.says("net.opened", net)
      }
      yield* eventually(Effect.sync(() => open.size === 3))
      yield* Scope.close(scope, Exit.void)
      yield* eventually(Effect.sync(() => open.size === 0))
    }).pipe(Effect.scoped))
})

describe("AgentClient", () => {
  const connect = (dial: Dial | undefined) =>
    Effect.gen(function*() {
      const [ours, theirs] = duplexPair()
      const violations: Array<string | undefined> = []
      const runAside = yield* makeRunAside
      yield* Effect.forkScoped(
        Client.make({
          sandboxId: "sbx_test",
          runAside,
          stream: ours,
          dial,
          onContextExit: () => {},
          onLost: (violation) => {
            violations.push(violation)
            return Effect.succeed(new SandboxError({ code: "terminated", message: "It is over." }))
          }
        })
      )
      theirs.resume()
      theirs.write(encodeFrame({ ev: "ready", pid: 1, version: 1 }))
      return { theirs, violations }
    })

  it.scopedLive("closes all connections as soon as the agent is lost", () =>
    Effect.gen(function*() {
      const { open, port } = yield* holding
      const { theirs, violations } = yield* connect(dial)
      theirs.write(encodeFrame({ ev: "net.open", net: 1, host: "127.0.0.1", port }))
      yield* eventually(Effect.sync(() => open.size === 1))
      theirs.end()
      yield* eventually(Effect.sync(() => open.size === 0))
      expect(violations).toEqual([undefined])
    }))

  const breaks = (send: (agent: Duplex) => void, options: { readonly dial?: Dial } = { dial }) =>
    Effect.gen(function*() {
      const { theirs, violations } = yield* connect(options.dial)
      send(theirs)
      yield* eventually(Effect.sync(() => violations.length > 0))
      expect(violations).toEqual([expect.stringMatching(/\w/)])
    })

  it.scopedLive("ends a sandbox that asks for a connection and has no network", () =>
    breaks((agent) => agent.write(encodeFrame({ ev: "net.open", net: 1, host: "example.org", port: 80 })), {}))

  it.scopedLive("ends a sandbox whose messages about connections are malformed", () =>
    Effect.gen(function*() {
      for (
        const message of [
          { ev: "net.open", net: 1, host: "x".repeat(256), port: 80 },
          { ev: "net.open", net: 1, host: "a.test", port: 0 },
          { ev: "net.open", net: 1, host: "a.test", port: 65_536 },
          { ev: "net.open", net: 1, host: "a.test", port: 80.5 },
          { ev: "net.open", net: 1.5, host: "a.test", port: 80 },
          { ev: "net.open", net: "1", host: "a.test", port: 80 },
          { ev: "net.credit", net: 1, bytes: -1 },
          { ev: "net.credit", net: 1, bytes: 0 },
          { ev: "net.credit", net: 1, bytes: 1e400 }
        ]
      ) {
        yield* breaks((agent) => agent.write(encodeFrame(message)))
      }
    }))

  it.scopedLive("ends a sandbox that sends a frame beyond all credit before the frame is there", () =>
    breaks((agent) => {
      const header = Buffer.from(JSON.stringify({ ev: "net.data", net: 1 }))
      const lengths = Buffer.alloc(8)
      lengths.writeUInt32LE(header.length, 0)
      lengths.writeUInt32LE(NET_WINDOW + 1, 4)
      agent.write(Buffer.concat([lengths, header]))
    }))
})
