/**
 * `sandbox-sdk/promise`: the same service for plain TypeScript, by promises, async iterables and abort signals.
 */
import { PromiseClient } from "./internal/promiseClient.js"
import type { LocalOptions } from "./local.js"

export type { BatchEvent, BatchExecutionJob, BatchExecutionResult } from "./Batch.js"
export { Chart } from "./Chart.js"
export type { CodeContext, Language, RestartReason } from "./CodeContext.js"
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
export type { FileEvent, FileInfo, FileListResponse, FileType } from "./File.js"
export type { ByteSource, ReadableBytes } from "./internal/byteSource.js"
export type {
  Callback,
  CallOptions,
  OutputCallbacks,
  RunCodeCallbacks,
  RunCodeOptions,
  RunTerminalOptions
} from "./internal/promiseOptions.js"
export type { Sandbox } from "./internal/promiseSandbox.js"
export type { StandardIssue, StandardResult, StandardSchema } from "./internal/standardSchema.js"
export type { StreamIterator } from "./internal/streamIterator.js"
export type { LocalOptions } from "./local.js"
export type { MetricsData } from "./Metrics.js"
export type {
  CreateCodeContextOptions,
  CreateSandboxOptions,
  EnvVars,
  ExecuteBatchOptions,
  ListSandboxesOptions,
  MakeDirectoryOptions,
  Metadata,
  Network,
  ReadFileOptions,
  RunCodeStreamOptions,
  RunTerminalStreamOptions,
  WatchFilesOptions,
  WriteFileOptions
} from "./Options.js"
export { type Format, Result } from "./Result.js"
export type { Resources, SandboxInfo, SandboxStatus } from "./SandboxInfo.js"
export type { CreatedSandbox } from "./SandboxSDK.js"
export type { SandboxTemplate, TemplateConfig, TemplatePage } from "./Template.js"

/**
 * The service for plain TypeScript. A method rejects with the very error object: one of the six classes, with its own
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
