/**
 * The service that everything else implements or uses: create sandboxes, run code and commands in them, use their
 * files, contexts and templates.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { CodeContext } from "./CodeContext.js"
import type { ExecutionError, RequestError } from "./Errors.js"
import type { ExecutionEvent, ExecutionResult, TerminalEvent } from "./Execution.js"
import type { FileListResponse } from "./File.js"
import type {
  CreateCodeContextOptions,
  CreateSandboxOptions,
  ListSandboxesOptions,
  ReadFileOptions,
  RunCodeOptions,
  RunCodeStreamOptions,
  RunTerminalOptions,
  RunTerminalStreamOptions,
  WriteFileOptions
} from "./Options.js"
import type { SandboxInfo, SandboxStatus } from "./SandboxInfo.js"
import type { SandboxTemplate, TemplatePage } from "./Template.js"

/**
 * What `createSandbox` gives.
 *
 * @category models
 */
export interface CreatedSandbox {
  readonly sandbox: SandboxInfo
  readonly connectionString?: string | undefined
  readonly credentials?: Readonly<Record<string, string>> | undefined
}

/**
 * The operations. Every layer of {@link SandboxSDK} gives all of them with the same meaning.
 *
 * @category models
 */
export interface Service {
  /**
   * Makes a sandbox from a template. It can run code when this succeeds.
   *
   * Fails with `SandboxError` `template_not_found` (no such template), `template_unavailable` (its interpreter is not
   * on the machine), `isolation_unavailable` (the host cannot isolate; the message says what to install) and
   * `start_failed`, and with `SandboxSDKError` `invalid_argument` for a malformed option.
   */
  readonly createSandbox: (options: CreateSandboxOptions) => Effect.Effect<CreatedSandbox, RequestError>
  /** The sandbox as it is now. Fails with `SandboxError` `not_found`. */
  readonly getSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /** Only its status. Fails with `SandboxError` `not_found`. */
  readonly getSandboxStatus: (id: string) => Effect.Effect<SandboxStatus, RequestError>
  /** The sandboxes of this caller, oldest first; filtered and paged as the options say. */
  readonly listSandboxes: (
    options?: ListSandboxesOptions
  ) => Effect.Effect<ReadonlyArray<SandboxInfo>, RequestError>
  /** Ends a sandbox and removes its files. Deleting one that is gone succeeds too. */
  readonly deleteSandbox: (id: string) => Effect.Effect<void, RequestError>

  /**
   * Runs code to its end and gives its output, results and metadata.
   *
   * Fails with `ExecutionError` when the code raises, with `TimeoutError` (`execution`) when it runs past `timeoutMs`
   * (it has been stopped then), with `SandboxError` `kernel_died` or `out_of_memory` when its interpreter ends; all of
   * them carry the output so far. Interrupting this effect stops the code and waits until it has stopped.
   */
  readonly runCode: (
    id: string,
    code: string,
    options?: RunCodeOptions
  ) => Effect.Effect<ExecutionResult, RequestError | ExecutionError>
  /**
   * Runs code and gives its events as they happen. A raised error is an event here. A stream that ends without
   * failing has ended with `Ended`. Ending the stream's scope early stops the code. A slow consumer slows the code
   * down: nothing is buffered without a bound, and nothing is dropped.
   */
  readonly runCodeStream: (
    id: string,
    code: string,
    options?: RunCodeStreamOptions
  ) => Stream.Stream<ExecutionEvent, RequestError>
  /** Runs a shell command and gives its output, standard error included, in the order in which it arrived. */
  readonly runTerminal: (
    id: string,
    command: string,
    options?: RunTerminalOptions
  ) => Effect.Effect<string, RequestError>
  /** Runs a shell command and gives its output as it happens; the last event carries `exitCode`. */
  readonly runTerminalStream: (
    id: string,
    command: string,
    options?: RunTerminalStreamOptions
  ) => Stream.Stream<TerminalEvent, RequestError>

  /** The text of a file. Fails with `SandboxError` `file_not_found`, `not_a_file`, `path_outside_workspace`. */
  readonly readFile: (id: string, path: string, options?: ReadFileOptions) => Effect.Effect<string, RequestError>
  /** Writes a file atomically (a reader sees the old or the new one) and gives its absolute path. */
  readonly writeFile: (
    id: string,
    path: string,
    content: string | Uint8Array,
    options?: WriteFileOptions
  ) => Effect.Effect<string, RequestError>
  /** Removes a file, or a directory with all that is in it. Fails with `SandboxError` `file_not_found`. */
  readonly deleteFile: (id: string, path: string) => Effect.Effect<void, RequestError>
  /** The entries of a directory, by default of `/workspace`, sorted by name. */
  readonly listFiles: (id: string, directory?: string) => Effect.Effect<FileListResponse, RequestError>

  /** A new context: an interpreter of its own. Fails with `SandboxError` `language_unavailable`. */
  readonly createCodeContext: (
    id: string,
    options?: CreateCodeContextOptions
  ) => Effect.Effect<CodeContext, RequestError>
  /** The contexts of a sandbox, oldest first, those made on demand included. */
  readonly listCodeContexts: (id: string) => Effect.Effect<ReadonlyArray<CodeContext>, RequestError>
  /** Ends a context, and what runs in it. Fails with `SandboxError` `context_not_found`. */
  readonly deleteCodeContext: (contextId: string) => Effect.Effect<void, RequestError>

  /** A page of the templates; pages count from 1. */
  readonly getTemplates: (page?: number, pageSize?: number) => Effect.Effect<TemplatePage, RequestError>
  /** One template, by id or alias. Fails with `SandboxError` `template_not_found`. */
  readonly getTemplate: (id: string) => Effect.Effect<SandboxTemplate, RequestError>
}

/**
 * The service tag. Provide it with `layerLocal` of `sandbox-sdk/local`: the engine in this process.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { SandboxSDK } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sdk = yield* SandboxSDK
 *   const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
 *   const { execution } = yield* sdk.runCode(sandbox.id, "6 * 7")
 *   return execution.text // "42"
 * })
 *
 * Effect.runPromise(program.pipe(Effect.provide(layerLocal())))
 * ```
 *
 * @category tags
 */
export class SandboxSDK extends Context.Tag("sandbox-sdk/SandboxSDK")<SandboxSDK, Service>() {}
