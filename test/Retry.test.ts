import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Option, Random, Schedule, TestClock } from "effect"
import * as fc from "fast-check"
import {
  type AnySandboxSDKError,
  ConnectionError,
  ExecutionError,
  RateLimitError,
  SandboxError,
  SandboxSDKError,
  TimeoutError
} from "../src/Errors.js"
import * as Retry from "../src/Retry.js"

const url = "http://127.0.0.1:3000"
const refused = new ConnectionError({ message: "refused", url, sent: false })
const broken = new ConnectionError({ message: "broken", url })
const gateway = (retryAfter?: number) =>
  new ConnectionError({ message: "bad gateway", url, sent: true, status: 503, ...(retryAfter ? { retryAfter } : {}) })
const limited = (retryAfter: number) => new RateLimitError({ message: "slow down", retryAfter })
const raised = new ExecutionError({ message: "E: x", name: "E", value: "x", traceback: "" })
const gone = new SandboxError({ message: "gone", code: "not_found" })
const unauthorized = new SandboxSDKError({ message: "no", code: "unauthorized" })
const timeout = (operation: "connect" | "request" | "execution") =>
  new TimeoutError({ message: "late", timeoutMs: 1, operation })

/** Runs to the end of the retries, and gives how it ended and the milliseconds between the tries. */
const gaps = (
  errors: (attempt: number) => AnySandboxSDKError | undefined,
  options: Retry.RetryOptions
) =>
  Effect.gen(function*() {
    const times: Array<number> = []
    const fiber = yield* Effect.fork(Retry.retry(
      Effect.gen(function*() {
        times.push(yield* Clock.currentTimeMillis)
        const error = errors(times.length)
        return error === undefined ? "done" : yield* error
      }),
      options
    ))
    yield* TestClock.adjust("10 days")
    const exit = yield* Fiber.await(fiber)
    return { exit, gaps: times.slice(1).map((time, index) => time - (times[index] ?? 0)) }
  })

/** Without the random part: each gap has its full length. */
const steady = Effect.withRandom(Random.fixed([1]))

describe("policy", () => {
  it.effect("doubles the gap up to the cap, and gives up after maxRetries with the last error", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ retryDelay: 100, maxDelay: 1_000, maxRetries: 6 })
      const result = yield* gaps(() => refused, { policy, idempotent: false })
      expect(result.gaps).toEqual([100, 200, 400, 800, 1_000, 1_000])
      expect(result.exit).toEqual(Exit.fail(refused))
    }).pipe(steady))

  it.effect("has the defaults of the settings", () =>
    Effect.gen(function*() {
      expect((yield* gaps(() => refused, { idempotent: false })).gaps).toEqual([1_000, 2_000, 4_000])
    }).pipe(steady))

  it.effect("never waits longer than 30 s of its own, however often it tries", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ maxRetries: 50 })
      const result = yield* gaps(() => refused, { policy, idempotent: false })
      expect(result.gaps.length).toBe(50)
      expect(Math.max(...result.gaps)).toBe(30_000)
    }).pipe(steady))

  it.effect("ends with the first success", () =>
    Effect.gen(function*() {
      const result = yield* gaps((attempt) => attempt < 3 ? refused : undefined, { idempotent: false })
      expect(result.exit).toEqual(Exit.succeed("done"))
      expect(result.gaps.length).toBe(2)
    }))

  it.effect("does not repeat when maxRetries is 0", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ maxRetries: 0 })
      expect((yield* gaps(() => refused, { policy, idempotent: true })).gaps).toEqual([])
    }))

  it.effect("never comes back sooner than the server's retryAfter, also that of a gateway", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ retryDelay: 100, maxDelay: 1_000, maxRetries: 6 })
      const result = yield* gaps(
        (attempt) =>
          attempt === 2 ? limited(7_000) : attempt === 4 ? gateway(5_000) : attempt === 5 ? limited(1) : refused,
        { policy, idempotent: true }
      )
      expect(result.gaps).toEqual([100, 7_000, 400, 5_000, 1_000, 1_000])
    }).pipe(steady))

  it.effect("shortens its own gap by up to a fifth, and a server's by nothing", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ retryDelay: 1_000, maxDelay: 4_000, maxRetries: 4 })
      const result = yield* gaps((attempt) => attempt === 3 ? limited(9_000) : refused, { policy, idempotent: false })
      expect(result.gaps).toEqual([800, 1_600, 9_000, 3_200])
    }).pipe(Effect.withRandom(Random.fixed([0]))))

  it.effect("draws each gap anew, between four fifths and the whole", () =>
    Effect.gen(function*() {
      const policy = Retry.policy({ retryDelay: 1_000, maxDelay: 1_000, maxRetries: 200 })
      const result = yield* gaps(() => refused, { policy, idempotent: false })
      expect(Math.min(...result.gaps)).toBeGreaterThanOrEqual(800)
      expect(Math.max(...result.gaps)).toBeLessThanOrEqual(1_000)
      expect(new Set(result.gaps).size).toBeGreaterThan(50)
    }).pipe(Effect.withRandom(Random.make("seed"))))

  it.effect("gives up at once when the server wants to be left alone for too long", () =>
    Effect.gen(function*() {
      const result = yield* gaps(() => limited(120_001), { idempotent: true })
      expect(result.gaps).toEqual([])
      expect(result.exit).toEqual(Exit.fail(limited(120_001)))
    }))
})

