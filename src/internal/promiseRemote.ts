/**
 * The service of a server, for callers without Effect: the remote layer over `fetch`, with the logging that the settings
 * ask for.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { RequestError, SandboxSDKError } from "../Errors.js"
import * as Logging from "../Logging.js"
import { SandboxConfig, type SandboxSettings } from "../SandboxConfig.js"
import { SandboxSDK } from "../SandboxSDK.js"

/**
 * The layer.
 */
export const layerRemote = (settings: SandboxSettings): Layer.Layer<SandboxSDK> =>
  SandboxSDK.layerFetch.pipe(
    Layer.provide(Layer.succeed(SandboxConfig, settings)),
    Layer.provideMerge(Logging.layer(settings))
  )

/**
 * Shows that there is a server, and that it takes the API key: the smallest request that needs one.
 */
export const probe: Effect.Effect<void, RequestError, SandboxSDK> = Effect.flatMap(
  SandboxSDK,
  (service) => Effect.asVoid(service.getTemplates(1, 1))
)

/**
 * Variables, of which those that are not set are `undefined`.
 */
export type Variables = Readonly<Record<string, string | undefined>>

/**
 * The settings in these variables, or else in those of the process, where there is one.
 */
export const settingsOf = (variables: Variables | undefined): Effect.Effect<SandboxSettings, SandboxSDKError> => {
  const settings = Effect.scoped(Effect.map(Layer.build(SandboxConfig.layerEnv), Context.get(SandboxConfig)))
  if (variables === undefined) {
    return settings
  }
  const defined = Object.entries(variables).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const]
  )
  return Effect.withConfigProvider(settings, ConfigProvider.fromMap(new Map(defined), { pathDelim: "_" }))
}
