/**
 * `sandbox-sdk/server`: the HTTP server over any layer of the SDK.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import type { SandboxError, SandboxSDKError } from "./Errors.js"
import type { LocalOptions } from "./local.js"
import { layerLocal } from "./local.js"
import * as Logging from "./Logging.js"
import type { SandboxSDK } from "./SandboxSDK.js"
import { type ApiKey, ApiKeys, type ApiKeysService, type KnownKey } from "./server/ApiKeys.js"
import { layerServer } from "./server/Server.js"
import { type IdempotencyOptions, ServerAddress, type ServerLimits, type ServerOptions } from "./server/Settings.js"

export { type ApiKey, ApiKeys, type ApiKeysService, type KnownKey, layerServer, ServerAddress }
export type { IdempotencyOptions, ServerLimits, ServerOptions }

/**
 * Settings of {@link serve}: those of the server and of the engine behind it.
 *
 * @category models
 */
export interface ServeOptions
  extends Omit<ServerOptions, "apiKeys" | "metricsKey">, LocalOptions, Logging.LoggingOptions
{
  /** Who may use the server. A text is a key that is a user of its own. */
  readonly apiKeys?: ReadonlyArray<string | Redacted.Redacted | ApiKey> | undefined
  /** A key for `GET /metrics` alone: who has it sees what all users do together. */
  readonly metricsKey?: string | Redacted.Redacted | undefined
  /** What the server stands on; by default the engine in this process, `layerLocal`. */
  readonly layer?: Layer.Layer<SandboxSDK, SandboxSDKError | SandboxError> | undefined
}

/**
 * A server that listens.
 *
 * @category models
 */
export interface RunningServer extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Where clients find it: `http://127.0.0.1:3000`. */
  readonly url: string
  /** Lets a further key in. Rejects with `SandboxSDKError` `invalid_config` when it is malformed. */
  readonly addKey: (key: string | Redacted.Redacted | ApiKey) => Promise<KnownKey>
  /**
   * Refuses a key from now on, by its id, cuts off the requests with it that are being answered, and ends what they run;
   * whether there was one.
   */
  readonly revokeKey: (id: string) => Promise<boolean>
  /** Takes no more requests, lets those that run come to their end, and ends what the server started. */
  readonly close: () => Promise<void>
}

const keyOf = (key: string | Redacted.Redacted | ApiKey): Redacted.Redacted | ApiKey =>
  typeof key === "string" ? Redacted.make(key) : key

/**
 * Starts a server, for callers without Effect: over the engine in this process, unless `layer` says otherwise. Logs
 * nothing without `enableLogging`.
 *
 * Rejects with `SandboxSDKError` `invalid_config` or `invalid_argument` for a malformed setting and when it cannot listen,
 * and with what the layer underneath fails with.
 *
 * @example
 * ```ts
 * import { serve } from "sandbox-sdk/server"
 *
 * const server = await serve({ port: 3000, apiKeys: ["a-long-random-text"], dataDirectory: "/var/lib/sandboxes" })
 * console.log(server.url)
 * // …
 * await server.close()
 * ```
 *
 * @category constructors
 */
export const serve = async (options: ServeOptions = {}): Promise<RunningServer> => {
  const {
    apiKeys = [],
    dataDirectory,
    enableLogging,
    interruptGraceMs,
    isolation,
    network,
    require: required,
    layer = layerLocal({ dataDirectory, interruptGraceMs, isolation, network, require: required }),
    logLevel,
    metricsKey,
    ...server
  } = options
  const runtime = ManagedRuntime.make(
    layerServer({
      idempotency: { directory: dataDirectory },
      ...server,
      apiKeys: apiKeys.map(keyOf),
      metricsKey: typeof metricsKey === "string" ? Redacted.make(metricsKey) : metricsKey
    }).pipe(
      Layer.provide(layer),
      Layer.provide(Logging.layer({ enableLogging, logLevel }))
    )
  )
  const run = async <A, E>(effect: Effect.Effect<A, E, ServerAddress | ApiKeys>): Promise<A> => {
    const exit = await runtime.runPromiseExit(effect)
    if (Exit.isSuccess(exit)) {
      return exit.value
    }
    throw Cause.squash(exit.cause)
  }
  const close = () => runtime.dispose()
  const services = await run(Effect.context<ServerAddress | ApiKeys>()).catch(async (error: unknown) => {
    await close()
    throw error
  })
  const keys = Context.get(services, ApiKeys)
  return {
    ...Context.get(services, ServerAddress),
    addKey: (key) => run(keys.add(keyOf(key))),
    revokeKey: (id) => run(keys.revoke(id)),
    close,
    [Symbol.asyncDispose]: close
  }
}
