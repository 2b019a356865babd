/**
 * Runs whose connections break: a real server over the engine, and a proxy in between.
 */
import { expect, layer as testLayer } from "@effect/vitest"
import { Cause, Chunk, Context, Effect, Exit, Fiber, Layer, Metric, Redacted, Stream } from "effect"
import { resumptions } from "../../src/Metrics.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxConfig, type SandboxConfigOptions } from "../../src/SandboxConfig.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { serve } from "../../src/server.js"
import { eventually } from "../conformance/support.js"
import { cuttingProxy, type Plan } from "../support/cuttingProxy.js"

const KEY = "key-of-resuming-8ab1"

class Server extends Context.Tag("test/Server")<Server, { readonly url: string }>() {}

const server = Layer.scoped(
  Server,
  Effect.acquireRelease(
    Effect.promise(() => serve({ port: 0, apiKeys: [KEY], heartbeatMs: 100, detachGraceMs: 1_500 })),
    (running) => Effect.promise(() => running.close())
  )
)

const client = (url: string, options: Partial<SandboxConfigOptions> = {}) =>
  SandboxSDK.layerFetch.pipe(
    Layer.provide(SandboxConfig.layer({ apiKey: Redacted.make(KEY), serverUrl: url, retryDelay: 5, ...options })),
    Layer.orDie
  )

const bash = Sandbox.make({ templateId: "bash" })

/** Output that is known byte for byte, written over some time, with characters of several bytes. */
const piece = "žluťoučký 🦊 kůň\n"
const program =
  `echo x >> count; for i in $(seq 40); do printf '${piece.trimEnd()}\\n'; [ $((i % 10)) = 0 ] && sleep 0.02; done`
const expected = piece.repeat(40)

/** The sandbox is used directly, and what is tested through the proxy. */
const through = (plan: (connection: number) => Plan, options?: { readonly idleMs?: number }) =>
  Effect.flatMap(Server, ({ url }) => cuttingProxy(url, plan, options))

