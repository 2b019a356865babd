/**
 * The operations of the service as methods that give promises and async iterables.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { CodeContext } from "../CodeContext.js"
import { type AnySandboxSDKError, type RequestError, type SandboxSDKError, TimeoutError } from "../Errors.js"
import type { ErrorInfo, ExecutionEvent, ExecutionResult, OutputMessage, TerminalEvent } from "../Execution.js"
import type { FileListResponse } from "../File.js"
import * as Options from "../Options.js"
import type { Result } from "../Result.js"
import { Sandbox as Handle } from "../Sandbox.js"
import type { SandboxInfo, SandboxStatus } from "../SandboxInfo.js"
import { type CreatedSandbox, SandboxSDK as Tag, type Service } from "../SandboxSDK.js"
import type { SandboxTemplate, TemplatePage } from "../Template.js"
import { decodeArguments, invalidArgument } from "./arguments.js"
import { quote } from "./issue.js"
import { Runner } from "./runner.js"
import type { StreamIterator } from "./streamIterator.js"

/**
 * What every method takes among its options. Aborting `signal` stops what the call started in the sandbox; the call then
 * rejects with the signal's reason.
 */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * A callback. A promise that it returns is awaited before the next callback is called; what else it returns means
 * nothing. When it throws or rejects, the run is stopped and the call rejects with the same.
 */
export type Callback<A> = (value: A) => unknown

/**
 * Callbacks for the output of a run, called in order, one at a time.
 */
export interface OutputCallbacks {
  readonly onStdout?: Callback<OutputMessage> | undefined
  readonly onStderr?: Callback<OutputMessage> | undefined
}

/**
 * Callbacks for what a run of code produces, called in order, one at a time.
 */
export interface RunCodeCallbacks extends OutputCallbacks {
  readonly onResult?: Callback<Result> | undefined
  readonly onError?: Callback<ErrorInfo> | undefined
}

/**
 * How code is run. `captureOutput: false` leaves `logs` empty and still calls the callbacks.
 */
export interface RunCodeOptions extends Options.RunCodeStreamOptions, RunCodeCallbacks, CallOptions {
  readonly captureOutput?: boolean | undefined
}

/**
 * How a command is run.
 */
export interface RunTerminalOptions extends Options.RunTerminalStreamOptions, OutputCallbacks, CallOptions {}

/** The methods that are not about one sandbox. */
type Others =
  | "createSandbox"
  | "sandbox"
  | "listSandboxes"
  | "getTemplates"
  | "getTemplate"
  | "deleteCodeContext"
  | "isReady"
  | "waitForConnection"
  | "disconnect"
  | typeof Symbol.asyncDispose

/** A method whose first argument, the id, is given. */
type Bound<F> = F extends (id: string, ...args: infer Args) => infer A ? (...args: Args) => A : never

/**
 * One sandbox, deleted by `close()` or at the end of `await using`: the methods of the class without the id.
 */
export type Sandbox =
  & { readonly id: string; readonly info: SandboxInfo }
  & { readonly [Name in keyof Omit<PromiseClient, Others>]: Bound<PromiseClient[Name]> }
  & Pick<PromiseClient, "deleteCodeContext">
  & {
    /** Deletes the sandbox. It never rejects; closing it twice does no harm. */
    readonly close: () => Promise<void>
    readonly [Symbol.asyncDispose]: () => Promise<void>
  }

/** Makes a callback what the service wants. What is no function is left for the service to refuse. */
const adapt = <A>(callback: Callback<A> | undefined): Options.Callback<A> | undefined =>
  typeof callback !== "function" ? callback : (value) => {
    const returned = callback(value)
    return Predicate.isPromiseLike(returned)
      ? Effect.asVoid(Effect.promise(() => Promise.resolve(returned)))
      : undefined
  }

const isSignal = (u: unknown): u is AbortSignal =>
  Predicate.hasProperty(u, "aborted") && Predicate.hasProperty(u, "addEventListener")

/** The options for the service, and the signal, which is none of them. */
const separate = <O extends CallOptions>(
  operation: string,
  options: O | undefined
): Effect.Effect<Omit<O, "signal"> | undefined, SandboxSDKError> => {
  if (options === undefined) {
    return Effect.succeed(undefined)
  }
  if (!Predicate.isObject(options)) {
    return Effect.fail(invalidArgument(operation, "options", `options must be an object, but it is ${quote(options)}.`))
  }
  const { signal, ...rest } = options
  return signal === undefined || isSignal(signal)
    ? Effect.succeed(rest)
    : Effect.fail(
      invalidArgument(operation, "signal", `signal must be an AbortSignal, but it is ${quote(signal)}.`)
    )
}

const required = <O>(operation: string, options: O | undefined): Effect.Effect<O, SandboxSDKError> =>
  options === undefined
    ? Effect.fail(invalidArgument(operation, "options", "options is missing; it must be an object with a templateId."))
    : Effect.succeed(options)

const signalOf = (options: CallOptions | undefined): AbortSignal | undefined =>
  isSignal(options?.signal) ? options.signal : undefined

