/**
 * The operations of the service as methods that give promises and async iterables.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import type { BatchEvent, BatchExecutionJob, BatchExecutionResult } from "../Batch.js"
import type { CodeContext } from "../CodeContext.js"
import type { DirectoryProgress } from "../Directory.js"
import { type AnySandboxSDKError, type RequestError, TimeoutError } from "../Errors.js"
import type { ExecutionEvent, ExecutionResult, TerminalEvent } from "../Execution.js"
import type { ExecutionInfo } from "../ExecutionInfo.js"
import type { FileContent, FileEvent, FileInfo, FileListResponse, FileToWrite } from "../File.js"
import type { MetricsData } from "../Metrics.js"
import * as Options from "../Options.js"
import type { PortAddress, WaitForPortOptions } from "../Port.js"
import type { ProcessInfo, Signal, TerminalSize } from "../Process.js"
import { Sandbox as Handle, type Sandbox as HandleType } from "../Sandbox.js"
import type { SandboxInfo, SandboxStatus } from "../SandboxInfo.js"
import type { SandboxMetrics } from "../SandboxMetrics.js"
import { type CreatedSandbox, SandboxSDK as Tag, type Service } from "../SandboxSDK.js"
import type { Snapshot } from "../Snapshot.js"
import type { SandboxTemplate, TemplateConfig, TemplatePage } from "../Template.js"
import type { BuildEvent, TemplateBuild } from "../TemplateBuild.js"
import type { UsageData } from "../Usage.js"
import { decodeArguments } from "./arguments.js"
import type { ByteSource } from "./byteSource.js"
import type * as Directories from "./localDirectories.js"
import {
  adapt,
  type CallOptions,
  type DownloadFileOptions,
  required,
  type RunCodeOptions,
  type RunTerminalOptions,
  separate,
  signalOf,
  type UploadFileOptions,
  type WatchFilesOptions
} from "./promiseOptions.js"
import { makeSandbox, type Sandbox } from "./promiseSandbox.js"
import { Runner, streams } from "./runner.js"
import { fromStandardSchema, requireStandardSchema, type StandardSchema } from "./standardSchema.js"
import type { StreamIterator } from "./streamIterator.js"

const decodeTimeout = decodeArguments(Options.Millis, "waitForConnection", "timeoutMs")

/** How long lies between two tries to reach a server. */
const RECONNECT_MS = 200

/** The sums before anything was done. */
const nothingDone: MetricsData = {
  totalRequests: 0,
  successfulRequests: 0,
  failedRequests: 0,
  averageResponseTime: 0,
  totalExecutionTime: 0,
  activeSandboxes: 0,
  lastUpdated: new Date(0).toISOString()
}

/** A sandbox, and what copies between it and the files of this machine. */
const handleWithFiles = (service: Service, id: string) =>
  Effect.zip(
    Effect.promise(() => import("./localDirectories.js")),
    Effect.provideService(Handle.attach(id), Tag, service)
  )

const withCallbacks = (options: Omit<RunCodeOptions, "signal"> | undefined): Options.RunCodeOptions => ({
  ...options,
  onStdout: adapt(options?.onStdout),
  onStderr: adapt(options?.onStderr),
  onResult: adapt(options?.onResult),
  onError: adapt(options?.onError)
})

/**
 * The service for callers without Effect.
 *
 * Each method does what the operation of the same name of `Service` does, and rejects with what it fails with: the very
 * error object, one of the six classes.
 */
export class PromiseClient {
  readonly #runner: Runner<Tag>

  /** `probe` shows that calls can be made; without it, they can be when there is a layer. */
  protected constructor(layer: Layer.Layer<Tag, RequestError>, probe?: Effect.Effect<unknown, RequestError, Tag>) {
    this.#runner = new Runner(layer, probe)
  }

