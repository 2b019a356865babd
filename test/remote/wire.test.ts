import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Stream } from "effect"
import {
  type AnySandboxSDKError,
  ConnectionError,
  SandboxError,
  SandboxSDKError,
  TimeoutError
} from "../../src/Errors.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import {
  ended,
  freePort,
  info,
  lastPiece,
  line,
  piece,
  rawServer,
  remote,
  reply,
  started,
  stdout,
  streamHead
} from "./support.js"

const id = "sbx_1"

const use = <A, E>(f: (sdk: typeof SandboxSDK.Service) => Effect.Effect<A, E>) => Effect.flatMap(SandboxSDK, f)

/** Who gives up a run says so; that is no request for another one. */
const isNoStop = ({ path }: { readonly path: string }) => !path.endsWith("/stop")

const runCode = use((sdk) => sdk.runCode(id, "print(1)"))

const createSandbox = use((sdk) => sdk.createSandbox({ templateId: "python" }))

/** One whose answer is a stream, one that is answered as a whole, and one that is so and is asked by hand. */
const operations: ReadonlyArray<Effect.Effect<unknown, AnySandboxSDKError, SandboxSDK>> = [
  runCode,
  use((sdk) => sdk.getSandbox(id)),
  createSandbox
]

describe("what goes over the wire", () => {
  it.scopedLive("decodes characters that arrive in two pieces, records that arrive in many, and several in one", () =>
    Effect.gen(function*() {
      const text = "žluťoučký 🦊 kůň\n"
      const bytes = Buffer.from([started, stdout(1, text), stdout(2, text), ended(3)].map(line).join(""))
      const server = yield* rawServer((socket) => {
        socket.setNoDelay(true)
        socket.write(streamHead)
        let offset = 0
        const next = () => {
          if (offset < bytes.length) {
            socket.write(piece(bytes.subarray(offset, offset + 7)), () => setImmediate(next))
            offset += 7
          } else {
            socket.write(lastPiece)
          }
        }
        next()
      })
      const { execution, metadata } = yield* runCode.pipe(Effect.provide(remote(server.url)))
      expect(execution.logs.stdout).toEqual([text, text])
      expect(metadata).toMatchObject({ executionId: "exe_1", duration: 5 })
    }))

  for (
    const [where, tail] of [
      ["in the middle of a record", `{"_tag":"Stdout","seq":2,"te`],
      ["between two records", ""]
    ] as const
  ) {
    for (
      const [how, finish] of [
        ["is closed", "end"],
        ["is reset", "reset"],
        ["ends as it should", "complete"]
      ] as const
    ) {
      it.scopedLive(`fails with the output so far when the connection ${how} ${where}`, () =>
        Effect.gen(function*() {
          const server = yield* rawServer((socket) => {
            socket.write(streamHead)
            socket.write(piece(`${line(started)}${line(stdout(1, "so far\n"))}${tail}`), () =>
              setTimeout(() => {
                if (finish === "complete") {
                  socket.write(lastPiece)
                } else if (finish === "end") {
                  socket.end()
                } else {
                  socket.resetAndDestroy()
                }
              }, 20))
          })
          const error = yield* runCode.pipe(Effect.flip, Effect.provide(remote(server.url)))
          expect(error).toBeInstanceOf(ConnectionError)
          expect(error).toMatchObject({ url: server.url, execution: { logs: { stdout: ["so far\n"] } } })
          expect(server.received.filter(isNoStop)).toHaveLength(1)
        }))
    }
  }

  it.scopedLive("never makes a run again that may have begun, and says so by a ConnectionError", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => {
        socket.destroy()
      })
      const error = yield* runCode.pipe(Effect.flip, Effect.provide(remote(server.url)))
      expect(error).toMatchObject({ _tag: "ConnectionError", url: server.url })
      expect(error).not.toHaveProperty("sent")
      // It asks whether the server would know the run again, and gets no answer.
      expect(server.received.filter(isNoStop).map(({ method, path }) => `${method} ${path}`)).toEqual([
        "POST /api/sandboxes/sbx_1/execute",
        "GET /health",
        "GET /health",
        "GET /health"
      ])

      // It knows no keys, and says so by not saying anything.
      const plain = yield* rawServer((socket, { path }) => {
        if (path === "/health") {
          reply(socket, 200, JSON.stringify({ status: "ok", uptime: 1 }))
        } else {
          socket.destroy()
        }
      })
      const same = yield* runCode.pipe(Effect.flip, Effect.provide(remote(plain.url)))
      expect(same).toMatchObject({ _tag: "ConnectionError", url: plain.url })
      expect(plain.received.filter(isNoStop).map(({ method }) => method)).toEqual(["POST", "GET"])
    }))

  it.scopedLive("makes a request again that may have been carried out, when the server knows it again by its key", () =>
    Effect.gen(function*() {
      const keys = { "content-type": "application/json", "sandbox-idempotency": "honoured" }
      for (const known of [false, true]) {
        const server = yield* rawServer((socket, { method, path }, index) => {
          if (path === "/health") {
            reply(socket, 200, JSON.stringify({ status: "ok", uptime: 1 }), keys)
          } else if (method === "GET") {
            reply(socket, 200, JSON.stringify(info), keys)
          } else if (index <= 2) {
            socket.destroy()
          } else {
            reply(socket, 200, JSON.stringify({ sandbox: info }), keys)
          }
        })
        yield* Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* Effect.when(sdk.getSandbox(id), () => known)
          expect(yield* sdk.createSandbox({ templateId: "python" })).toEqual({ sandbox: info })
        }).pipe(Effect.provide(remote(server.url)))
        // Whether it does is asked for once, if it has not been told yet.
        expect(server.received.map(({ method }) => method)).toEqual(
          known ? ["GET", "POST", "POST", "POST"] : ["POST", "GET", "POST", "POST"]
        )
        const sent = server.received.filter(({ method }) => method === "POST")
        expect(new Set(sent.map(({ headers }) => headers["idempotency-key"])).size).toBe(1)
      }
    }))

  it.scopedLive("stops what a request does when its caller is interrupted", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, { path }) => {
        if (path.endsWith("/stop")) {
          reply(socket, 200, JSON.stringify({ stopped: true }))
        }
      })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(use((sdk) => sdk.createSandbox({ templateId: "python" })))
        yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => server.received.length > 0 })
        yield* Fiber.interrupt(fiber)
        const [create, stop] = server.received
        expect(stop?.path).toBe(`/api/requests/${create?.headers["idempotency-key"]}/stop`)
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("asks again for what changes nothing, with no key; and gives up after maxRetries", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, _, index) => {
        if (index < 2) {
          socket.destroy()
        } else {
          reply(socket, 200, JSON.stringify(info))
        }
      })
      const sandbox = yield* use((sdk) => sdk.getSandbox(id)).pipe(Effect.provide(remote(server.url)))
      expect(sandbox).toEqual(info)
      expect(server.received.map(({ headers }) => headers["idempotency-key"])).toEqual([
        undefined,
        undefined,
        undefined
      ])

      const down = yield* rawServer((socket) => {
        socket.destroy()
      })
      yield* use((sdk) => sdk.getSandbox(id)).pipe(Effect.flip, Effect.provide(remote(down.url, { maxRetries: 2 })))
      expect(down.received).toHaveLength(3)
    }))

  it.scopedLive("sends a key with what has an effect: the same in all of its attempts, another for each call", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, _, index) => {
        if (index === 0) {
          const body = JSON.stringify({ _tag: "RateLimitError", message: "Too many.", retryAfter: 1 })
          reply(socket, 429, body)
        } else {
          reply(socket, 200, JSON.stringify({ sandbox: info }))
        }
      })
      const create = use((sdk) => sdk.createSandbox({ templateId: "python" }))
      yield* Effect.zipRight(create, create).pipe(Effect.provide(remote(server.url)))
      const keys = server.received.map(({ headers }) => headers["idempotency-key"])
      expect(keys).toHaveLength(3)
      expect(keys[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(keys[1]).toBe(keys[0])
      expect(keys[2]).not.toBe(keys[0])
    }))

  it.scopedLive("names what refused the connection, and says that nothing was sent", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const url = `http://127.0.0.1:${port}`
      const error = yield* runCode.pipe(Effect.flip, Effect.provide(remote(url, { maxRetries: 0 })))
      expect(error).toMatchObject({ _tag: "ConnectionError", url, sent: false })
      expect(error.message).toContain("ECONNREFUSED")
      const nowhere = yield* runCode.pipe(
        Effect.flip,
        Effect.provide(remote("http://sandbox.invalid", { maxRetries: 0 }))
      )
      expect(nowhere).toMatchObject({ _tag: "ConnectionError", sent: false })
      expect(nowhere.message).toMatch(/ENOTFOUND|EAI_AGAIN/)
    }))

  it.scopedLive("makes a run again that was refused before anything was sent", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(runCode)
        yield* Effect.sleep("100 millis")
        const server = yield* rawServer((socket) => {
          socket.write(streamHead)
          socket.write(piece(`${line(started)}${line(ended(1))}`))
          socket.write(lastPiece)
        }, port)
        yield* Fiber.join(fiber)
        expect(server.received).toHaveLength(1)
      }).pipe(Effect.provide(remote(`http://127.0.0.1:${port}`, { retryDelay: 50, maxRetries: 10 })))
    }))

  for (
    const [status, tag] of [[502, "ConnectionError"], [503, "ConnectionError"], [504, "ConnectionError"], [
      429,
      "RateLimitError"
    ]] as const
  ) {
    it.scopedLive(`takes a ${status} of a proxy for ${tag}, with its Retry-After`, () =>
      Effect.gen(function*() {
        const page = "<html><head><title>Oops</title><style>b{}</style></head><body><h1>Bad Gateway</h1></body></html>"
        const server = yield* rawServer((socket) =>
          reply(socket, status, page, { "content-type": "text/html", "retry-after": "7" })
        )
        for (const operation of operations) {
          const error = yield* operation.pipe(Effect.flip, Effect.provide(remote(server.url, { maxRetries: 0 })))
          expect(error).toMatchObject({ _tag: tag, retryAfter: 7_000 })
          expect(error.message).toContain(String(status))
          expect(error.message).not.toContain("<h1>")
        }
      }))
  }

  const answers: ReadonlyArray<readonly [what: string, status: number, body: string, type: string]> = [
    ["a page", 200, "<html></html>", "text/html"],
    ["JSON of another shape", 200, `{"hello":"world"}`, "application/json"],
    ["nothing", 200, "", "application/json"],
    ["nothing, with 204", 204, "", "application/json"],
    ["a page with 404", 404, "<html>Not Found</html>", "text/html"],
    ["another error of JSON", 400, `{"error":"bad"}`, "application/json"]
  ]

  for (const [what, status, body, type] of answers) {
    it.scopedLive(`says decode_error to ${what}`, () =>
      Effect.gen(function*() {
        const server = yield* rawServer((socket) => reply(socket, status, body, { "content-type": type }))
        const asked: typeof operations = [use((sdk) => sdk.getSandbox(id)), createSandbox]
        for (const operation of asked) {
          const error = yield* operation.pipe(Effect.flip, Effect.provide(remote(server.url)))
          expect(error).toMatchObject({ _tag: "SandboxSDKError", code: "decode_error" })
          expect(error.message).toContain(server.url)
        }
        expect(server.received).toHaveLength(asked.length)
      }))
  }

  it.scopedLive("says decode_error, with the output so far seen, to garbage in the middle of a stream", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => {
        socket.write(streamHead)
        socket.write(piece(`${line(started)}${line(stdout(1, "x"))}\u0000garbage\n${line(ended(2))}`))
        socket.write(lastPiece)
      })
      const seen: Array<string> = []
      const error = yield* use((sdk) =>
        Stream.runForEach(sdk.runCodeStream(id, "1"), ({ _tag }) => Effect.sync(() => seen.push(_tag)))
      ).pipe(Effect.flip, Effect.provide(remote(server.url)))
      expect(error).toMatchObject({ _tag: "SandboxSDKError", code: "decode_error" })
      expect(seen).toEqual(["Started", "Stdout"])
    }))

  it.scopedLive("gives the errors of the server as they are, before the first byte and after it", () =>
    Effect.gen(function*() {
      const notFound = { _tag: "SandboxError", code: "not_found", message: "There is none.", sandboxId: id }
      const died = { _tag: "SandboxError", code: "out_of_memory", message: "Too much.", sandboxId: id }
      const server = yield* rawServer((socket, _, index) => {
        if (index === 0) {
          reply(socket, 404, JSON.stringify(notFound))
        } else {
          socket.write(streamHead)
          socket.write(piece(`${line(started)}${line(stdout(1, "x\n"))}${line({ _tag: "Failed", error: died })}`))
          socket.write(lastPiece)
        }
      })
      const [before, after] = yield* Effect.all([Effect.flip(runCode), Effect.flip(runCode)]).pipe(
        Effect.provide(remote(server.url))
      )
      expect(before).toBeInstanceOf(SandboxError)
      expect(before).toBeInstanceOf(SandboxSDKError)
      expect(before).toMatchObject(notFound)
      expect(after).toMatchObject({ ...died, execution: { logs: { stdout: ["x\n"] } } })
    }))

  it.scopedLive("waits no longer than timeout for an answer to begin, and as long as it takes for its end", () =>
    Effect.gen(function*() {
      const silent = yield* rawServer(() => {})
      for (const operation of operations) {
        const error = yield* operation.pipe(Effect.flip, Effect.provide(remote(silent.url, { timeout: 100 })))
        expect(error).toBeInstanceOf(TimeoutError)
        expect(error).toMatchObject({ operation: "request", timeoutMs: 100 })
      }
      // Not made again. (That they have arrived at all is not certain in so short a time.)
      expect(silent.received.filter(isNoStop).length).toBeLessThanOrEqual(operations.length)

      const slow = yield* rawServer((socket) => {
        socket.write(streamHead)
        socket.write(piece(line(started)))
        setTimeout(() => {
          socket.write(piece(line(ended(1))))
          socket.write(lastPiece)
        }, 400)
      })
      const { execution } = yield* runCode.pipe(Effect.provide(remote(slow.url, { timeout: 100 })))
      expect(execution.results).toEqual([])
    }))

  /** A run that never ends by itself. */
  const endless = (begins: boolean) =>
    Effect.gen(function*() {
      let isOpen = false
      const server = yield* rawServer((socket, { path }) => {
        if (path.endsWith("/stop")) {
          reply(socket, 200, JSON.stringify({ stopped: true }))
          return
        }
        isOpen = true
        socket.on("close", () => {
          isOpen = false
        })
        if (begins) {
          socket.write(streamHead)
          socket.write(piece(`${line(started)}${line(stdout(1, "x"))}`))
        }
      })
      return {
        server,
        isOpen: () => isOpen,
        closed: Effect.repeat(Effect.sleep("5 millis"), { until: () => !isOpen }),
        stopped: Effect.sync(() => {
          const [run, stop] = server.received
          expect(server.received).toHaveLength(2)
          expect(stop?.path).toBe(`/api/requests/${run?.headers["idempotency-key"]}/stop`)
        })
      }
    })

  it.scopedLive("closes the connection when the caller is interrupted, and has it confirmed that all has stopped", () =>
    Effect.gen(function*() {
      for (const begins of [false, true]) {
        const { closed, isOpen, server, stopped } = yield* endless(begins)
        yield* Effect.gen(function*() {
          const fiber = yield* Effect.fork(runCode)
          yield* Effect.repeat(Effect.sleep("5 millis"), { until: isOpen })
          yield* Effect.sleep("20 millis")
          const exit = yield* Fiber.interrupt(fiber)
          expect(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)).toBe(true)
          yield* stopped
          yield* closed
        }).pipe(Effect.provide(remote(server.url, { rateLimit: { maxRequestsPerMinute: 1, onLimit: "fail" } })))
      }
    }))

  it.scopedLive("closes the connection when the reader of a stream has had enough", () =>
    Effect.gen(function*() {
      const { closed, server, stopped } = yield* endless(true)
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const events = yield* sdk.runCodeStream(id, "1").pipe(Stream.take(2), Stream.runCollect)
        expect(Chunk.size(events)).toBe(2)
        yield* stopped
        yield* closed
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("uses a connection again after a run", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => {
        socket.write(streamHead)
        socket.write(piece(`${line(started)}${line(ended(1))}`))
        setTimeout(() => socket.write(lastPiece), 10)
      })
      yield* Effect.gen(function*() {
        yield* Effect.replicateEffect(runCode, 6)
        expect(server.received).toHaveLength(6)
        // A connection is free a moment after its answer is.
        expect(server.connections()).toBeLessThan(6)
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("escapes ids, and knows by itself that nothing has one that no URL can hold", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 200, JSON.stringify(info)))
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        yield* sdk.getSandbox("a/b?c#d %20é")
        expect(server.received[0]?.path).toBe("/api/sandboxes/a%2Fb%3Fc%23d%20%2520%C3%A9")
        for (const unsendable of [".", "..", "\ud800", "x".repeat(5_000)]) {
          expect(yield* Effect.flip(sdk.getSandbox(unsendable))).toMatchObject({
            _tag: "SandboxError",
            code: "not_found",
            sandboxId: unsendable
          })
          expect(yield* Effect.flip(sdk.restartCodeContext(unsendable))).toMatchObject({ code: "context_not_found" })
          expect(yield* Effect.flip(sdk.getTemplate(unsendable))).toMatchObject({ code: "template_not_found" })
          yield* sdk.deleteSandbox(unsendable)
        }
        expect(server.received).toHaveLength(1)
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("keeps a path before /api, and sends the key as a bearer token", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 200, JSON.stringify(info)))
      yield* use((sdk) => sdk.getSandbox(id)).pipe(Effect.provide(remote(`${server.url}/behind/a/proxy/`)))
      expect(server.received[0]?.path).toBe("/behind/a/proxy/api/sandboxes/sbx_1")
      expect(server.received[0]?.headers.authorization).toMatch(/^Bearer /)
    }))
})