testLayer(server, { timeout: "60 seconds", excludeTestServices: true })("a run over a network that breaks", (it) => {
  it.scoped("has all of its output, once and in order, wherever the connection breaks", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      yield* Effect.gen(function*() {
        const sandbox = yield* bash
        const whole = yield* through(() => undefined)
        const run = (proxy: string) =>
          Effect.flatMap(SandboxSDK, (sdk) => sdk.runTerminal(sandbox.id, program)).pipe(Effect.provide(client(proxy)))
        expect(yield* run(whole.url)).toBe(expected)
        const size = whole.passed()
        const hows = ["close", "reset"] as const
        let runs = 1
        for (let at = 1; at < size; at += Math.ceil(size / 14)) {
          // The first connection, and one further on, each in another way.
          const proxy = yield* through((connection) =>
            connection === 0
              ? { after: at, how: hows[at % 2] ?? "close" }
              : connection === 1
              ? { after: Math.floor(at / 2), how: "reset" }
              : undefined
          )
          expect(yield* run(proxy.url), `cut after ${at} bytes`).toBe(expected)
          runs += 1
        }
        expect(yield* sandbox.readFile("count")).toBe("x\n".repeat(runs))
      }).pipe(Effect.provide(client(url)))
    }), 120_000)

  it.scoped("is the same for code, for batches and for who follows it", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      const cut = () =>
        through((connection) => connection < 4 ? { after: 900 + 300 * connection, how: "close" } : undefined)
      yield* Effect.gen(function*() {
        const sandbox = yield* bash
        const viaCode = yield* cut()
        const { execution } = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.runCode(sandbox.id, program)).pipe(
          Effect.provide(client(viaCode.url))
        )
        expect(execution.logs.stdout.join("")).toBe(expected)
        const counted = resumptions.pipe(
          Metric.tagged("component", "client"),
          Metric.tagged("operation", "runCodeStream"),
          Metric.value
        )
        const before = yield* counted
        const viaStream = yield* cut()
        const events = yield* Effect.flatMap(SandboxSDK, (sdk) =>
          Stream.runCollect(sdk.runCodeStream(sandbox.id, program))).pipe(Effect.provide(client(viaStream.url)))
        expect(
          Chunk.toReadonlyArray(events).map(({ seq }) =>
            seq
          )
        ).toEqual(Chunk.toReadonlyArray(events).map((_, n) => n))
        expect(Chunk.unsafeLast(events)._tag).toBe("Ended")
        expect((yield* counted).count).toBeGreaterThan(before.count)
        const viaBatch = yield* cut()
        const results = yield* Effect.flatMap(SandboxSDK, (sdk) =>
          sdk.executeBatch(sandbox.id, [{ id: "a", code: program }, { id: "b", code: program }])).pipe(
            Effect.provide(client(viaBatch.url))
          )
        expect(results.map((result) =>
          result.execution?.logs.stdout.join("")
        )).toEqual([expected, expected])
        const first = Chunk.unsafeHead(events)
        const viaAttach = yield* cut()
        const again = yield* Effect.flatMap(SandboxSDK, (sdk) =>
          Stream.runCollect(sdk.attach(first._tag === "Started" ? first.executionId : ""))).pipe(
            Effect.provide(client(viaAttach.url))
          )
        expect(Chunk.toReadonlyArray(again)).toEqual(Chunk.toReadonlyArray(events))
        expect(yield* sandbox.readFile("count")).toBe("x\n".repeat(4))
      }).pipe(Effect.provide(client(url)))
    }), 60_000)

  it.scoped("goes on when what stands before the server answers in its place", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      yield* Effect.gen(function*() {
        const sandbox = yield* bash
        const proxy = yield* through((connection) =>
          connection === 0
            ? { status: 502 }
            : connection === 1
            ? { after: 1_000, how: "close" }
            : connection === 2
            ? { status: 503 }
            : undefined
        )
        const output = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.runTerminal(sandbox.id, program)).pipe(
          Effect.provide(client(proxy.url))
        )
        expect(output).toBe(expected)
        expect(yield* sandbox.readFile("count")).toBe("x\n")
      }).pipe(Effect.provide(client(url)))
    }), 60_000)

  it.scoped(
    "notices a peer from which nothing comes any more, and makes another connection",
    () =>
      Effect.gen(function*() {
        const { url } = yield* Server
        yield* Effect.gen(function*() {
          const sandbox = yield* bash
          const proxy = yield* through((connection) => connection === 0 ? { after: 1_200, how: "stall" } : undefined)
          const output = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.runTerminal(sandbox.id, program)).pipe(
            Effect.provide(client(proxy.url))
          )
          expect(output).toBe(expected)
          expect(proxy.connections()).toBeGreaterThan(1)
        }).pipe(Effect.provide(client(url)))
      }),
    60_000
  )

  it.scoped(
    "is not cut by what closes connections on which nothing is said, however long it prints nothing",
    () =>
      Effect.gen(function*() {
        const { url } = yield* Server
        yield* Effect.gen(function*() {
          const sandbox = yield* bash
          const proxy = yield* through(() => undefined, { idleMs: 4_000 })
          yield* Effect.gen(function*() {
            const sdk = yield* SandboxSDK
            // In several parts, each of which ends as it should.
            expect(yield* sdk.runTerminal(sandbox.id, "sleep 7; echo done")).toBe("done\n")
          }).pipe(Effect.provide(client(proxy.url, { maxRetries: 0 })))
        }).pipe(Effect.provide(client(url)))
      }),
    60_000
  )

  it.scoped("waits for a slow consumer, keeps little, and loses nothing", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      yield* Effect.gen(function*() {
        const sandbox = yield* bash
        const sdk = yield* SandboxSDK
        const size = 60_000_000
        const code = `for i in $(seq 60); do head -c 1000000 /dev/zero | tr '\\0' x; echo $i > written; done`
        let read = 0
        let isFirst = true
        const before = process.memoryUsage().arrayBuffers
        yield* Stream.runForEachChunk(sdk.runTerminalStream(sandbox.id, code), (events) =>
          Effect.gen(function*() {
            for (const event of events) {
              read += event._tag === "Stdout" ? event.text.length : 0
            }
            if (isFirst && read > 0) {
              isFirst = false
              // Longer than the server lets a run go on whose client is gone.
              yield* Effect.sleep("3 seconds")
              expect(Number(yield* sandbox.readFile("written"))).toBeLessThan(40)
              expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(60_000_000)
            }
          }))
        expect(read).toBe(size)
      }).pipe(Effect.provide(client(url)))
    }), 60_000)

  it.scoped(
    "is stopped when its caller is interrupted, also while the connection is being made again",
    () =>
      Effect.gen(function*() {
        const { url } = yield* Server
        yield* Effect.gen(function*() {
          const sandbox = yield* bash
          const isThere = Effect.map(
            sandbox.runTerminal("pgrep -fc '[s]leep 7531' || true"),
            (output) => Number(output) > 0
          )
          const proxy = yield* through(() => undefined)
          const fiber = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.runTerminal(sandbox.id, "exec sleep 7531")).pipe(
            Effect.provide(client(proxy.url, { maxRetries: 1_000, retryDelay: 50 })),
            Effect.fork
          )
          yield* eventually(isThere)
          proxy.setUp(false)
          yield* Effect.sleep("300 millis")
          const exit = yield* Fiber.interrupt(fiber)
          expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(true)
          // Nobody could tell the server: it stops what nobody comes back for.
          yield* eventually(Effect.map(isThere, (there) => !there))

          const reachable = yield* through(() => undefined)
          const other = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.runTerminal(sandbox.id, "exec sleep 7531")).pipe(
            Effect.provide(client(reachable.url, { maxRetries: 1_000, retryDelay: 50 })),
            Effect.fork
          )
          yield* eventually(isThere)
          reachable.setUp(false)
          yield* Effect.sleep("100 millis")
          reachable.setUp(true)
          yield* Fiber.interrupt(other)
          expect(yield* isThere).toBe(false)
        }).pipe(Effect.provide(client(url)))
      }),
    60_000
  )

  it.scoped("fails with the output so far when the connection cannot be made again", () =>
    Effect.gen(function*() {
      const { url } = yield* Server
      yield* Effect.gen(function*() {
        const sandbox = yield* bash
        const proxy = yield* through(() => undefined)
        const fiber = yield* Effect.flatMap(SandboxSDK, (sdk) =>
          sdk.runTerminal(sandbox.id, "echo before; touch up; exec sleep 7532")).pipe(
            Effect.flip,
            Effect.provide(client(proxy.url, { maxRetries: 2 })),
            Effect.fork
          )
        yield* eventually(Effect.isSuccess(sandbox.statFile("up")))
        yield* Effect.sleep("200 millis")
        proxy.setUp(false)
        expect(yield* Fiber.join(fiber)).toMatchObject({
          _tag: "ConnectionError",
          execution: { logs: { stdout: ["before\n"] } }
        })
      }).pipe(Effect.provide(client(url)))
    }), 60_000)

  it.scoped(
    "a watch of files fails when its server is silent, and nobody waits for ever for what happens",
    () =>
      Effect.gen(function*() {
        const { url } = yield* Server
        yield* Effect.gen(function*() {
          const sandbox = yield* bash
          const proxy = yield* through((connection) => connection === 0 ? { after: 1_500, how: "stall" } : undefined)
          const seen: Array<string> = []
          const watching = yield* Effect.flatMap(
            SandboxSDK,
            (sdk) => Stream.runForEach(sdk.watchFiles(sandbox.id), ({ path }) => Effect.sync(() => seen.push(path)))
          ).pipe(
            Effect.flip,
            Effect.provide(client(proxy.url)),
            Effect.fork
          )
          const changing = yield* Effect.fork(
            Effect.forever(Effect.zipRight(sandbox.writeFile("changed", "x"), Effect.sleep("20 millis")))
          )
          const error = yield* Fiber.join(watching)
          yield* Fiber.interrupt(changing)
          expect(error).toMatchObject({ _tag: "ConnectionError" })
          expect(error.message).toContain("sign of life")
          expect(seen).toContain("/workspace/changed")
        }).pipe(Effect.provide(client(url)))
      }),
    60_000
  )
})
