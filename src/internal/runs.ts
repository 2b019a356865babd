/**
 * What running code and commands has in common in every layer.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { RequestError, SandboxSDKError } from "../Errors.js"
import { TimeoutError } from "../Errors.js"
import type { RunCodeStreamOptions } from "../Options.js"
import { invalidArgument } from "./issue.js"

/** What `runCode` and `runTerminal` keep when the call does not say, in bytes. */
export const DEFAULT_CAPTURE_BYTES = 100 * 1024 * 1024

const tookTooLong = (timeoutMs: number, detached: boolean | undefined) =>
  new TimeoutError({
    message: `The request took longer than ${timeoutMs} ms (requestTimeoutMs); what it ran ${
      detached === true ? "goes on (detached)" : "was stopped"
    }.`,
    timeoutMs,
    operation: "request"
  })

/**
 * Limits how long a call may take as a whole, from here on; what it runs is stopped when the time is over, unless it is
 * `detached`.
 */
export const withRequestTimeout =
  (timeoutMs: number | undefined, detached: boolean | undefined) =>
  <A>(stream: Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
    timeoutMs === undefined
      ? stream
      : Stream.interruptWhen(
        stream,
        Effect.delay(Effect.fail(tookTooLong(timeoutMs, detached)), Duration.millis(timeoutMs))
      )

/**
 * The same for a call that is no stream.
 */
export const withCallTimeout =
  (timeoutMs: number | undefined, detached: boolean | undefined) =>
  <A, R>(call: Effect.Effect<A, RequestError, R>): Effect.Effect<A, RequestError, R> =>
    timeoutMs === undefined
      ? call
      : Effect.timeoutFail(call, { duration: timeoutMs, onTimeout: () => tookTooLong(timeoutMs, detached) })

/**
 * Refuses a context together with a language: a context has its language already.
 */
export const refuseTwoTargets = (
  operation: string,
  options: RunCodeStreamOptions
): Effect.Effect<void, SandboxSDKError> =>
  options.contextId !== undefined && options.language !== undefined
    ? Effect.fail(
      invalidArgument(operation, "language", "give either contextId or language: a context has its language already.")
    )
    : Effect.void