describe("what is repeated", () => {
  const always: ReadonlyArray<AnySandboxSDKError> = [limited(1), refused, timeout("connect")]
  const whenIdempotent: ReadonlyArray<AnySandboxSDKError> = [broken, gateway()]
  const never: ReadonlyArray<AnySandboxSDKError> = [
    timeout("request"),
    timeout("execution"),
    raised,
    gone,
    new SandboxError({ message: "?", code: "outcome_unknown" }),
    unauthorized
  ]
  const tries = (error: AnySandboxSDKError, idempotent: boolean) =>
    Effect.map(gaps(() => error, { idempotent }), ({ gaps }) => gaps.length + 1)

  it.effect("a request that had no effect, whatever it is", () =>
    Effect.gen(function*() {
      for (const error of always) {
        expect(yield* tries(error, false)).toBe(4)
        expect(yield* tries(error, true)).toBe(4)
      }
    }))

  it.effect("a request that may have had an effect, only when it is idempotent", () =>
    Effect.gen(function*() {
      for (const error of whenIdempotent) {
        expect(yield* tries(error, false)).toBe(1)
        expect(yield* tries(error, true)).toBe(4)
      }
    }))

  it.effect("nothing whose answer would be the same", () =>
    Effect.gen(function*() {
      for (const error of never) {
        expect(yield* tries(error, false)).toBe(1)
        expect(yield* tries(error, true)).toBe(1)
      }
    }))

  it.effect("nothing more by a policy of the caller's, however eager", () =>
    Effect.gen(function*() {
      const eager: Retry.Policy = Schedule.spaced("1 second")
      const result = yield* gaps(() => broken, { policy: eager, idempotent: false })
      expect(result.gaps).toEqual([])
    }))
})

describe("the policy in use", () => {
  it.effect("is the caller's, for one call or for all", () =>
    Effect.gen(function*() {
      const twice: Retry.Policy = Schedule.intersect(Schedule.spaced("7 seconds"), Schedule.recurs(2))
      const run = gaps(() => refused, { idempotent: false })
      expect((yield* Retry.withPolicy(run, twice)).gaps).toEqual([7_000, 7_000])
      expect((yield* Effect.provide(run, Retry.layer(twice))).gaps).toEqual([7_000, 7_000])
      expect((yield* Retry.withPolicy(run, Retry.none)).gaps).toEqual([])
      expect(yield* Effect.provide(Retry.CurrentPolicy, Layer.empty)).toBeUndefined()
    }))

  it.effect("has something done before each repetition, and not before the first try", () =>
    Effect.gen(function*() {
      const seen: Array<readonly [number, number]> = []
      yield* gaps((attempt) => attempt < 3 ? refused : undefined, {
        idempotent: false,
        beforeRetry: (attempt) => Effect.map(Clock.currentTimeMillis, (now) => void seen.push([attempt, now]))
      })
      expect(seen).toEqual([[1, 1_000], [2, 3_000]])
    }).pipe(steady))

  it.effect("stops when the caller is interrupted during a gap", () =>
    Effect.gen(function*() {
      let tries = 0
      const request = Effect.suspend(() => {
        tries += 1
        return Effect.fail(refused)
      })
      const fiber = yield* Effect.fork(Retry.retry(request, { idempotent: true }))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      expect(tries).toBe(1)
    }))
})

describe("Retry-After", () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 0)

  it.each([
    ["0", 0],
    ["120", 120_000],
    [" 7 ", 7_000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 37_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 37_000],
    ["Sun Nov  6 08:49:37 1994", 37_000],
    ["Sun, 06 Nov 1994 08:48:00 GMT", 0]
  ])("reads %j", (value, milliseconds) => {
    expect(Retry.parseRetryAfter(value, now)).toEqual(Option.some(milliseconds))
  })

  it.each(["", "-1", "1.5", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "1e3"])(
    "does not read %j",
    (value) => {
      expect(Retry.parseRetryAfter(value, now)).toEqual(Option.none())
    }
  )

  it("gives a finite time, or none, whatever the header holds", () => {
    fc.assert(fc.property(
      fc.oneof(
        fc.string(),
        fc.bigInt({ min: 0n }).map(String),
        fc.date({ noInvalidDate: true }).map((d) => d.toUTCString())
      ),
      (value) => {
        const found = Option.getOrElse(Retry.parseRetryAfter(value, now), () => 0)
        expect(Number.isFinite(found) && found >= 0).toBe(true)
      }
    ))
  })

  it("is written so that nobody comes back too soon", () => {
    fc.assert(fc.property(fc.nat(1_000_000_000), (milliseconds) => {
      const read = Option.getOrThrow(Retry.parseRetryAfter(Retry.formatRetryAfter(milliseconds), now))
      expect(read).toBeGreaterThanOrEqual(milliseconds)
      expect(read - milliseconds).toBeLessThan(1_000)
    }))
    expect(Retry.formatRetryAfter(1_500)).toBe("2")
  })
})
