import { describe, expect, layer } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxConfig } from "../../src/SandboxConfig.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { layerServer, ServerAddress } from "../../src/server.js"

const MIB = 1024 * 1024

const apiKey = Redacted.make("the-key-of-the-large-files")

const settings = Layer.unwrapEffect(
  Effect.map(ServerAddress, ({ url }) => SandboxConfig.layer({ apiKey, serverUrl: url }))
)

const overHttp = SandboxSDK.layerFetch.pipe(
  Layer.provide(settings),
  Layer.provide(layerServer({ port: 0, apiKeys: [apiKey] }).pipe(Layer.provide(layerLocal())))
)

/** Pieces of 256 KiB, each a new one. */
const content = (mebibytes: number) =>
  Stream.range(1, mebibytes * 4).pipe(Stream.rechunk(1), Stream.map((index) => new Uint8Array(MIB / 4).fill(index)))

describe("large files", () => {
  layer(overHttp, { excludeTestServices: true })((it) => {
    it.scoped("go both ways without being in memory", () =>
      Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python", resources: { fileSizeMb: 1024 } })
        const memory = () => process.memoryUsage().arrayBuffers
        let most = 0
        const watched = Stream.tap(content(512), () =>
          Effect.sync(() => {
            most = Math.max(most, memory())
          }))
        yield* sandbox.writeFileStream("large", watched)
        let bytes = 0
        yield* Stream.runForEach(sandbox.readFileStream("large"), (piece) =>
          Effect.sync(() => {
            bytes += piece.length
            most = Math.max(most, memory())
          }))
        expect(bytes).toBe(512 * MIB)
        // Client, server and engine together, before the collector has been at it.
        expect(most).toBeLessThan(256 * MIB)
      }), 120_000)

    it.effect("are refused with the error of the server while they are being sent", () =>
      Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        for (const size of [0, 1, 64]) {
          const error = yield* Effect.flip(sdk.writeFileStream("sbx_nobody", "large", content(size)))
          expect(error).toMatchObject({ _tag: "SandboxError", code: "not_found" })
        }
        const bytes = yield* Effect.flip(sdk.writeFile("sbx_nobody", "large", new Uint8Array(32 * MIB)))
        expect(bytes).toMatchObject({ _tag: "SandboxError", code: "not_found" })
      }))

    it.scoped("and long lines are given whole", () =>
      Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        const { execution } = yield* sandbox.runCode("print('é' * 11_000_000)")
        expect(execution.logs.stdout.join("") === `${"é".repeat(11_000_000)}\n`).toBe(true)
        const shown = yield* sandbox.runCode("'x' * 8_000_000")
        expect(shown.execution.text?.length).toBe(8_000_002)
      }), 60_000)
  })
})
