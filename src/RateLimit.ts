/**
 * Limits that a client sets itself, so that a server need not refuse it: so many requests a minute, so many at a time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { RateLimitError } from "./Errors.js"
import { makeGate } from "./internal/gate.js"
import * as Pulls from "./internal/pulls.js"
import { makeTurnstile } from "./internal/turnstile.js"
import { makeWindow, type Window } from "./internal/window.js"
import { queueTime } from "./Metrics.js"
import type { RateLimitOptions } from "./RateLimitOptions.js"

export { RateLimitOptions } from "./RateLimitOptions.js"

/**
 * How much is left of a budget. `remaining` of `limit` requests may still be made; `resetAt`, in milliseconds since the
 * epoch, is when all of them are free again.
 *
 * @category models
 */
export const RateLimitInfo = Schema.Struct({
  remaining: Schema.Finite,
  limit: Schema.Finite,
  resetAt: Schema.Finite
})

/**
 * @category models
 */
export type RateLimitInfo = typeof RateLimitInfo.Type

/**
 * A limiter: one budget for everything that goes through it.
 *
 * @category models
 */
export interface RateLimiter {
  /**
   * Lets an effect pass when the budget has room for it, and gives its place back at its end. Waiting or failing is as
   * `onLimit` says.
   *
   * Fails with `RateLimitError`, whose `retryAfter` says when there is room again. For `maxConcurrent` nobody knows
   * that; it is a second then.
   */
  readonly limit: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RateLimitError, R>
  /** The same for a stream: its place is taken from its beginning to its end. */
  readonly limitStream: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E | RateLimitError, R>
  /**
   * Waits until one more request of this minute may be made, and counts it, whatever `onLimit` says. It is for what
   * `limit` lets make more than one request: the repetitions.
   */
  readonly again: Effect.Effect<void>
  /** What is left of the requests of a minute; `undefined` when they are not limited. */
  readonly info: Effect.Effect<RateLimitInfo | undefined>
}

const MINUTE = 60_000

/** How long until another one at a time may have ended: a guess, for a caller who wants to come back. */
const GUESS = 1_000

/**
 * Counts one more request of this minute. Fails when there is no room.
 */
export const takeRequest = (window: Window, limit: number): Effect.Effect<void, RateLimitError> =>
  Effect.clockWith((clock) => {
    const wait = window.take(clock.unsafeCurrentTimeMillis())
    return wait === 0
      ? Effect.void
      : Effect.fail(
        new RateLimitError({
          message: `The limit of ${limit} requests a minute is reached; try again in ${wait} ms.`,
          retryAfter: wait,
          limit,
          remaining: 0
        })
      )
  })

/**
 * What is left of a window of a minute.
 */
export const windowInfo = (window: Window, limit: number): Effect.Effect<RateLimitInfo> =>
  Effect.clockWith((clock) => {
    const now = clock.unsafeCurrentTimeMillis()
    return Effect.succeed({ limit, remaining: window.remaining(now), resetAt: window.resetAt(now) })
  })

/**
 * Makes a limiter. Those who wait pass in the order in which they came.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimit, SandboxSDK } from "sandbox-sdk"
 *
 * const program = Effect.gen(function*() {
 *   const sdk = yield* SandboxSDK
 *   const limiter = yield* RateLimit.make({ maxRequestsPerMinute: 60, maxConcurrent: 4 })
 *   yield* Effect.forEach(
 *     ["1 + 1", "2 + 2"],
 *     (code) => limiter.limit(sdk.runCode("my-sandbox", code)),
 *     { concurrency: "unbounded" }
 *   )
 * })
 * ```
 *
 * @category constructors
 */
export const make = (options: RateLimitOptions): Effect.Effect<RateLimiter> =>
  Effect.gen(function*() {
    const { maxConcurrent, maxRequestsPerMinute } = options
    const waits = options.onLimit !== "fail"
    const queue = yield* makeTurnstile
    const gate = maxConcurrent === undefined ? undefined : makeGate(maxConcurrent)
    const window = maxRequestsPerMinute === undefined ? undefined : makeWindow(maxRequestsPerMinute, MINUTE)

    const isLimited = gate !== undefined || window !== undefined

    const again: Effect.Effect<void> = window === undefined ? Effect.void : Effect.scoped(Effect.gen(function*() {
      yield* queue.turn
      for (;;) {
        const wait = window.take(yield* Clock.currentTimeMillis)
        if (wait === 0) {
          return
        }
        yield* Effect.sleep(wait)
      }
    }))

    const enter: Effect.Effect<void, RateLimitError, Scope.Scope> = waits
      ? Effect.gen(function*() {
        const start = yield* Clock.currentTimeMillis
        if (gate !== undefined) {
          yield* gate.enter
        }
        yield* again
        const end = yield* Clock.currentTimeMillis
        yield* Metric.update(queueTime("rate_limit"), (end - start) / 1_000)
      })
      : Effect.gen(function*() {
        if (gate !== undefined && maxConcurrent !== undefined && !(yield* gate.tryEnter)) {
          return yield* new RateLimitError({
            message: `The limit of ${maxConcurrent} requests at a time is reached; try again when one has ended.`,
            retryAfter: GUESS,
            limit: maxConcurrent,
            remaining: 0
          })
        }
        if (window !== undefined && maxRequestsPerMinute !== undefined) {
          yield* takeRequest(window, maxRequestsPerMinute)
        }
      })

    return {
      // The place has a scope of its own: one that the effect needs is the caller's.
      limit: (effect) =>
        isLimited
          ? Effect.acquireUseRelease(
            Scope.make(),
            (scope) => Effect.zipRight(Scope.extend(enter, scope), effect),
            Scope.close
          )
          : effect,
      limitStream: (stream) => isLimited ? Pulls.holding(stream, enter) : stream,
      again,
      info: window === undefined || maxRequestsPerMinute === undefined
        ? Effect.succeed(undefined)
        : windowInfo(window, maxRequestsPerMinute)
    }
  })

/**
 * The budget as header fields that clients know: `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`
 * (seconds since the epoch).
 *
 * @category headers
 */
export const toHeaders = (info: RateLimitInfo): Readonly<Record<string, string>> => ({
  "x-ratelimit-limit": String(info.limit),
  "x-ratelimit-remaining": String(info.remaining),
  "x-ratelimit-reset": String(Math.ceil(info.resetAt / 1_000))
})