  #call<O extends CallOptions, A>(
    operation: string,
    options: O | undefined,
    use: (service: Service, options: Omit<O, "signal"> | undefined) => Effect.Effect<A, AnySandboxSDKError>
  ): Promise<A> {
    return this.#runner.start(
      Effect.flatMap(
        separate(operation, options),
        (rest) => Effect.flatMap(Tag, (service) => use(service, rest))
      ),
      signalOf(options)
    ).result
  }

  #iterate<O extends CallOptions, A>(
    operation: string,
    options: O | undefined,
    use: (service: Service, options: Omit<O, "signal"> | undefined) => Stream.Stream<A, AnySandboxSDKError>
  ): StreamIterator<A> {
    return this.#iterateOver(operation, options, (service, rest) => Effect.sync(() => use(service, rest)))
  }

  #iterateOver<O extends CallOptions, A>(
    operation: string,
    options: O | undefined,
    use: (
      service: Service,
      options: Omit<O, "signal"> | undefined
    ) => Effect.Effect<Stream.Stream<A, AnySandboxSDKError>, AnySandboxSDKError>
  ): StreamIterator<A> {
    return this.#runner.iterate(
      Effect.flatMap(
        separate(operation, options),
        (rest) => Effect.flatMap(Tag, (service) => use(service, rest))
      ),
      signalOf(options)
    )
  }

  /** Makes a sandbox from a template. It can run code when this resolves. */
  createSandbox(options: Options.CreateSandboxOptions & CallOptions): Promise<CreatedSandbox> {
    return this.#call(
      "createSandbox",
      options,
      (service, rest) => Effect.flatMap(required("createSandbox", rest), service.createSandbox)
    )
  }

  /** The sandbox as it is now. */
  getSandbox(id: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("getSandbox", options, (service) => service.getSandbox(id))
  }

  /** Only its status. */
  getSandboxStatus(id: string, options?: CallOptions): Promise<SandboxStatus> {
    return this.#call("getSandboxStatus", options, (service) => service.getSandboxStatus(id))
  }

  /** What it uses at the moment of processor, memory and disk, and what it may use. */
  getSandboxMetrics(id: string, options?: CallOptions): Promise<SandboxMetrics> {
    return this.#call("getSandboxMetrics", options, (service) => service.getSandboxMetrics(id))
  }

  /** The sandboxes of this caller, oldest first. */
  listSandboxes(options?: Options.ListSandboxesOptions & CallOptions): Promise<ReadonlyArray<SandboxInfo>> {
    return this.#call("listSandboxes", options, (service, rest) => service.listSandboxes(rest))
  }

  /** Starts a stopped sandbox, with the files that it had. One that is up stays as it is. */
  startSandbox(id: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("startSandbox", options, (service) => service.startSandbox(id))
  }

  /** Ends everything that runs in a sandbox, contexts included, and keeps its files. */
  stopSandbox(id: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("stopSandbox", options, (service) => service.stopSandbox(id))
  }

  /**
   * Stops everything in a sandbox where it is, and keeps its memory and streams; limits of time stand still. The next call
   * that uses it lets it go on, unless it was made with `autoStart: false`.
   */
  pauseSandbox(id: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("pauseSandbox", options, (service) => service.pauseSandbox(id))
  }

  /** Lets a paused sandbox go on where it was. */
  resumeSandbox(id: string, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("resumeSandbox", options, (service) => service.resumeSandbox(id))
  }

  /** Lets a sandbox expire `ms` milliseconds from now, whether it would have expired before or never. */
  extendSandbox(id: string, ms: number, options?: CallOptions): Promise<SandboxInfo> {
    return this.#call("extendSandbox", options, (service) => service.extendSandbox(id, ms))
  }

  /** Ends a sandbox and removes its files. Deleting one that is gone resolves too. */
  deleteSandbox(id: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteSandbox", options, (service) => service.deleteSandbox(id))
  }

  /** Runs code to its end and gives its output, results and metadata; rejects with `ExecutionError` when it raises. */
  runCode(id: string, code: string, options?: RunCodeOptions): Promise<ExecutionResult> {
    return this.#call("runCode", options, (service, rest) => service.runCode(id, code, withCallbacks(rest)))
  }

  /**
   * Runs code and gives its main result, as JSON, as a schema has it: one of Zod, Valibot, ArkType, or any other that
   * follows Standard Schema. Rejects as `runCode` does, and with `SandboxSDKError` `decode_error` (`field` is the path of
   * the part that does not fit) when there is no such result.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   * import * as z from "zod"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * const point = await sandbox.runCodeAs("{'x': 1, 'y': 2}", z.object({ x: z.number(), y: z.number() }))
   * console.log(point.x + point.y) // 3
   * ```
   */
  runCodeAs<A>(id: string, code: string, schema: StandardSchema<A>, options?: RunCodeOptions): Promise<A> {
    return this.#call("runCodeAs", options, (service, rest) =>
      Effect.flatMap(
        requireStandardSchema("runCodeAs", schema),
        (standard) => service.runCodeAs(id, code, fromStandardSchema(standard), withCallbacks(rest))
      ))
  }

  /**
   * Runs code and gives its events as they happen, the last one `Ended`. The run begins when the first event is asked
   * for; `break` stops it, and a slow loop slows it down.
   */
  runCodeStream(
    id: string,
    code: string,
    options?: Options.RunCodeStreamOptions & CallOptions
  ): StreamIterator<ExecutionEvent> {
    return this.#iterate("runCodeStream", options, (service, rest) => service.runCodeStream(id, code, rest))
  }

  /**
   * Runs jobs, those of a higher priority first, and gives their results in the order in which they were given. A job
   * that fails is a result as well, and never makes the batch reject.
   */
  executeBatch(
    id: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: Options.ExecuteBatchOptions & CallOptions
  ): Promise<ReadonlyArray<BatchExecutionResult>> {
    return this.#call("executeBatch", options, (service, rest) => service.executeBatch(id, jobs, rest))
  }

  /** The same with the progress as it happens. The batch begins when the first event is asked for; `break` stops it. */
  executeBatchStream(
    id: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: Options.ExecuteBatchOptions & CallOptions
  ): StreamIterator<BatchEvent> {
    return this.#iterate("executeBatchStream", options, (service, rest) => service.executeBatchStream(id, jobs, rest))
  }

  /** Runs a shell command and gives its output, standard error included, in the order in which it arrived. */
  runTerminal(id: string, command: string, options?: RunTerminalOptions): Promise<string> {
    return this.#call("runTerminal", options, (service, rest) =>
      service.runTerminal(id, command, {
        ...rest,
        onStdout: adapt(rest?.onStdout),
        onStderr: adapt(rest?.onStderr)
      }))
  }

  /** Runs a shell command and gives its output as it happens; the last event carries `exitCode`. */
  runTerminalStream(
    id: string,
    command: string,
    options?: Options.RunTerminalStreamOptions & CallOptions
  ): StreamIterator<TerminalEvent> {
    return this.#iterate("runTerminalStream", options, (service, rest) => service.runTerminalStream(id, command, rest))
  }

  /**
   * The events of a run of code or of a command once more, after the number `after` or from the first one on, then those
   * that follow as they happen, to the same end. `break` leaves the run alone.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * const code = "import time\nfor n in range(5): print(n); time.sleep(0.1)"
   * let id = ""
   * for await (const event of sandbox.runCodeStream(code, { detached: true })) {
   *   if (event._tag === "Started") id = event.executionId
   *   if (event._tag === "Stdout") break
   * }
   * for await (const event of sandbox.attach(id)) console.log(event)
   * ```
   */
  attach(executionId: string, options?: Options.AttachOptions & CallOptions): StreamIterator<ExecutionEvent> {
    return this.#iterate("attach", options, (service, rest) => service.attach(executionId, rest))
  }

  /** The same for a batch. */
  attachBatch(executionId: string, options?: Options.AttachOptions & CallOptions): StreamIterator<BatchEvent> {
    return this.#iterate("attachBatch", options, (service, rest) => service.attachBatch(executionId, rest))
  }

  /** What runs in a sandbox, or waits for its turn there, and what has ended in the last minutes; oldest first. */
  listExecutions(id: string, options?: CallOptions): Promise<ReadonlyArray<ExecutionInfo>> {
    return this.#call("listExecutions", options, (service) => service.listExecutions(id))
  }

  /** An execution as it is now. */
  getExecution(executionId: string, options?: CallOptions): Promise<ExecutionInfo> {
    return this.#call("getExecution", options, (service) => service.getExecution(executionId))
  }

  /** Stops an execution, and resolves when its processes are gone. One that has ended stays as it is. */
  cancelExecution(executionId: string, options?: CallOptions): Promise<ExecutionInfo> {
    return this.#call("cancelExecution", options, (service) => service.cancelExecution(executionId))
  }

  /**
   * Starts a program, and resolves when it runs; it goes on until it ends, is stopped (`cancelExecution`,
   * `signalProcess`) or its sandbox is. `attach(executionId)` gives its output.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "bash" })
   * const { executionId } = await sandbox.startProcess({ args: ["sort"], stdin: true })
   * await sandbox.writeStdin(executionId, "b\na\n")
   * await sandbox.closeStdin(executionId)
   * for await (const event of sandbox.attach(executionId)) console.log(event)
   * ```
   */
  startProcess(id: string, options: Options.StartProcessOptions & CallOptions): Promise<ProcessInfo> {
    return this.#call(
      "startProcess",
      options,
      (service, rest) => Effect.flatMap(required("startProcess", rest), (wanted) => service.startProcess(id, wanted))
    )
  }

  /** The processes of a sandbox that run, oldest first. */
  listProcesses(id: string, options?: CallOptions): Promise<ReadonlyArray<ProcessInfo>> {
    return this.#call("listProcesses", options, (service) => service.listProcesses(id))
  }

  /** Writes to the input of a process, and resolves when its pipe has taken all of it. */
  writeStdin(executionId: string, data: string | Uint8Array, options?: CallOptions): Promise<void> {
    return this.#call("writeStdin", options, (service) => service.writeStdin(executionId, data))
  }

  /** Ends the input of a process once all that was written has been taken. */
  closeStdin(executionId: string, options?: CallOptions): Promise<void> {
    return this.#call("closeStdin", options, (service) => service.closeStdin(executionId))
  }

  /** Sends a signal to a process and its process group, `SIGKILL` to all that it has started. */
  signalProcess(executionId: string, signal: Signal, options?: CallOptions): Promise<void> {
    return this.#call("signalProcess", options, (service) => service.signalProcess(executionId, signal))
  }

  /** Sets the size of the terminal of a process. */
  resizeTerminal(executionId: string, size: TerminalSize, options?: CallOptions): Promise<void> {
    return this.#call("resizeTerminal", options, (service) => service.resizeTerminal(executionId, size))
  }

  /** The text of a file. */
  readFile(id: string, path: string, options?: Options.ReadFileOptions & CallOptions): Promise<string> {
    return this.#call("readFile", options, (service, rest) => service.readFile(id, path, rest))
  }

  /** The bytes of a file. */
  readFileBytes(id: string, path: string, options?: CallOptions): Promise<Uint8Array> {
    return this.#call("readFileBytes", options, (service) => service.readFileBytes(id, path))
  }

  /** The bytes of a file in pieces, never more of them in memory than a few megabytes. */
  readFileStream(id: string, path: string, options?: CallOptions): StreamIterator<Uint8Array> {
    return this.#iterate("readFileStream", options, (service) => service.readFileStream(id, path))
  }

  /** Writes a file atomically (a reader sees the old or the new one) and gives its absolute path. */
  writeFile(
    id: string,
    path: string,
    content: string | Uint8Array,
    options?: Options.WriteFileOptions & CallOptions
  ): Promise<string> {
    return this.#call("writeFile", options, (service, rest) => service.writeFile(id, path, content, rest))
  }

  /**
   * Writes a file from pieces (a web stream, a Node stream, an async generator, an array), each asked for when it is
   * wanted, atomically: when the source throws, or the call is aborted, the file is as it was. Rejects with the very error
   * that the source throws.
   *
   * @example
   * ```ts
   * import { createReadStream } from "node:fs"
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * await sandbox.writeFileStream("data.csv", createReadStream("data.csv"))
   * ```
   */
  writeFileStream(
    id: string,
    path: string,
    content: ByteSource,
    options?: Options.WriteFileOptions & CallOptions
  ): Promise<string> {
    return this.#call(
      "writeFileStream",
      options,
      (service, rest) =>
        Effect.flatMap(
          Effect.flatMap(streams, ({ bytesOf }) => bytesOf("writeFileStream", content)),
          (bytes) =>
            Effect.catchTag(
              service.writeFileStream(id, path, bytes, rest),
              "SourceFailure",
              // The caller's own error, of any kind: it is what the call rejects with.
              ({ reason }) => Effect.die(reason)
            )
        )
    )
  }

  /**
   * Writes many files in one round trip, in this order, and gives their absolute paths. Each is written atomically, not all
   * of them together: at the first that cannot be written it stops, and the error's `field` says which (`files.3`).
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * await sandbox.writeFiles([
   *   { path: "src/main.py", content: "import data\nprint(len(data.rows))" },
   *   { path: "src/data.py", content: "rows = [1, 2, 3]" }
   * ])
   * ```
   */
  writeFiles(
    id: string,
    files: ReadonlyArray<FileToWrite>,
    options?: Options.WriteFileOptions & CallOptions
  ): Promise<ReadonlyArray<string>> {
    return this.#call("writeFiles", options, (service, rest) => service.writeFiles(id, files, rest))
  }

  /**
   * The bytes of many files in one round trip, at most 32 MiB, in the order of the paths. One that cannot be read rejects;
   * the error's `field` says which (`paths.3`).
   */
  readFiles(id: string, paths: ReadonlyArray<string>, options?: CallOptions): Promise<ReadonlyArray<FileContent>> {
    return this.#call("readFiles", options, (service) => service.readFiles(id, paths))
  }

  /**
   * Copies a file of this machine into the sandbox, and gives its absolute path there; folders above it are made. It is
   * written atomically. What cannot be read here is a `SandboxError` whose `field` is `from`. Only in Node.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * await sandbox.uploadFile("package.json", "in/package.json", {
   *   onProgress: ({ bytes, totalBytes }) => console.log(`${bytes} of ${totalBytes} bytes`)
   * })
   * ```
   */
  uploadFile(id: string, from: string, to: string, options?: UploadFileOptions): Promise<string> {
    return this.#call(
      "uploadFile",
      options,
      (service, rest) =>
        Effect.flatMap(
          handleWithFiles(service, id),
          ([{ uploadFile }, sandbox]) =>
            uploadFile(sandbox, from, to, rest && { ...rest, onProgress: adapt(rest.onProgress) })
        )
    )
  }

  /**
   * Copies a file of the sandbox to this machine, where it appears when it is whole; folders above it are made. More than
   * `maxBytes` (10 GiB by default) is refused. What cannot be written here is a `SandboxError` whose `field` is `to`. Only in
   * Node.
   */
  downloadFile(id: string, from: string, to: string, options?: DownloadFileOptions): Promise<void> {
    return this.#call(
      "downloadFile",
      options,
      (service, rest) =>
        Effect.flatMap(
          handleWithFiles(service, id),
          ([{ downloadFile }, sandbox]) =>
            downloadFile(sandbox, from, to, rest && { ...rest, onProgress: adapt(rest.onProgress) })
        )
    )
  }

  /**
   * Copies a directory of this machine, with all that is in it, into a directory of the sandbox (`/workspace` by default), and
   * gives how far it is. It begins when the first event is asked for; `break` stops it. Links and permissions are kept, links
   * not followed. What cannot be read here is a `SandboxError` whose `field` is `from`. Only in Node.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * for await (const { bytes, path, totalBytes } of sandbox.uploadDirectory("./src", "src")) {
   *   console.log(`${bytes} of ${totalBytes} bytes: ${path}`)
   * }
   * ```
   */
  uploadDirectory(
    id: string,
    from: string,
    to?: string,
    options?: Options.UploadDirectoryOptions & CallOptions
  ): StreamIterator<DirectoryProgress> {
    return this.#copy(
      "uploadDirectory",
      id,
      options,
      ({ uploadDirectory }, sandbox, rest) => uploadDirectory(sandbox, from, to, rest)
    )
  }

  /**
   * Copies a directory of the sandbox, with all that is in it, into a directory of this machine, and gives how far it is.
   * Nothing is written outside of `to`, whatever the sandbox says; links that may lead out are told as `Skipped`. What cannot
   * be written here is a `SandboxError` whose `field` is `to`. Only in Node.
   */
  downloadDirectory(
    id: string,
    from: string,
    to: string,
    options?: Options.DownloadDirectoryOptions & CallOptions
  ): StreamIterator<DirectoryProgress> {
    return this.#copy(
      "downloadDirectory",
      id,
      options,
      ({ downloadDirectory }, sandbox, rest) => downloadDirectory(sandbox, from, to, rest)
    )
  }

  #copy<O extends CallOptions>(
    operation: string,
    id: string,
    options: O | undefined,
    use: (
      directories: typeof Directories,
      sandbox: HandleType,
      options: Omit<O, "signal"> | undefined
    ) => Stream.Stream<DirectoryProgress, AnySandboxSDKError>
  ): StreamIterator<DirectoryProgress> {
    return this.#iterateOver(
      operation,
      options,
      (service, rest) =>
        Effect.map(handleWithFiles(service, id), ([directories, sandbox]) => use(directories, sandbox, rest))
    )
  }

  /** Removes a file, or a directory with all that is in it. */
  deleteFile(id: string, path: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteFile", options, (service) => service.deleteFile(id, path))
  }

  /** The entries of a directory, by default of `/workspace`, sorted by name. */
  listFiles(id: string, directory?: string, options?: CallOptions): Promise<FileListResponse> {
    return this.#call("listFiles", options, (service) => service.listFiles(id, directory))
  }

  /** One entry; of a symbolic link, what it points to. */
  statFile(id: string, path: string, options?: CallOptions): Promise<FileInfo> {
    return this.#call("statFile", options, (service) => service.statFile(id, path))
  }

  /** Makes a directory. */
  makeDirectory(id: string, path: string, options?: Options.MakeDirectoryOptions & CallOptions): Promise<FileInfo> {
    return this.#call("makeDirectory", options, (service, rest) => service.makeDirectory(id, path, rest))
  }

  /** Moves a file or directory to another path; a file that is there is replaced. */
  moveFile(id: string, path: string, to: string, options?: CallOptions): Promise<FileInfo> {
    return this.#call("moveFile", options, (service) => service.moveFile(id, path, to))
  }

  /**
   * What happens to the entries of a directory, by default of `/workspace`. It begins when the first event is asked for;
   * what happens once `onStart` has been called is told. It ends by `break`, or throws: when the directory is gone, or when
   * so much happened that events were lost.
   */
  watchFiles(id: string, directory?: string, options?: WatchFilesOptions): StreamIterator<FileEvent> {
    return this.#iterate(
      "watchFiles",
      options,
      (service, rest) => service.watchFiles(id, directory, rest && { ...rest, onStart: adapt(rest.onStart) })
    )
  }

  /** A new context: an interpreter of its own. */
  createCodeContext(id: string, options?: Options.CreateCodeContextOptions & CallOptions): Promise<CodeContext> {
    return this.#call("createCodeContext", options, (service, rest) => service.createCodeContext(id, rest))
  }

  /** The contexts of a sandbox, oldest first. */
  listCodeContexts(id: string, options?: CallOptions): Promise<ReadonlyArray<CodeContext>> {
    return this.#call("listCodeContexts", options, (service) => service.listCodeContexts(id))
  }

  /** Ends a context, and what runs in it. */
  deleteCodeContext(contextId: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteCodeContext", options, (service) => service.deleteCodeContext(contextId))
  }

  /** Gives a context a fresh interpreter, once what runs in it has been stopped. Its variables are lost. */
  restartCodeContext(contextId: string, options?: CallOptions): Promise<CodeContext> {
    return this.#call("restartCodeContext", options, (service) => service.restartCodeContext(contextId))
  }

  /** Where a TCP port of the sandbox is reached from outside, by HTTP and WebSocket. */
  getPort(id: string, port: number, options?: CallOptions): Promise<PortAddress> {
    return this.#call("getPort", options, (service) => service.getPort(id, port))
  }

  /** The same as the text after `https://`, without the last `/`. */
  getHost(id: string, port: number, options?: CallOptions): Promise<string> {
    return this.#call("getHost", options, (service) => service.getHost(id, port))
  }

  /** Waits until something listens at a port of the sandbox, and gives its address. */
  waitForPort(id: string, port: number, options?: WaitForPortOptions & CallOptions): Promise<PortAddress> {
    return this.#call("waitForPort", options, (service, rest) => service.waitForPort(id, port, rest))
  }

  /** Makes the address of a port worthless and breaks the connections that were made by it. */
  closePort(id: string, port: number, options?: CallOptions): Promise<void> {
    return this.#call("closePort", options, (service) => service.closePort(id, port))
  }

  /** A page of the templates; pages count from 1. */
  getTemplates(page?: number, pageSize?: number, options?: CallOptions): Promise<TemplatePage> {
    return this.#call("getTemplates", options, (service) => service.getTemplates(page, pageSize))
  }

  /** One template, by id or alias. */
  getTemplate(id: string, options?: CallOptions): Promise<SandboxTemplate> {
    return this.#call("getTemplate", options, (service) => service.getTemplate(id))
  }

  /**
   * Makes a template of one's own: a name, a language and version that the machine has, defaults, and what is to be
   * installed, once for all of its sandboxes. It can be used when this resolves, unless `wait` is `false`; rejects with
   * `SandboxError` `build_failed` when it cannot be installed.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * const template = await sdk.createTemplate({
   *   name: "Tables",
   *   language: "python",
   *   version: "3",
   *   dependencies: ["tabulate"]
   * })
   * await using sandbox = await sdk.sandbox({ templateId: template.id })
   * ```
   */
  createTemplate(
    config: TemplateConfig,
    options?: Options.CreateTemplateOptions & CallOptions
  ): Promise<SandboxTemplate> {
    return this.#call("createTemplate", options, (service, rest) => service.createTemplate(config, rest))
  }

  /** The builds of a template; none when it has nothing to install. */
  getTemplateBuilds(id: string, options?: CallOptions): Promise<ReadonlyArray<TemplateBuild>> {
    return this.#call("getTemplateBuilds", options, (service) => service.getTemplateBuilds(id))
  }

  /** What happens in the build of a template, from its beginning on; the last event is `BuildEnded`. */
  streamTemplateBuild(
    id: string,
    options?: Options.StreamTemplateBuildOptions & CallOptions
  ): StreamIterator<BuildEvent> {
    return this.#iterate("streamTemplateBuild", options, (service, rest) => service.streamTemplateBuild(id, rest))
  }

  /**
   * Removes a template of one's own, and ends its build; sandboxes that were made from it stay. Removing one that is gone
   * resolves too.
   */
  deleteTemplate(id: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteTemplate", options, (service) => service.deleteTemplate(id))
  }

  /**
   * Keeps the files of a sandbox as they are at one moment, and what it was made with. What runs in it waits meanwhile; what
   * it has in memory is not kept.
   */
  snapshotSandbox(id: string, options?: Options.SnapshotSandboxOptions & CallOptions): Promise<Snapshot> {
    return this.#call("snapshotSandbox", options, (service, rest) => service.snapshotSandbox(id, rest))
  }

  /** The snapshots of this caller, oldest first. */
  listSnapshots(options?: Options.ListSnapshotsOptions & CallOptions): Promise<ReadonlyArray<Snapshot>> {
    return this.#call("listSnapshots", options, (service, rest) => service.listSnapshots(rest))
  }

  /** Removes a snapshot; sandboxes that were made from it stay. Removing one that is gone resolves too. */
  deleteSnapshot(id: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteSnapshot", options, (service) => service.deleteSnapshot(id))
  }

  /** Makes sandboxes, one by default, with the files that a sandbox has at one moment: all of them, or it rejects. */
  forkSandbox(id: string, count?: number, options?: CallOptions): Promise<ReadonlyArray<SandboxInfo>> {
    return this.#call("forkSandbox", options, (service) => service.forkSandbox(id, count))
  }

  /**
   * The same with a handle on each, which deletes it: by `close()`, at the end of `await using`, and at the latest by
   * `disconnect()`.
   */
  async forks(id: string, count?: number, options?: CallOptions): Promise<ReadonlyArray<Sandbox>> {
    const { value } = await this.#runner.hold(
      separate("forks", options).pipe(
        Effect.zipRight(Handle.attach(id)),
        Effect.flatMap((sandbox) => sandbox.fork(count))
      ),
      signalOf(options)
    )
    return value.map(({ info }) => makeSandbox(this, info, () => this.deleteSandbox(info.id).catch(() => undefined)))
  }

  /** What the sandboxes of this caller take at the moment. */
  getUsage(options?: CallOptions): Promise<UsageData> {
    return this.#call("getUsage", options, (service) => service.getUsage())
  }

  /** What this instance has done so far; what is under way is not counted yet. */
  getMetrics(): MetricsData {
    return this.#runner.now(Effect.flatMap(Tag, (service) => service.getMetrics)) ?? nothingDone
  }

  /**
   * Makes a sandbox with a handle on it that deletes it: by `close()`, at the end of `await using`, and at the latest by
   * `disconnect()`.
   *
   * @example
   * ```ts
   * import { SandboxSDK } from "sandbox-sdk/promise"
   *
   * await using sdk = await SandboxSDK.local()
   * await using sandbox = await sdk.sandbox({ templateId: "python" })
   * const { execution } = await sandbox.runCode("6 * 7")
   * console.log(execution.text) // "42"
   * ```
   */
  async sandbox(options: Options.CreateSandboxOptions & CallOptions): Promise<Sandbox> {
    const { release, value } = await this.#runner.hold(
      separate("sandbox", options).pipe(
        Effect.flatMap((rest) => required("sandbox", rest)),
        Effect.flatMap(Handle.make)
      ),
      signalOf(options)
    )
    return makeSandbox(this, value.info, release)
  }

  /** Whether calls can be made: connected, and not closed by `disconnect()`. */
  isReady(): boolean {
    return this.#runner.isReady
  }

  /**
   * Resolves when calls can be made. With `timeoutMs`, goes on trying to reach a server that does not answer, and rejects
   * with `TimeoutError` (`connect`) after so many milliseconds; without, rejects with `ConnectionError` then. Rejects with
   * anything else that hinders the connection at once.
   */
  waitForConnection(timeoutMs?: number, options?: CallOptions): Promise<void> {
    const { ready } = this.#runner
    const limited = Effect.flatMap(decodeTimeout(timeoutMs), (limit) =>
      ready.pipe(
        Effect.retry({
          while: (error) => error._tag === "ConnectionError" || error._tag === "TimeoutError",
          schedule: Schedule.spaced(RECONNECT_MS)
        }),
        Effect.timeoutFail({
          duration: Duration.millis(limit),
          onTimeout: () =>
            new TimeoutError({ message: `No connection within ${limit} ms.`, timeoutMs: limit, operation: "connect" })
        })
      ))
    return this.#runner.startAlone(timeoutMs === undefined ? ready : limited, signalOf(options)).result
  }

  /**
   * Ends everything that this instance started, and resolves when it has ended; calls that are under way reject with
   * `SandboxSDKError` `disconnected`, and so does every later one. The process can then exit by itself.
   */
  disconnect(): Promise<void> {
    return this.#runner.close()
  }

  /** `disconnect()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect()
  }
}
