/**
 * What is measured: the SDK as a user has it, built, over the engine of this process or over HTTP.
 */
import { NodeHttpClient } from "@effect/platform-node"
import { Context, Effect, Layer, Redacted } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type CreateSandboxOptions, SandboxConfig, SandboxSDK } from "sandbox-sdk"
import { layerLocal, type LocalOptions } from "sandbox-sdk/local"
import { conversation } from "./References.js"

/**
 * The engine in this process.
 */
export const local = (options: LocalOptions = {}) =>
  Effect.map(Layer.build(layerLocal(options)), (context) => Context.get(context, SandboxSDK))

const CLI = new URL("../../dist/cli/sandbox.js", import.meta.url).pathname

/**
 * A server of ours in a process of its own, `sandbox serve` with these arguments, and a client of it.
 */
export const served = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const apiKey = Redacted.make("the-key-of-the-benchmark")
    const { next } = yield* conversation(process.execPath, [
      ...[CLI, "serve", "--port", "0", "--api-key", Redacted.value(apiKey)],
      ...args
    ])
    const untilListening: Effect.Effect<string, Error> = Effect.flatMap(next, (line) => {
      const url = /Listening at (\S+)/.exec(line)?.[1]
      return url === undefined ? untilListening : Effect.succeed(url)
    })
    const serverUrl = yield* untilListening
    const layer = SandboxSDK.layer.pipe(
      Layer.provide([SandboxConfig.layer({ serverUrl, apiKey }), NodeHttpClient.layerUndici])
    )
    return { serverUrl, sdk: Context.get(yield* Layer.build(layer), SandboxSDK) }
  })

/**
 * A folder of one's own, until the scope closes.
 */
export const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "sandbox-bench-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/**
 * A sandbox until the scope closes.
 */
export const sandboxOf = (
  sdk: typeof SandboxSDK.Service,
  options: CreateSandboxOptions & { readonly templateId: string }
) =>
  Effect.acquireRelease(
    Effect.map(sdk.createSandbox(options), ({ sandbox }) => sandbox.id),
    (id) => Effect.ignore(sdk.deleteSandbox(id))
  )