const decodeTimeout = decodeArguments(Options.Millis, "waitForConnection", "timeoutMs")

/**
 * The service for callers without Effect.
 *
 * Each method does what the operation of the same name of `Service` does, and rejects with what it fails with: the very
 * error object, one of the six classes.
 */
export class PromiseClient {
  readonly #runner: Runner<Tag>

  protected constructor(layer: Layer.Layer<Tag, RequestError>) {
    this.#runner = new Runner(layer)
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
    return this.#runner.iterate(
      Stream.unwrap(Effect.flatMap(
        separate(operation, options),
        (rest) => Effect.map(Tag, (service) => use(service, rest))
      )),
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

  /** The sandboxes of this caller, oldest first. */
  listSandboxes(options?: Options.ListSandboxesOptions & CallOptions): Promise<ReadonlyArray<SandboxInfo>> {
    return this.#call("listSandboxes", options, (service, rest) => service.listSandboxes(rest))
  }

  /** Ends a sandbox and removes its files. Deleting one that is gone resolves too. */
  deleteSandbox(id: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteSandbox", options, (service) => service.deleteSandbox(id))
  }

  /** Runs code to its end and gives its output, results and metadata; rejects with `ExecutionError` when it raises. */
  runCode(id: string, code: string, options?: RunCodeOptions): Promise<ExecutionResult> {
    return this.#call("runCode", options, (service, rest) =>
      service.runCode(id, code, {
        ...rest,
        onStdout: adapt(rest?.onStdout),
        onStderr: adapt(rest?.onStderr),
        onResult: adapt(rest?.onResult),
        onError: adapt(rest?.onError)
      }))
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

  /** The text of a file. */
  readFile(id: string, path: string, options?: Options.ReadFileOptions & CallOptions): Promise<string> {
    return this.#call("readFile", options, (service, rest) => service.readFile(id, path, rest))
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

  /** Removes a file, or a directory with all that is in it. */
  deleteFile(id: string, path: string, options?: CallOptions): Promise<void> {
    return this.#call("deleteFile", options, (service) => service.deleteFile(id, path))
  }

  /** The entries of a directory, by default of `/workspace`, sorted by name. */
  listFiles(id: string, directory?: string, options?: CallOptions): Promise<FileListResponse> {
    return this.#call("listFiles", options, (service) => service.listFiles(id, directory))
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

  /** A page of the templates; pages count from 1. */
  getTemplates(page?: number, pageSize?: number, options?: CallOptions): Promise<TemplatePage> {
    return this.#call("getTemplates", options, (service) => service.getTemplates(page, pageSize))
  }

  /** One template, by id or alias. */
  getTemplate(id: string, options?: CallOptions): Promise<SandboxTemplate> {
    return this.#call("getTemplate", options, (service) => service.getTemplate(id))
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
    const { release, value: { id, info } } = await this.#runner.hold(
      separate("sandbox", options).pipe(
        Effect.flatMap((rest) => required("sandbox", rest)),
        Effect.flatMap(Handle.make)
      ),
      signalOf(options)
    )
    return this.#handle(id, info, release)
  }

  #handle(id: string, info: SandboxInfo, close: () => Promise<void>): Sandbox {
    const bind =
      <Args extends ReadonlyArray<unknown>, A>(method: (id: string, ...args: Args) => A) => (...args: Args): A =>
        method.call(this, id, ...args)
    return {
      id,
      info,
      getSandbox: bind(this.getSandbox),
      getSandboxStatus: bind(this.getSandboxStatus),
      deleteSandbox: bind(this.deleteSandbox),
      runCode: bind(this.runCode),
      runCodeStream: bind(this.runCodeStream),
      runTerminal: bind(this.runTerminal),
      runTerminalStream: bind(this.runTerminalStream),
      readFile: bind(this.readFile),
      writeFile: bind(this.writeFile),
      deleteFile: bind(this.deleteFile),
      listFiles: bind(this.listFiles),
      createCodeContext: bind(this.createCodeContext),
      listCodeContexts: bind(this.listCodeContexts),
      deleteCodeContext: (...args) => this.deleteCodeContext(...args),
      close,
      [Symbol.asyncDispose]: close
    }
  }

  /** Whether calls can be made: connected, and not closed by `disconnect()`. */
  isReady(): boolean {
    return this.#runner.isReady
  }

  /**
   * Resolves when calls can be made. Rejects with `TimeoutError` (`connect`) after `timeoutMs` milliseconds, by default
   * never, and with what hinders the connection.
   */
  waitForConnection(timeoutMs?: number, options?: CallOptions): Promise<void> {
    const connect = Effect.asVoid(this.#runner.connect)
    const limited = Effect.flatMap(decodeTimeout(timeoutMs), (limit) =>
      Effect.timeoutFail(connect, {
        duration: Duration.millis(limit),
        onTimeout: () =>
          new TimeoutError({ message: `No connection within ${limit} ms.`, timeoutMs: limit, operation: "connect" })
      }))
    return this.#runner.startAlone(timeoutMs === undefined ? connect : limited, signalOf(options)).result
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
