/**
 * When a client is told that a directory is being watched: not before it is.
 */
import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Option, Redacted, Stream } from "effect"
import { layerE2B } from "../../src/e2b.js"
import { SandboxConfig, SandboxSDK } from "../../src/index.js"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"

const apiKey = "e2b_0123456789abcdef0123456789abcdef01234567"

const clients: Readonly<Record<string, (url: string) => Layer.Layer<SandboxSDK, unknown>>> = {
  "of this protocol": (serverUrl) => Layer.provide(SandboxSDK.layerFetch, SandboxConfig.layer({ apiKey, serverUrl })),
  "of E2B's protocol": (url) => layerE2B({ apiKey, apiUrl: url, sandboxUrl: url, home: "/workspace" })
}

describe("a client that watches a directory", () => {
  for (const [which, clientOf] of Object.entries(clients)) {
    it.scopedLive(`is told that it is being watched when it is: a client ${which}`, () =>
      Effect.gen(function*() {
        const asked = yield* Deferred.make<void>()
        const gate = yield* Deferred.make<void>()
        const engine = Context.get(yield* Layer.build(layerLocal()), SandboxSDK)
        const slow = Layer.succeed(SandboxSDK, {
          ...engine,
          watchFiles: (...args: Parameters<typeof engine.watchFiles>) =>
            Stream.unwrap(
              Deferred.succeed(asked, undefined).pipe(
                Effect.zipRight(Deferred.await(gate)),
                Effect.as(engine.watchFiles(...args))
              )
            )
        })
        const server = layerServer({ port: 0, apiKeys: [Redacted.make(apiKey)], e2b: true }).pipe(Layer.provide(slow))
        const { url } = Context.get(yield* Layer.build(server), ServerAddress)
        const sdk = Context.get(yield* Layer.build(clientOf(url)), SandboxSDK)
        const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
        const started = yield* Deferred.make<void>()
        const first = yield* Effect.fork(Stream.runHead(sdk.watchFiles(sandbox.id, "/workspace", {
          onStart: () => Deferred.unsafeDone(started, Effect.void)
        })))
        yield* Deferred.await(asked)
        expect(yield* Effect.timeoutOption(Deferred.await(started), "500 millis")).toEqual(Option.none())
        yield* Deferred.succeed(gate, undefined)
        yield* Deferred.await(started)
        yield* sdk.writeFile(sandbox.id, "new", "x")
        expect(Option.getOrThrow(yield* Fiber.join(first))).toMatchObject({ type: "created", path: "/workspace/new" })
        yield* sdk.deleteSandbox(sandbox.id)
      }))
  }
})
