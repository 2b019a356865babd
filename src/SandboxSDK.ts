/**
 * The service that everything else implements or uses: create sandboxes, run code and commands in them, use their
 * files, contexts and templates.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { BatchEvent, BatchExecutionJob, BatchExecutionResult } from "./Batch.js"
import type { CodeContext } from "./CodeContext.js"
import type { ExecutionError, RequestError } from "./Errors.js"
import type { ExecutionEvent, ExecutionResult, TerminalEvent } from "./Execution.js"
import type { ExecutionInfo } from "./ExecutionInfo.js"
import type { FileContent, FileEvent, FileInfo, FileListResponse, FileToWrite } from "./File.js"
import type { MetricsData } from "./Metrics.js"
import type {
  AttachOptions,
  CreateCodeContextOptions,
  CreateSandboxOptions,
  CreateTemplateOptions,
  ExecuteBatchOptions,
  ListSandboxesOptions,
  ListSnapshotsOptions,
  MakeDirectoryOptions,
  ReadFileOptions,
  RunCodeOptions,
  RunCodeStreamOptions,
  RunTerminalOptions,
  RunTerminalStreamOptions,
  SnapshotSandboxOptions,
  StartProcessOptions,
  StreamTemplateBuildOptions,
  WatchFilesOptions,
  WriteFileOptions
} from "./Options.js"
import type { PortAddress, WaitForPortOptions } from "./Port.js"
import type { ProcessInfo, Signal, TerminalSize } from "./Process.js"
import type { SandboxConfig } from "./SandboxConfig.js"
import type { SandboxInfo, SandboxStatus } from "./SandboxInfo.js"
import type { SandboxMetrics } from "./SandboxMetrics.js"
import type { Snapshot } from "./Snapshot.js"
import type { SandboxTemplate, TemplateConfig, TemplatePage } from "./Template.js"
import type { BuildEvent, TemplateBuild } from "./TemplateBuild.js"
import type { UsageData } from "./Usage.js"

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
   * Makes a sandbox from a template, or from a snapshot. It can run code when this succeeds.
   *
   * Fails with `SandboxError` `template_not_found` (no such template), `snapshot_not_found`, `template_unavailable` (its interpreter is not
   * on the machine), `build_failed` (what it installs could not be installed; a build that is under way is waited for),
   * `isolation_unavailable` (the host cannot isolate; the message says what to install) and
   * `start_failed`, and with `SandboxSDKError` `invalid_argument` for a malformed option.
   */
  readonly createSandbox: (options: CreateSandboxOptions) => Effect.Effect<CreatedSandbox, RequestError>
  /**
   * Keeps the files of a sandbox as they are at one moment, and what it was made with. If it is up, all its processes are
   * stopped for as long as that takes, and go on after. What they have in memory, and files in `/tmp`, are not kept.
   *
   * Fails with `SandboxError` `not_found`, `disk_full` and `snapshot_failed`.
   */
  readonly snapshotSandbox: (id: string, options?: SnapshotSandboxOptions) => Effect.Effect<Snapshot, RequestError>
  /** The snapshots of this caller, oldest first. */
  readonly listSnapshots: (options?: ListSnapshotsOptions) => Effect.Effect<ReadonlyArray<Snapshot>, RequestError>
  /** Removes a snapshot; sandboxes that were made from it stay. Removing one that is gone succeeds too. */
  readonly deleteSnapshot: (id: string) => Effect.Effect<void, RequestError>
  /**
   * Makes `count` sandboxes (1 by default, at most 100) with the files that a sandbox has at one moment, and everything that
   * it was made with. All of them are there when this succeeds, and none of them when it fails.
   *
   * Fails as `snapshotSandbox` and `createSandbox` do.
   */
  readonly forkSandbox: (id: string, count?: number) => Effect.Effect<ReadonlyArray<SandboxInfo>, RequestError>
  /** The sandbox as it is now. Fails with `SandboxError` `not_found`. */
  readonly getSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /** Only its status. Fails with `SandboxError` `not_found`. */
  readonly getSandboxStatus: (id: string) => Effect.Effect<SandboxStatus, RequestError>
  /**
   * What a sandbox uses at the moment of processor, memory and disk, and what it may use. It takes a fifth of a second for one
   * that is up, and does not count as a use: one that is stopped or paused stays so.
   *
   * Fails with `SandboxError` `not_found`, and with `SandboxSDKError` `unsupported` where the isolation cannot tell (a
   * container on another machine).
   */
  readonly getSandboxMetrics: (id: string) => Effect.Effect<SandboxMetrics, RequestError>
  /** The sandboxes of this caller, oldest first; filtered and paged as the options say. */
  readonly listSandboxes: (
    options?: ListSandboxesOptions
  ) => Effect.Effect<ReadonlyArray<SandboxInfo>, RequestError>
  /**
   * Starts a stopped sandbox, with the files that it had. One that is up stays as it is; one that ended by itself
   * (`error`) is started afresh. Fails with `SandboxError` `start_failed`.
   */
  readonly startSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /** Ends everything that runs in a sandbox, contexts included, and keeps its files. */
  readonly stopSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /**
   * Stops everything in a sandbox where it is, and succeeds when nothing of it runs any more: its memory, its open files and
   * the streams of its runs are kept, and it takes no processor time. Limits of time (`timeoutMs`, `runTimeMs`,
   * `idleTimeMs`) stand still, but not its expiry. The next call that uses it lets it go on; for one made with
   * `autoStart: false` such a call fails with `stopped`. Pausing one that is paused succeeds.
   *
   * Fails with `SandboxError` `not_found`, `stopped` (it is not up), `isolation_unavailable` (its processes could not all
   * be stopped; they run on), and with `SandboxSDKError` `unsupported` where the isolation has no way to do it.
   */
  readonly pauseSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /**
   * Lets a paused sandbox go on where it was. One that is not paused stays as it is. Fails with `SandboxError` `not_found`,
   * `stopped` (it is not up: `startSandbox` starts it, without the memory that it had).
   */
  readonly resumeSandbox: (id: string) => Effect.Effect<SandboxInfo, RequestError>
  /** Lets a sandbox expire `ms` milliseconds from now, whether it would have expired before or never. */
  readonly extendSandbox: (id: string, ms: number) => Effect.Effect<SandboxInfo, RequestError>
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
   * failing has ended with `Ended`. Ending the stream's scope early stops the code, unless the options say that it goes
   * on (`detached`, `detachGraceMs`). A slow consumer slows the code down: nothing is buffered without a bound, and
   * nothing is dropped.
   */
  readonly runCodeStream: (
    id: string,
    code: string,
    options?: RunCodeStreamOptions
  ) => Stream.Stream<ExecutionEvent, RequestError>
  /**
   * Runs code and decodes its main result, as JSON, through a schema: what `json` of the result holds, or else its text
   * parsed as JSON. Fails as `runCode` does, and with `SandboxSDKError` `decode_error` (`field` is the path of the part
   * that does not fit) when there is no such result.
   */
  readonly runCodeAs: <A, I>(
    id: string,
    code: string,
    schema: Schema.Schema<A, I>,
    options?: RunCodeOptions
  ) => Effect.Effect<A, RequestError | ExecutionError>
  /**
   * Runs jobs, those of a higher priority first, and gives their results in the order in which they were given. A job
   * that fails is a result as well, and never fails the batch. Interrupting this effect stops what runs and starts no
   * more.
   */
  readonly executeBatch: (
    id: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: ExecuteBatchOptions
  ) => Effect.Effect<ReadonlyArray<BatchExecutionResult>, RequestError>
  /** The same with the progress as it happens. */
  readonly executeBatchStream: (
    id: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: ExecuteBatchOptions
  ) => Stream.Stream<BatchEvent, RequestError>
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

  /**
   * The events of a run of code or of a command once more: those after `after` (from the first one on without it), then
   * those that follow as they happen, to the same end, be it `Ended` or a failure. Any number of readers can follow one
   * execution; the slowest sets its pace. Executions that have ended can be read for some minutes.
   *
   * Fails with `SandboxError` `execution_not_found`, `events_lost` (the events after `after` are no longer all there; the
   * message says from which number on there are some), `cancelled` (it was stopped), and with what the run fails with;
   * with `SandboxSDKError` `invalid_argument` for the id of a batch, and for an `after` that no event has yet.
   */
  readonly attach: (executionId: string, options?: AttachOptions) => Stream.Stream<ExecutionEvent, RequestError>
  /** The same for a batch. The runs of its jobs are executions of their own (`executionId` of `JobStarted`). */
  readonly attachBatch: (executionId: string, options?: AttachOptions) => Stream.Stream<BatchEvent, RequestError>
  /**
   * What runs in a sandbox, or waits for its turn there, and what has ended in the last minutes; oldest first. Fails with
   * `SandboxError` `not_found`.
   */
  readonly listExecutions: (id: string) => Effect.Effect<ReadonlyArray<ExecutionInfo>, RequestError>
  /** An execution as it is now. Fails with `SandboxError` `execution_not_found`. */
  readonly getExecution: (executionId: string) => Effect.Effect<ExecutionInfo, RequestError>
  /**
   * Stops an execution, whoever has started it, and succeeds when its processes are gone: an interrupt, then a kill of all
   * that belongs to it. Its readers fail with `SandboxError` `cancelled`. One that has ended stays as it is. Fails with
   * `SandboxError` `execution_not_found`.
   */
  readonly cancelExecution: (executionId: string) => Effect.Effect<ExecutionInfo, RequestError>

  /**
   * Starts a program and succeeds when it runs; it goes on when the caller leaves, until it ends, is stopped
   * (`cancelExecution`, `signalProcess`) or its sandbox is. Its output is the events of an execution: `attach(executionId)`
   * gives all of them, from `Started` to `Ended`. What a terminal shows comes as `Stdout`. Nobody reading, its log keeps the
   * first 8 MiB; what lies beyond is dropped, and counted in `Ended`. Somebody reading, the slowest reader sets its pace.
   *
   * Fails with `SandboxError` `file_not_found` or `permission_denied` (no such program, or folder), `start_failed`,
   * `quota_exceeded`; with `SandboxSDKError` `invalid_argument`.
   *
   * @example
   * ```ts
   * import { Effect, Stream } from "effect"
   * import { Sandbox } from "sandbox-sdk"
   * import { layerLocal } from "sandbox-sdk/local"
   *
   * const program = Effect.gen(function*() {
   *   const sandbox = yield* Sandbox.make({ templateId: "bash" })
   *   const { executionId } = yield* sandbox.startProcess({ args: ["sort"], stdin: true })
   *   yield* sandbox.writeStdin(executionId, "b\na\n")
   *   yield* sandbox.closeStdin(executionId)
   *   yield* Stream.runForEach(sandbox.attach(executionId), (event) => Effect.sync(() => console.log(event)))
   * }).pipe(Effect.scoped, Effect.provide(layerLocal()))
   *
   * Effect.runPromise(program)
   * ```
   */
  readonly startProcess: (id: string, options: StartProcessOptions) => Effect.Effect<ProcessInfo, RequestError>
  /** The processes of a sandbox that run, oldest first. Fails with `SandboxError` `not_found`. */
  readonly listProcesses: (id: string) => Effect.Effect<ReadonlyArray<ProcessInfo>, RequestError>
  /**
   * Writes to the input of a process, and succeeds when its pipe has taken all of it: a program that does not read holds
   * this up, without a limit of time. Text is UTF-8, bytes arrive as they are, and calls one after the other. Interrupted,
   * some of it may have been written. To a terminal goes what its keys would send (`"\r"`, `"\u0003"` for Ctrl+C).
   *
   * Fails with `SandboxError` `stdin_closed` (it has no input, or does not read it any more), `process_ended`,
   * `execution_not_found`, and with `SandboxSDKError` `invalid_argument` for the id of a run of code or a command.
   */
  readonly writeStdin: (executionId: string, data: string | Uint8Array) => Effect.Effect<void, RequestError>
  /**
   * Ends the input of a process once all that was written has been taken; in a terminal it writes the character that says
   * so (Ctrl+D). It can be called again. Fails with `SandboxError` `process_ended`, `execution_not_found`.
   */
  readonly closeStdin: (executionId: string) => Effect.Effect<void, RequestError>
  /**
   * Sends a signal to a process and its process group, `SIGKILL` to all that it has started. Succeeds when it is sent, which
   * is before the process ends. Fails with `SandboxError` `process_ended`, `execution_not_found`.
   */
  readonly signalProcess: (executionId: string, signal: Signal) => Effect.Effect<void, RequestError>
  /**
   * Sets the size of the terminal of a process; what runs in its foreground is told (`SIGWINCH`). Fails with `SandboxError`
   * `not_a_terminal`, `process_ended`, `execution_not_found`.
   */
  readonly resizeTerminal: (executionId: string, size: TerminalSize) => Effect.Effect<void, RequestError>

  /** The text of a file. Fails with `SandboxError` `file_not_found`, `not_a_file`, `path_outside_workspace`. */
  readonly readFile: (id: string, path: string, options?: ReadFileOptions) => Effect.Effect<string, RequestError>
  /** The bytes of a file. */
  readonly readFileBytes: (id: string, path: string) => Effect.Effect<Uint8Array, RequestError>
  /** The bytes of a file in pieces, never more of them in memory than a few megabytes. */
  readonly readFileStream: (id: string, path: string) => Stream.Stream<Uint8Array, RequestError>
  /** Writes a file atomically (a reader sees the old or the new one) and gives its absolute path. */
  readonly writeFile: (
    id: string,
    path: string,
    content: string | Uint8Array,
    options?: WriteFileOptions
  ) => Effect.Effect<string, RequestError>
  /**
   * Writes a file from a stream, atomically: when the stream fails, or this is interrupted, the file is as it was. Fails
   * with what the stream fails with, too.
   */
  readonly writeFileStream: <E>(
    id: string,
    path: string,
    content: Stream.Stream<Uint8Array, E>,
    options?: WriteFileOptions
  ) => Effect.Effect<string, RequestError | E>
  /**
   * Writes many files in one round trip, in this order, and gives their absolute paths. Each is written as by `writeFile`,
   * atomically; all of them together are not: at the first that cannot be written it stops, and that one and those after it
   * stay as they were. The error's `field` says which (`files.3`). Arguments are checked before any is written. At most
   * 100,000 files; over HTTP, files of many megabytes together take more than one request.
   *
   * @example
   * ```ts
   * import { Effect } from "effect"
   * import { Sandbox } from "sandbox-sdk"
   *
   * const program = Effect.gen(function*() {
   *   const sandbox = yield* Sandbox.make({ templateId: "python" })
   *   yield* sandbox.writeFiles([
   *     { path: "src/main.py", content: "import data\nprint(len(data.rows))" },
   *     { path: "src/data.py", content: "rows = [1, 2, 3]" }
   *   ])
   *   return yield* sandbox.runTerminal("python3 src/main.py") // "3\n"
   * })
   * ```
   */
  readonly writeFiles: (
    id: string,
    files: ReadonlyArray<FileToWrite>,
    options?: WriteFileOptions
  ) => Effect.Effect<ReadonlyArray<string>, RequestError>
  /**
   * The bytes of many files in one round trip, in the order of the paths. One that cannot be read fails all; the error's
   * `field` says which (`paths.3`). At most 100,000 files.
   *
   * Fails with `SandboxError` `quota_exceeded` when they have more than 32 MiB together; `readFileStream` reads those.
   */
  readonly readFiles: (
    id: string,
    paths: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<FileContent>, RequestError>
  /** Removes a file, or a directory with all that is in it. Fails with `SandboxError` `file_not_found`. */
  readonly deleteFile: (id: string, path: string) => Effect.Effect<void, RequestError>
  /** The entries of a directory, by default of `/workspace`, sorted by name. */
  readonly listFiles: (id: string, directory?: string) => Effect.Effect<FileListResponse, RequestError>
  /** One entry; of a symbolic link, what it points to. Fails with `SandboxError` `file_not_found`. */
  readonly statFile: (id: string, path: string) => Effect.Effect<FileInfo, RequestError>
  /** Makes a directory. Fails with `SandboxError` `file_exists` when something else has that name. */
  readonly makeDirectory: (
    id: string,
    path: string,
    options?: MakeDirectoryOptions
  ) => Effect.Effect<FileInfo, RequestError>
  /** Moves a file or directory to another path; a file that is there is replaced. */
  readonly moveFile: (id: string, path: string, to: string) => Effect.Effect<FileInfo, RequestError>
  /**
   * What happens to the entries of a directory, from the moment at which `onStart` is called. Ends only with its scope, or
   * fails: with `file_not_found` when the directory is gone, and with `quota_exceeded` when so much happened that events
   * were lost.
   */
  readonly watchFiles: (
    id: string,
    directory?: string,
    options?: WatchFilesOptions
  ) => Stream.Stream<FileEvent, RequestError>

  /** A new context: an interpreter of its own. Fails with `SandboxError` `language_unavailable`. */
  readonly createCodeContext: (
    id: string,
    options?: CreateCodeContextOptions
  ) => Effect.Effect<CodeContext, RequestError>
  /** The contexts of a sandbox, oldest first, those made on demand included. */
  readonly listCodeContexts: (id: string) => Effect.Effect<ReadonlyArray<CodeContext>, RequestError>
  /** Ends a context, and what runs in it. Fails with `SandboxError` `context_not_found`. */
  readonly deleteCodeContext: (contextId: string) => Effect.Effect<void, RequestError>

  /** Gives a context a fresh interpreter, once what runs in it has been stopped. Its variables are lost. */
  readonly restartCodeContext: (contextId: string) => Effect.Effect<CodeContext, RequestError>

  /**
   * Where a TCP port of the sandbox is reached from outside, by HTTP and WebSocket. The sandbox need not be up and nothing
   * need listen there yet. The same address each time, until `closePort`; it goes with the sandbox. What is connected counts
   * as using the sandbox; a sandbox that stops breaks its connections, and no request starts one that is stopped.
   *
   * Fails with `SandboxError` `not_found`, and `quota_exceeded` when the sandbox has too many.
   */
  readonly getPort: (id: string, port: number) => Effect.Effect<PortAddress, RequestError>
  /** The same as the text after `https://`, without the last `/`. */
  readonly getHost: (id: string, port: number) => Effect.Effect<string, RequestError>
  /**
   * Waits until something listens at a port of the sandbox, and gives its address.
   *
   * Fails with `TimeoutError` (`connect`) when nothing does within `timeoutMs`, and at once when the sandbox ends.
   */
  readonly waitForPort: (
    id: string,
    port: number,
    options?: WaitForPortOptions
  ) => Effect.Effect<PortAddress, RequestError>
  /**
   * Makes the address of a port worthless and breaks the connections that were made by it. `getPort` gives a new one.
   * Closing one that is not open succeeds too.
   */
  readonly closePort: (id: string, port: number) => Effect.Effect<void, RequestError>

  /** A page of the templates; pages count from 1. */
  readonly getTemplates: (page?: number, pageSize?: number) => Effect.Effect<TemplatePage, RequestError>
  /** One template, by id or alias. Fails with `SandboxError` `template_not_found`. */
  readonly getTemplate: (id: string) => Effect.Effect<SandboxTemplate, RequestError>
  /**
   * Makes a template of one's own: a name, a language and version that the machine has, defaults, and what is to be
   * installed. `dependencies` and `installCommand` are carried out once, in a sandbox of their own; what they install is
   * shared by all sandboxes of the template, read-only. It can be used when this succeeds, unless `wait` is `false`.
   * Interrupting this effect ends the build and leaves no template.
   *
   * Fails with `SandboxError` `template_unavailable` (the machine has no such interpreter) and `build_failed` (its message
   * has the end of the log; no template is left), and with `SandboxSDKError` `invalid_argument` or `unsupported`, whose
   * `field` names the part.
   */
  readonly createTemplate: (
    config: TemplateConfig,
    options?: CreateTemplateOptions
  ) => Effect.Effect<SandboxTemplate, RequestError>
  /**
   * The builds of a template; none when it has nothing to install. Fails with `SandboxError` `template_not_found`.
   */
  readonly getTemplateBuilds: (id: string) => Effect.Effect<ReadonlyArray<TemplateBuild>, RequestError>
  /**
   * What happens in the build of a template, from its beginning on and as it happens; the last event is `BuildEnded`, also
   * of a build that failed. Leaving the stream does not end the build. Fails with `SandboxError` `template_not_found` and
   * `build_not_found` (it has nothing to install).
   */
  readonly streamTemplateBuild: (
    id: string,
    options?: StreamTemplateBuildOptions
  ) => Stream.Stream<BuildEvent, RequestError>
  /**
   * Removes a template of one's own, and ends its build; sandboxes that were made from it stay. Removing one that is gone
   * succeeds too.
   */
  readonly deleteTemplate: (id: string) => Effect.Effect<void, RequestError>

  /** What the sandboxes of this caller take at the moment. */
  readonly getUsage: () => Effect.Effect<UsageData, RequestError>
  /** What this instance of the layer has done so far. */
  readonly getMetrics: Effect.Effect<MetricsData, RequestError>
}

