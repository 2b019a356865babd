/**
 * The options of methods that give promises: those of the service, with callbacks and signals as plain TypeScript has
 * them.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { SandboxSDKError } from "../Errors.js"
import type { ErrorInfo, OutputMessage } from "../Execution.js"
import type * as Options from "../Options.js"
import type { Result } from "../Result.js"
import { invalidArgument, quote } from "./issue.js"

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

/**
 * What is told while a file is copied into a sandbox.
 */
export interface UploadFileOptions extends CallOptions {
  readonly onProgress?: Callback<Options.FileProgress> | undefined
}

/**
 * What is told while a file is copied out of a sandbox, and how many bytes are too much.
 */
export interface DownloadFileOptions extends UploadFileOptions {
  readonly maxBytes?: number | undefined
}

/**
 * How a directory is watched. `onStart` is called once, when it is: what happens from then on is told.
 */
export interface WatchFilesOptions extends Omit<Options.WatchFilesOptions, "onStart">, CallOptions {
  readonly onStart?: Callback<void> | undefined
}

/**
 * Makes a callback what the service wants. What is no function is left for the service to refuse.
 */
export const adapt = <A>(callback: Callback<A> | undefined): Options.Callback<A> | undefined =>
  typeof callback !== "function" ? callback : (value) => {
    const returned = callback(value)
    return Predicate.isPromiseLike(returned)
      ? Effect.asVoid(Effect.promise(() => Promise.resolve(returned)))
      : undefined
  }

const isSignal = (u: unknown): u is AbortSignal =>
  Predicate.hasProperty(u, "aborted") && Predicate.hasProperty(u, "addEventListener")

/**
 * The options for the service, without the signal, which is none of them.
 */
export const separate = <O extends CallOptions>(
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

/**
 * Options that cannot be left out.
 */
export const required = <O>(operation: string, options: O | undefined): Effect.Effect<O, SandboxSDKError> =>
  options === undefined
    ? Effect.fail(invalidArgument(operation, "options", "options is missing; it must be an object with a templateId."))
    : Effect.succeed(options)

/**
 * The signal; what is none is refused by {@link separate}.
 */
export const signalOf = (options: CallOptions | undefined): AbortSignal | undefined =>
  isSignal(options?.signal) ? options.signal : undefined
