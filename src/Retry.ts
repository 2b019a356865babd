/**
 * When a failed request is made again, and when it must not be.
 *
 * Two questions that are kept apart. *May it be repeated?* depends on whether the request can have had an effect:
 * {@link isRetryable}. *When, and how often?* is a `Schedule`: {@link policy}, or one of your own. A schedule can make
 * the SDK more patient or less; it cannot make it repeat a request that would then be carried out twice.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { AnySandboxSDKError } from "./Errors.js"

/**
 * When and how often a request is made again after an error.
 *
 * @category models
 */
export type Policy = Schedule.Schedule<unknown, AnySandboxSDKError>

/**
 * What a policy is made of. The settings of a {@link SandboxConfig} will do.
 *
 * @category models
 */
export interface PolicyOptions {
  /** How often at most; 3 by default. */
  readonly maxRetries?: number | undefined
  /** Milliseconds before the first repetition; 1000 by default. Each later gap is twice as long. */
  readonly retryDelay?: number | undefined
  /** The longest gap in milliseconds, unless a server asks for a longer one; 30000 by default. */
  readonly maxDelay?: number | undefined
  /** The longest gap in milliseconds that a server may ask for; beyond it there is no retry. 120000 by default. */
  readonly maxRetryAfter?: number | undefined
}

/**
 * What is known of a request.
 *
 * @category models
 */
export interface RequestKind {
  /**
   * Whether carrying it out twice is no worse than once: it only reads, it sets what may be set twice, or it bears an
   * idempotency key by which the server knows it again.
   */
  readonly idempotent: boolean
}

/** Nothing was carried out: the request was refused, or never left. */
const hadNoEffect = (error: AnySandboxSDKError): boolean => {
  switch (error._tag) {
    case "RateLimitError":
      return true
    case "ConnectionError":
      return error.sent === false
    case "TimeoutError":
      return error.operation === "connect"
    default:
      return false
  }
}

/**
 * Whether making a request again may help and does no harm.
 *
 * - Always: `RateLimitError` (the server refused it), `ConnectionError` with `sent: false` and `TimeoutError` `connect`
 *   (nothing of it had left).
 * - When it is idempotent: every other `ConnectionError`: the connection broke, or a gateway answered 502, 503 or 504,
 *   and nobody knows whether the server had carried it out.
 * - Never: `TimeoutError` `request` and `execution` (the time that the caller gave is over), `ExecutionError`,
 *   `SandboxError`, `SandboxSDKError` (the answer would be the same).
 *
 * @category predicates
 */
export const isRetryable = (error: AnySandboxSDKError, request: RequestKind): boolean =>
  hadNoEffect(error) || (request.idempotent && error._tag === "ConnectionError")

/**
 * How long the server, or what stands before it, wants to be left alone, in milliseconds; 0 when it did not say.
 *
 * @category predicates
 */
export const retryAfter = (error: AnySandboxSDKError): number =>
  error._tag === "RateLimitError" || error._tag === "ConnectionError" ? Math.max(0, error.retryAfter ?? 0) : 0

/**
 * The policy of the SDK: gaps of `retryDelay`, twice, four times … as long up to `maxDelay`, each shortened at random by
 * up to a fifth so that clients do not come back in step, and never shorter than the server's `retryAfter`. It ends
 * after `maxRetries`, and at once at an error that no repetition can help, or whose `retryAfter` is beyond
 * `maxRetryAfter`.
 *
 * It does not know whether a request may be repeated: use it with {@link retry}, which does.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Retry, SandboxSDK } from "sandbox-sdk"
 *
 * const program = Effect.gen(function*() {
 *   const sdk = yield* SandboxSDK
 *   // More patient than the settings, for this call.
 *   return yield* Retry.withPolicy(sdk.getSandbox("my-sandbox"), Retry.policy({ maxRetries: 10, retryDelay: 200 }))
 * })
 * ```
 *
 * @category constructors
 */
