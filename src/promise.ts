/**
 * `sandbox-sdk/promise`: the same service for plain TypeScript, by promises, async iterables and abort signals.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type { RequestError, SandboxSDKError } from "./Errors.js"
import { PromiseClient } from "./internal/promiseClient.js"
import { layerRemote, probe, settingsOf, type Variables } from "./internal/promiseRemote.js"
import type { Guarantee, LocalOptions } from "./local.js"
import { SandboxConfig, type SandboxConfigOptions } from "./SandboxConfig.js"
import type { SandboxSDK as Service } from "./SandboxSDK.js"

export type { BatchEvent, BatchExecutionJob, BatchExecutionResult } from "./Batch.js"
export { Chart } from "./Chart.js"
export type { CodeContext, Language, RestartReason } from "./CodeContext.js"
export type { DirectoryProgress } from "./Directory.js"
export {
  type AnySandboxSDKError,
  ConnectionError,
  ExecutionError,
  isSandboxSDKError,
  RateLimitError,
  type RequestError,
  SandboxError,
  type SandboxErrorCode,
  SandboxSDKError,
  type SandboxSDKErrorCode,
  TimeoutError
} from "./Errors.js"
export {
  type ErrorInfo,
  Execution,
  type ExecutionEvent,
  type ExecutionMetadata,
  type ExecutionResult,
  type Logs,
  type OutputMessage,
  type TerminalEvent
} from "./Execution.js"
export type { ExecutionInfo, ExecutionKind, ExecutionStatus } from "./ExecutionInfo.js"
export type { FileContent, FileEvent, FileInfo, FileListResponse, FileToWrite, FileType } from "./File.js"
export type { ByteSource, ReadableBytes } from "./internal/byteSource.js"
export type {
  Callback,
  CallOptions,
  DownloadFileOptions,
  OutputCallbacks,
  RunCodeCallbacks,
  RunCodeOptions,
  RunTerminalOptions,
  UploadFileOptions,
  WatchFilesOptions
} from "./internal/promiseOptions.js"
export type { Variables } from "./internal/promiseRemote.js"
export type { Sandbox } from "./internal/promiseSandbox.js"
export type { StandardIssue, StandardResult, StandardSchema } from "./internal/standardSchema.js"
export type { StreamIterator } from "./internal/streamIterator.js"
export type { Guarantee, LocalOptions } from "./local.js"
export type { MetricsData } from "./Metrics.js"
export type {
  AttachOptions,
  CreateCodeContextOptions,
  CreateSandboxOptions,
  DownloadDirectoryOptions,
  EnvVars,
  ExecuteBatchOptions,
  FileProgress,
  ListSandboxesOptions,
  MakeDirectoryOptions,
  Metadata,
  Network,
  ReadFileOptions,
  RunCodeStreamOptions,
  RunTerminalStreamOptions,
  StartProcessOptions,
  UploadDirectoryOptions,
  WriteFileOptions
} from "./Options.js"
export type { PortAddress, WaitForPortOptions } from "./Port.js"
export type { ProcessInfo, Signal, TerminalSize } from "./Process.js"
export type { RateLimitOptions } from "./RateLimit.js"
export type { Resources } from "./Resources.js"
export { type Format, Result } from "./Result.js"
export type { LogLevel, SandboxConfigOptions } from "./SandboxConfig.js"
export type { SandboxInfo, SandboxStatus } from "./SandboxInfo.js"
export type { SandboxMetrics } from "./SandboxMetrics.js"
export type { CreatedSandbox } from "./SandboxSDK.js"
export type { SandboxTemplate, TemplateConfig, TemplatePage } from "./Template.js"

const isLayer = (
  source: SandboxConfigOptions | Layer.Layer<Service, RequestError>
): source is Layer.Layer<Service, RequestError> => Layer.isLayer(source)

/** The value, or the error itself, thrown. */
const orThrow = <A>(effect: Effect.Effect<A, SandboxSDKError>): A =>
  Either.getOrThrowWith(Effect.runSync(Effect.either(effect)), (error) => error)

/**
 * The service for plain TypeScript: of a server (`new SandboxSDK({ apiKey, serverUrl })`), or of the engine in this
 * process (`await SandboxSDK.local()`). A method rejects with the very error object: one of the six classes, with its own
 * stack. An instance owns what it started: end it with `disconnect()` or `await using`.
 *
 * @example
 * ```ts
 * import { ExecutionError, SandboxSDK } from "sandbox-sdk/promise"
 *
 * await using sdk = await SandboxSDK.local()
 * const { sandbox } = await sdk.createSandbox({ templateId: "python" })
 * try {
 *   const { execution } = await sdk.runCode(sandbox.id, "print('hello'); 6 * 7", {
 *     onStdout: ({ line }) => process.stdout.write(line)
 *   })
 *   console.log(execution.text) // "42"
 * } catch (error) {
 *   if (error instanceof ExecutionError) console.error(error.traceback)
 *   else throw error
 * }
 * ```
 */
export class SandboxSDK extends PromiseClient {
  /**
   * The service of a server, over `fetch`. Nothing is sent before the first call; `waitForConnection()` shows that the
   * server is there and takes the API key.
   *
   * Throws `SandboxSDKError` `invalid_config` when a setting is missing or malformed; `field` names it.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = new SandboxSDK({ apiKey: "my-key", serverUrl: "https://sandbox.example.org" })
   * await sdk.waitForConnection(10_000)
   * ```
   */
  constructor(options: SandboxConfigOptions)
  /** The service that a layer of the Effect API gives: one of your own, or of a test. */
  constructor(layer: Layer.Layer<Service, RequestError>)
  constructor(source: SandboxConfigOptions | Layer.Layer<Service, RequestError>) {
    if (isLayer(source)) {
      super(source)
    } else {
      super(layerRemote(orThrow(SandboxConfig.make(source))), probe)
    }
  }

  /**
   * The service of the server that environment variables name: `SANDBOX_API_KEY` and `SANDBOX_SERVER_URL`, and where
   * wanted `SANDBOX_TIMEOUT`, `SANDBOX_MAX_RETRIES` and the others of `SandboxConfig.layerEnv`. Pass them where there is
   * no `process.env`, as in an edge worker.
   *
   * Throws `SandboxSDKError` `invalid_config`; its message names the variable.
   */
  static fromEnv(variables?: Variables): SandboxSDK {
    return new SandboxSDK(orThrow(settingsOf(variables)))
  }

  /**
   * Tries each guarantee of the engine on this machine by a real sandbox, and tells of each whether it holds, what enforces
   * it (`soft`: it is only watched), and the one command that would help. What `sandbox doctor` prints.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * for (const { fix, holds, mechanism, soft, title } of await SandboxSDK.doctor()) {
   *   console.log(holds ? soft === true ? "soft" : "ok" : "FAIL", title, mechanism, fix ?? "")
   * }
   * ```
   */
  static async doctor(): Promise<ReadonlyArray<Guarantee>> {
    const { inspect } = await import("./local.js")
    return Effect.runPromise(inspect)
  }

  /**
   * The engine in this process: sandboxes are processes of this machine. Only this needs Node.
   *
   * Rejects with `SandboxSDKError` `invalid_argument` for a malformed setting, and with `SandboxError` when the engine
   * cannot start.
   */
  static async local(options?: LocalOptions): Promise<SandboxSDK> {
    const { layerLocal } = await import("./local.js")
    const sdk = new SandboxSDK(layerLocal(options))
    try {
      await sdk.waitForConnection()
      return sdk
    } catch (error) {
      await sdk.disconnect()
      throw error
    }
  }
}
