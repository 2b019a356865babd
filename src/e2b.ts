/**
 * `sandbox-sdk/e2b`: the service over E2B's own, and over any server that speaks its protocol. What the protocol has no words
 * for fails with `SandboxSDKError` `unsupported`, whose `field` names it.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { make } from "./e2b/E2B.js"
import * as Settings from "./e2b/Settings.js"
import type { E2BOptions } from "./e2b/Settings.js"
import type { SandboxSDKError } from "./Errors.js"
import { SandboxSDK } from "./SandboxSDK.js"

export type { E2BOptions }

/**
 * The service over E2B's protocol, with the `HttpClient` of your choice.
 *
 * Fails as {@link layerE2B} does.
 *
 * @category layers
 */
export const layerE2BClient = (
  options: E2BOptions
): Layer.Layer<SandboxSDK, SandboxSDKError, HttpClient.HttpClient> =>
  Layer.scoped(SandboxSDK, Effect.flatMap(Settings.make(options), make))

/**
 * The service over E2B's protocol, with `fetch`.
 *
 * `/workspace` stands for the home folder of the sandbox (`home`, by default `/home/user`), which is what code sees it as. The
 * bare languages (`"python"`, `"javascript"` …) are E2B's template of the code interpreter; any other `templateId` is one of
 * E2B's. A sandbox has no network unless it is asked for, and lives for an hour where it has no `expiryTime`.
 *
 * Each operation can also fail with `ConnectionError` (no connection, or it broke: a stream that is cut off is never a
 * success), `TimeoutError` `request`, `RateLimitError`, and `SandboxSDKError` `unauthorized`, `decode_error` and
 * `unsupported`.
 *
 * The layer fails with `SandboxSDKError` `invalid_config`; `field` is the setting.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Sandbox } from "sandbox-sdk"
 * import { layerE2B } from "sandbox-sdk/e2b"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   const { execution } = yield* sandbox.runCode("6 * 7")
 *   console.log(execution.text) // "42"
 * }).pipe(Effect.scoped)
 *
 * const url = "http://localhost:3000" // a server of one's own; without both, E2B's service
 *
 * Effect.runPromise(
 *   program.pipe(Effect.provide(layerE2B({ apiKey: "e2b_…", apiUrl: url, sandboxUrl: url })))
 * )
 * ```
 *
 * @category layers
 */
export const layerE2B = (options: E2BOptions): Layer.Layer<SandboxSDK, SandboxSDKError> =>
  Layer.provide(layerE2BClient(options), FetchHttpClient.layer)