export const policy = (options: PolicyOptions = {}): Policy => {
  const maxDelay = Duration.millis(options.maxDelay ?? 30_000)
  const maxRetryAfter = options.maxRetryAfter ?? 120_000
  return Schedule.exponential(Duration.millis(options.retryDelay ?? 1_000)).pipe(
    Schedule.modifyDelay((_, delay) => Duration.min(delay, maxDelay)),
    Schedule.jitteredWith({ min: 0.8, max: 1 }),
    Schedule.intersect(Schedule.recurs(options.maxRetries ?? 3)),
    Schedule.intersect(Schedule.identity<AnySandboxSDKError>()),
    // Last of all, so that nothing shortens what the server asked for.
    Schedule.modifyDelay(([, error], delay) => Duration.max(delay, Duration.millis(retryAfter(error)))),
    Schedule.whileInput((error: AnySandboxSDKError) =>
      isRetryable(error, { idempotent: true }) && retryAfter(error) <= maxRetryAfter
    )
  )
}

/**
 * No repetitions at all.
 *
 * @category constructors
 */
export const none: Policy = Schedule.stop

/**
 * The policy that is used in place of the one that the settings describe; `undefined` by default. A layer of the SDK asks
 * for it when it is built, and again at each call.
 *
 * @category references
 */
export class CurrentPolicy extends Context.Reference<CurrentPolicy>()("sandbox-sdk/Retry/CurrentPolicy", {
  defaultValue: (): Policy | undefined => undefined
}) {}

/**
 * Uses a policy in place of the one that the settings describe, for whatever this layer is provided to.
 *
 * @category layers
 */
export const layer = (schedule: Policy): Layer.Layer<CurrentPolicy> => Layer.succeed(CurrentPolicy, schedule)

/**
 * Uses a policy in place of the one that the settings describe, for this effect.
 *
 * @category combinators
 */
export const withPolicy = <A, E, R>(effect: Effect.Effect<A, E, R>, schedule: Policy): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, CurrentPolicy, schedule)

/**
 * How a request is made again.
 *
 * @category models
 */
export interface RetryOptions extends RequestKind {
  /** When and how often, unless {@link CurrentPolicy} says otherwise; `policy()` by default. */
  readonly policy?: Policy | undefined
  /** Runs before each repetition, when the gap is over; `attempt` counts the repetitions from 1. */
  readonly beforeRetry?: ((attempt: number) => Effect.Effect<void>) | undefined
}

/**
 * Makes a request, and makes it again as the policy says when that may help and does no harm. Fails with the last error.
 *
 * @category combinators
 */
export const retry = <A, E extends AnySandboxSDKError, R>(
  request: Effect.Effect<A, E, R>,
  options: RetryOptions
): Effect.Effect<A, E, R> =>
  Effect.flatMap(CurrentPolicy, (current) => {
    let attempt = 0
    const once = Effect.suspend(() => {
      const repetition = attempt
      attempt += 1
      return repetition === 0 || options.beforeRetry === undefined
        ? request
        : Effect.zipRight(options.beforeRetry(repetition), request)
    })
    // Nearly all succeed at once, and then there is no use for what counts and waits: it begins with the first failure.
    return Effect.catchAll(once, (failure) => {
      let first: E | undefined = failure
      const next = Effect.suspend(() => {
        const failed = first
        first = undefined
        return failed === undefined ? once : Effect.fail(failed)
      })
      return Effect.retry(next, {
        schedule: current ?? options.policy ?? policy(),
        while: (error) => isRetryable(error, options)
      })
    })
  })

/** RFC 9110, 5.6.7: the form of a date that is sent today, and the two of old that must be understood. */
const DATES = [
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
  /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/,
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/
]

const parseDate = (text: string): number =>
  DATES.some((date) => date.test(text)) ? Date.parse(text.endsWith("GMT") ? text : `${text} GMT`) : NaN

/**
 * The milliseconds of a `Retry-After` header field (RFC 9110, 10.2.3): seconds, or a date. `now` is in milliseconds since
 * the epoch. `None` for anything else.
 *
 * @category headers
 */
export const parseRetryAfter = (value: string, now: number): Option.Option<number> => {
  const text = value.trim()
  if (/^\d+$/.test(text)) {
    return Option.some(Math.min(Number(text) * 1_000, Number.MAX_SAFE_INTEGER))
  }
  const time = parseDate(text)
  return Number.isNaN(time) ? Option.none() : Option.some(Math.max(0, time - now))
}

/**
 * The value of a `Retry-After` header field: whole seconds, never less than the milliseconds.
 *
 * @category headers
 */
export const formatRetryAfter = (milliseconds: number): string => String(Math.ceil(Math.max(0, milliseconds) / 1_000))
