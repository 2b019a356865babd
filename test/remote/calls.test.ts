// @effect-diagnostics multipleEffectProvide:off
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Data, Deferred, Effect, Exit, Fiber, Inspectable, Layer, Logger, LogLevel, Stream } from "effect"
import type { Socket } from "node:net"
import { inspect } from "node:util"
import { SandboxConfig } from "../../src/SandboxConfig.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { collectSpans } from "./spans.js"
import {
  ended,
  freePort,
  info,
  KEY,
  lastPiece,
  line,
  piece,
  rawServer,
  remote,
  reply,
  started,
  streamHead
} from "./support.js"

const id = "sbx_1"

const finishes = `${line(started)}${line(ended(1))}`

class SourceFailed extends Data.TaggedError("SourceFailed")<{ readonly at: number }> {}

describe("calls", () => {
  it.scopedLive("refuse malformed arguments before anything is sent", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 500, ""))
      const sdk = yield* Effect.provide(SandboxSDK, remote(server.url))
      const refused: ReadonlyArray<readonly [string, Effect.Effect<unknown, { readonly _tag: string }>]> = [
        ["templateId", sdk.createSandbox({ templateId: "" })],
        ["ms", sdk.extendSandbox(id, -1)],
        ["contextId", sdk.deleteCodeContext("")],
        ["path", sdk.writeFile(id, "../../etc/passwd", "x")],
        ["path", sdk.writeFileStream(id, "", Stream.empty)],
        ["to", sdk.moveFile(id, "a", "/etc/b")],
        ["directory", Stream.runDrain(sdk.watchFiles(id, ".."))],
        ["command", sdk.runTerminal(id, " ")],
        ["language", sdk.runCode(id, "1", { contextId: "c", language: "bash" })],
        ["pageSize", sdk.getTemplates(1, 0)],
        ["jobs.1.id", sdk.executeBatch(id, [{ id: "a", code: "1" }, { id: "a", code: "2" }])]
      ]
      for (const [field, effect] of refused) {
        expect(yield* Effect.flip(effect)).toHaveProperty("field", field)
      }
      expect(server.received).toEqual([])
    }))

  it.scopedLive("are counted, for this instance alone, one whose code raised as a success", () =>
    Effect.gen(function*() {
      const error = { _tag: "Error", seq: 1, error: { name: "E", value: "v", traceback: "" } }
      const server = yield* rawServer((socket, { path }) => {
        if (path.endsWith("/create")) {
          reply(socket, 200, JSON.stringify({ sandbox: info }))
        } else if (path.endsWith("/execute")) {
          socket.write(streamHead)
          socket.write(piece(`${line(started)}${line(error)}${line(ended(2))}`))
          socket.write(lastPiece)
        } else {
          reply(socket, 404, JSON.stringify({ _tag: "SandboxError", code: "not_found", message: "No." }))
        }
      })
      const layer = remote(server.url)
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        yield* sdk.createSandbox({ templateId: "python" })
        yield* Effect.flip(sdk.runCode(id, "raise"))
        yield* Effect.flip(sdk.getSandbox(id))
        expect(yield* sdk.getMetrics).toMatchObject({
          totalRequests: 3,
          successfulRequests: 2,
          failedRequests: 1,
          totalExecutionTime: 5,
          activeSandboxes: 1
        })
      }).pipe(Effect.provide(layer))
      const other = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.getMetrics).pipe(Effect.provide(Layer.fresh(layer)))
      expect(other.totalRequests).toBe(0)
    }))

  it.scopedLive("keep to the limits that a client sets itself", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 200, JSON.stringify(info)))
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        yield* sdk.getSandbox(id)
        yield* sdk.getSandbox(id)
        const error = yield* Effect.flip(sdk.getSandbox(id))
        expect(error).toMatchObject({ _tag: "RateLimitError", limit: 2, remaining: 0 })
        expect(yield* Effect.flip(Stream.runDrain(sdk.runCodeStream(id, "1")))).toMatchObject({
          _tag: "RateLimitError"
        })
        expect(server.received).toHaveLength(2)
      }).pipe(Effect.provide(remote(server.url, { rateLimit: { maxRequestsPerMinute: 2, onLimit: "fail" } })))
    }))

  it.scopedLive("carry the trace of the caller", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, { path }) => {
        if (path.endsWith("/execute")) {
          socket.write(streamHead)
          socket.write(piece(finishes))
          socket.write(lastPiece)
        } else {
          reply(socket, 200, JSON.stringify(info))
        }
      })
      const { layer, spans } = collectSpans()
      const traceId = yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const span = yield* Effect.currentSpan
        yield* sdk.getSandbox(id)
        yield* Stream.runDrain(sdk.runCodeStream(id, "1"))
        return span.traceId
      }).pipe(Effect.withSpan("caller"), Effect.provide(remote(server.url)), Effect.provide(layer))
      for (const { headers } of server.received) {
        expect(headers.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
      }
      expect(server.received).toHaveLength(2)
      expect(spans.map(({ name }) => name)).toEqual(
        expect.arrayContaining(["SandboxSDK.getSandbox", "SandboxSDK.runCodeStream"])
      )
    }))

  it.scopedLive("show the API key nowhere: not in errors, their causes, logs or spans", () =>
    Effect.gen(function*() {
      const answers = [
        (socket: Socket) =>
          reply(
            socket,
            401,
            JSON.stringify({
              _tag: "SandboxSDKError",
              code: "unauthorized",
              message: "The API key is wrong."
            })
          ),
        (socket: Socket) => reply(socket, 502, "<html></html>", { "content-type": "text/html" }),
        (socket: Socket) => reply(socket, 200, "{}"),
        (socket: Socket) => void socket.destroy(),
        () => {}
      ]
      const server = yield* rawServer((socket, _, index) => answers[index % answers.length]?.(socket))
      const seen: Array<string> = []
      const logs = Logger.replace(
        Logger.defaultLogger,
        Logger.make((options) => {
          seen.push(Inspectable.toStringUnknown(options.message), inspect(options, { depth: 12, showHidden: true }))
        })
      )
      const { layer, spans } = collectSpans()
      const url = `http://127.0.0.1:${yield* freePort}`
      const settings = { maxRetries: 0, timeout: 200, enableLogging: true, logLevel: "debug" } as const
      for (const where of [...answers.map(() => server.url), url]) {
        const exit = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.getSandbox(id)).pipe(
          Effect.withSpan("caller"),
          Effect.provide(remote(where, settings)),
          Effect.provide(layer),
          Effect.provide(logs),
          Logger.withMinimumLogLevel(LogLevel.All),
          Effect.exit
        )
        expect(Exit.isFailure(exit)).toBe(true)
        if (Exit.isFailure(exit)) {
          const error = Cause.squash(exit.cause)
          seen.push(Cause.pretty(exit.cause, { renderErrorCause: true }), String(error), JSON.stringify(error))
          seen.push(inspect(exit, { depth: 20, showHidden: true }), inspect(error, { depth: 20, showHidden: true }))
        }
      }
      for (const span of spans) {
        seen.push(inspect(span, { depth: 8 }))
      }
      expect(spans.length).toBeGreaterThan(6)
      expect(seen.length).toBeGreaterThan(30)
      expect(seen.filter((text) => text.includes(KEY))).toEqual([])
    }))

  it.scopedLive("are silent unless logging is enabled, and tell what they do when it is", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, _, index) =>
        index % 2 === 0 ? void socket.destroy() : reply(socket, 200, JSON.stringify(info))
      )
      const count = (enableLogging: boolean) =>
        Effect.gen(function*() {
          const lines: Array<string> = []
          const logs = Logger.replace(
            Logger.defaultLogger,
            Logger.make(({ message }) => {
              lines.push(Inspectable.toStringUnknown(message))
            })
          )
          yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.getSandbox(id)).pipe(
            Effect.provide(remote(server.url, { enableLogging })),
            Effect.provide(logs)
          )
          return lines
        })
      expect(yield* count(false)).toEqual([])
      expect(yield* count(true)).toEqual([expect.stringContaining("tried again")])
    }))

  it.scopedLive("send a file as it comes, and fail with what its source fails with", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 200, JSON.stringify({ path: "/workspace/f" })))
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const pieces = Stream.make("a", "b", "c").pipe(Stream.map((text) => new TextEncoder().encode(text)))
        expect(yield* sdk.writeFileStream(id, "f", pieces)).toBe("/workspace/f")
        expect(server.received[0]).toMatchObject({
          method: "PUT",
          path: "/api/sandboxes/sbx_1/files/content?path=%2Fworkspace%2Ff&createParents=true",
          body: "abc"
        })
        const breaks = Stream.concat(pieces, Stream.fail(new SourceFailed({ at: 3 })))
        const error = yield* Effect.flip(sdk.writeFileStream(id, "f", breaks))
        expect(error).toEqual(new SourceFailed({ at: 3 }))
        const dies = Stream.concat(pieces, Stream.die("a defect"))
        const exit = yield* Effect.exit(sdk.writeFileStream(id, "f", dies))
        expect(exit).toEqual(Exit.die("a defect"))
        expect(server.received).toHaveLength(1)
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("give the error of the server for a file that is refused", () =>
    Effect.gen(function*() {
      const error = { _tag: "SandboxSDKError", code: "unauthorized", message: "The API key is wrong." }
      const server = yield* rawServer((socket) => reply(socket, 401, JSON.stringify(error)))
      const refused = yield* Effect.flatMap(SandboxSDK, (sdk) =>
        sdk.writeFileStream(id, "f", Stream.make(new Uint8Array(1)))).pipe(
          Effect.flip,
          Effect.provide(remote(server.url))
        )
      expect(refused).toMatchObject(error)
    }))

  it.scopedLive("give a slow source all the time it needs, and a server that takes nothing no more than timeout", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) => reply(socket, 200, JSON.stringify({ path: "/workspace/f" })))
      const slow = Stream.make(1, 2).pipe(
        Stream.mapEffect(() => Effect.as(Effect.sleep("250 millis"), new Uint8Array(1)))
      )
      yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.writeFileStream(id, "f", slow)).pipe(
        Effect.provide(remote(server.url, { timeout: 150 }))
      )
      expect(server.received).toHaveLength(1)

      const silent = yield* rawServer(() => {})
      const error = yield* Effect.flatMap(
        SandboxSDK,
        (sdk) => sdk.writeFileStream(id, "f", Stream.make(new Uint8Array(10)))
      ).pipe(
        Effect.flip,
        Effect.provide(remote(silent.url, { timeout: 150 }))
      )
      expect(error).toMatchObject({ _tag: "TimeoutError", operation: "request", timeoutMs: 150 })
    }))

  it.scopedLive("end the source of a file when they are interrupted", () =>
    Effect.gen(function*() {
      const server = yield* rawServer(() => {})
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const begun = yield* Deferred.make<void>()
        const closed = yield* Deferred.make<void>()
        const endless = Stream.concat(
          Stream.make(new Uint8Array(1)),
          Stream.fromEffect(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))
        ).pipe(Stream.ensuring(Deferred.succeed(closed, undefined)))
        const fiber = yield* Effect.fork(sdk.writeFileStream(id, "f", endless))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(closed)
        yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => server.closed() === 1 })
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.scopedLive("read a file again whose bytes broke off, and never give a part of one", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, _, index) => {
        if (index === 0) {
          socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 6\r\n\r\nabc")
          socket.end()
        } else {
          reply(socket, 200, "abcdef", { "content-type": "application/octet-stream" })
        }
      })
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        expect(yield* sdk.readFile(id, "f")).toBe("abcdef")
        expect(yield* sdk.readFile(id, "f", { encoding: "base64" })).toBe("YWJjZGVm")
      }).pipe(Effect.provide(remote(server.url)))
      const cut = yield* rawServer((socket) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        socket.end()
      })
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const seen: Array<Uint8Array> = []
        const error = yield* Effect.flip(
          Stream.runForEach(sdk.readFileStream(id, "f"), (bytes) => Effect.sync(() => seen.push(bytes)))
        )
        expect(error).toMatchObject({ _tag: "ConnectionError", url: cut.url })
        expect(Buffer.concat(seen).toString()).toBe("abc")
      }).pipe(Effect.provide(remote(cut.url)))
    }))

  it.scopedLive("know a file that was cut off where HTTP does not tell, and ask for it again", () =>
    Effect.gen(function*() {
      // undici takes what has come for all of it where the connection was to be closed anyway.
      const server = yield* rawServer((socket, _, index) => {
        socket.write(
          "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\nsandbox-file-size: 6\r\n\r\n" +
            (index === 0 ? "3\r\nabc\r\n" : "6\r\nabcdef\r\n0\r\n\r\n")
        )
        socket.end()
      })
      const read = Effect.flatMap(SandboxSDK, (sdk) => sdk.readFile(id, "f"))
      expect(yield* Effect.provide(read, remote(server.url))).toBe("abcdef")
      expect(server.received.length).toBe(2)
    }))

  it.scopedLive("give up a file of which nothing comes any more, and ask for it again", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket, _, index) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nsandbox-file-size: 6\r\n\r\nabc")
        if (index > 0) socket.write("def")
      })
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        expect(yield* sdk.readFile(id, "f")).toBe("abcdef")
        expect(server.received.length).toBe(2)
      }).pipe(Effect.provide(remote(server.url, { timeout: 500 })))
    }))

  it.scopedLive("give an empty file as no bytes", () =>
    Effect.gen(function*() {
      const server = yield* rawServer((socket) =>
        reply(socket, 200, "", { "content-type": "application/octet-stream" })
      )
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        expect(yield* sdk.readFile(id, "f")).toBe("")
        expect(Chunk.size(yield* Stream.runCollect(sdk.readFileStream(id, "f")))).toBe(0)
      }).pipe(Effect.provide(remote(server.url)))
    }))

  it.effect("take any HttpClient", () =>
    Effect.gen(function*() {
      const client = HttpClient.make((request) => Effect.die(new Error(`asked for ${request.url}`)))
      const exit = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.getSandbox(id)).pipe(
        Effect.provide(SandboxSDK.layer),
        Effect.provide(SandboxConfig.layer({ apiKey: KEY, serverUrl: "http://server" })),
        Effect.provideService(HttpClient.HttpClient, client),
        Effect.exit
      )
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("asked for http://server/api/sandboxes/sbx_1")
    }))
})