/** The service over HTTP is loaded where it is used: not by a program with the engine in it. */
const remote = Effect.promise(() => import("./remote/Remote.js"))

/**
 * The service tag. Provide it with `layerLocal` of `sandbox-sdk/local`, the engine in this process, or with
 * {@link SandboxSDK.layer}, a server.
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
export class SandboxSDK extends Context.Tag("sandbox-sdk/SandboxSDK")<SandboxSDK, Service>() {
  /**
   * The service of a server, over the `HttpClient` of your choice: `NodeHttpClient.layerUndici` of
   * `@effect/platform-node` is the fastest on Node.
   *
   * Arguments are checked before anything is sent. Beyond what the operations themselves fail with, each can fail with
   * `ConnectionError` (no connection, or it broke; the output so far is in its `execution`), `TimeoutError` `request` (no
   * answer within `timeout` of the settings, which does not limit how long a stream or a run may take), `RateLimitError`
   * and `SandboxSDKError` `unauthorized` and `decode_error`. Requests are made again as {@link SandboxConfig} says, where
   * that cannot carry anything out twice.
   */
  static readonly layer: Layer.Layer<SandboxSDK, never, SandboxConfig | HttpClient.HttpClient> = Layer.scoped(
    this,
    Effect.flatMap(remote, ({ make }) => make)
  )

  /**
   * The service of a server, over `fetch`, which every runtime has.
   *
   * @example
   * ```ts
   * import { Effect, Layer } from "effect"
   * import { Sandbox, SandboxConfig, SandboxSDK } from "sandbox-sdk"
   *
   * const program = Effect.scoped(Effect.gen(function*() {
   *   const sandbox = yield* Sandbox.make({ templateId: "python" })
   *   return yield* sandbox.runCode("6 * 7")
   * }))
   *
   * const layer = SandboxSDK.layerFetch.pipe(Layer.provide(SandboxConfig.layerEnv))
   *
   * Effect.runPromise(program.pipe(Effect.provide(layer)))
   * ```
   */
  static readonly layerFetch: Layer.Layer<SandboxSDK, never, SandboxConfig> = Layer.provide(
    SandboxSDK.layer,
    Layer.unwrapEffect(Effect.map(remote, ({ http }) => http))
  )
}
