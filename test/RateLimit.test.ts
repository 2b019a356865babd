import { describe, expect, it } from "@effect/vitest"
import { Chunk, Clock, Effect, Exit, Fiber, Metric, Stream, TestClock } from "effect"
import { RateLimitError } from "../src/Errors.js"
import { queueTime } from "../src/Metrics.js"
import * as RateLimit from "../src/RateLimit.js"
import * as Retry from "../src/Retry.js"

/** Starts of requests that last `length`, in milliseconds. */
const starts = (limiter: RateLimit.RateLimiter, count: number, length: number) =>
  Effect.gen(function*() {
    const times: Array<readonly [number, number]> = []
    const fiber = yield* Effect.fork(Effect.forEach(
      Array.from({ length: count }, (_, index) => index),
      (index) =>
        limiter.limit(Effect.gen(function*() {
          times.push([index, yield* Clock.currentTimeMillis])
          yield* Effect.sleep(length)
        })),
      { concurrency: "unbounded" }
    ))
    yield* TestClock.adjust("1 day")
    yield* Fiber.join(fiber)
    return times
  })

describe("waiting", () => {
  it.effect("lets so many requests pass in any minute, in the order in which they came", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxRequestsPerMinute: 2 })
      expect(yield* starts(limiter, 5, 10)).toEqual([[0, 0], [1, 0], [2, 60_000], [3, 60_000], [4, 120_000]])
    }))

  it.effect("lets so many pass at a time", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 2, onLimit: "wait" })
      expect(yield* starts(limiter, 5, 100)).toEqual([[0, 0], [1, 0], [2, 100], [3, 100], [4, 200]])
    }))

  it.effect("obeys both limits", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1, maxRequestsPerMinute: 3 })
      expect(yield* starts(limiter, 4, 1_000)).toEqual([[0, 0], [1, 1_000], [2, 2_000], [3, 60_000]])
    }))

  it.effect("measures how long a request waited", () =>
    Effect.gen(function*() {
      const before = yield* Metric.value(queueTime("rate_limit"))
      const limiter = yield* RateLimit.make({ maxConcurrent: 1 })
      yield* starts(limiter, 2, 2_000)
      const after = yield* Metric.value(queueTime("rate_limit"))
      expect(after.count - before.count).toBe(2)
      expect(after.sum - before.sum).toBe(2)
    }))

  it.effect("gives the turn of one who leaves to the next", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1, maxRequestsPerMinute: 2 })
      const log: Array<string> = []
      const visit = (name: string, length: number) =>
        Effect.fork(limiter.limit(Effect.delay(Effect.sync(() => log.push(name)), length))).pipe(
          Effect.tap(() => Effect.repeatN(Effect.yieldNow(), 5))
        )
      yield* visit("a", 10)
      const leaving = yield* visit("b", 10)
      yield* visit("c", 10)
      yield* TestClock.adjust(5)
      yield* Fiber.interrupt(leaving)
      yield* TestClock.adjust(15)
      expect(log).toEqual(["a", "c"])
      expect((yield* limiter.info)?.remaining).toBe(0)
    }))
})

describe("failing", () => {
  it.effect("refuses what is beyond the requests of a minute, and says when there is room", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxRequestsPerMinute: 2, onLimit: "fail" })
      yield* limiter.limit(Effect.void)
      yield* TestClock.adjust("10 seconds")
      yield* limiter.limit(Effect.void)
      const error = yield* Effect.flip(limiter.limit(Effect.die("must not run")))
      expect(error).toBeInstanceOf(RateLimitError)
      expect({ ...error }).toMatchObject({ retryAfter: 50_000, limit: 2, remaining: 0 })
      expect(error.message).toContain("2 requests a minute")
      yield* TestClock.adjust("49999 millis")
      yield* Effect.flip(limiter.limit(Effect.void))
      yield* TestClock.adjust("1 millis")
      yield* limiter.limit(Effect.void)
    }))

  it.effect("refuses what is beyond the requests at a time, and does not count it", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1, maxRequestsPerMinute: 2, onLimit: "fail" })
      const first = yield* Effect.fork(limiter.limit(Effect.sleep("1 second")))
      yield* Effect.yieldNow()
      const error = yield* Effect.flip(limiter.limit(Effect.die("must not run")))
      expect({ ...error }).toMatchObject({ limit: 1, remaining: 0 })
      expect(error.retryAfter).toBeGreaterThan(0)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      expect((yield* limiter.info)?.remaining).toBe(1)
      yield* limiter.limit(Effect.void)
    }))

  it.effect("gives the place back however the request ends", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1, onLimit: "fail" })
      expect(yield* Effect.exit(limiter.limit(Effect.fail("no")))).toEqual(Exit.fail("no"))
      yield* Effect.exit(limiter.limit(Effect.die("defect")))
      const fiber = yield* Effect.fork(limiter.limit(Effect.never))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      yield* limiter.limit(Effect.void)
    }))

  it.effect("does not fail a request in the middle of its repetitions", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxRequestsPerMinute: 2, onLimit: "fail" })
      const times: Array<number> = []
      const request = Effect.gen(function*() {
        times.push(yield* Clock.currentTimeMillis)
        return yield* new RateLimitError({ message: "busy", retryAfter: 1_000 })
      })
      const fiber = yield* Effect.fork(limiter.limit(Retry.retry(request, {
        idempotent: true,
        policy: Retry.policy({ retryDelay: 1, maxRetries: 3 }),
        beforeRetry: () => limiter.again
      })))
      yield* TestClock.adjust("1 hour")
      expect(Exit.isFailure(yield* Fiber.await(fiber))).toBe(true)
      expect(times).toEqual([0, 1_000, 60_000, 61_000])
    }))
})

describe("a stream", () => {
  it.effect("keeps its place until it ends", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1, onLimit: "fail" })
      const numbers = limiter.limitStream(Stream.make(1, 2, 3))
      const seen = yield* Stream.runForEach(numbers, () => Effect.flip(limiter.limit(Effect.void)))
      expect(seen).toBeUndefined()
      expect(Chunk.toArray(yield* Stream.runCollect(numbers))).toEqual([1, 2, 3])
      expect(Chunk.toArray(yield* Stream.runCollect(Stream.take(numbers, 1)))).toEqual([1])
      yield* limiter.limit(Effect.void)
    }))

  it.effect("leaves the scope of its own effects alone", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxConcurrent: 1 })
      const closed: Array<string> = []
      yield* Effect.scoped(Effect.gen(function*() {
        yield* limiter.limit(Effect.addFinalizer(() => Effect.sync(() => closed.push("mine"))))
        expect(closed).toEqual([])
      }))
      expect(closed).toEqual(["mine"])
    }))
})

describe("what is left", () => {
  it.effect("is told, also as headers", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimit.make({ maxRequestsPerMinute: 3 })
      yield* TestClock.setTime(1_000)
      expect(yield* limiter.info).toEqual({ limit: 3, remaining: 3, resetAt: 1_000 })
      yield* limiter.limit(Effect.void)
      const info = yield* limiter.info
      expect(info).toEqual({ limit: 3, remaining: 2, resetAt: 61_000 })
      expect(RateLimit.toHeaders({ limit: 3, remaining: 2, resetAt: 61_001 })).toEqual({
        "x-ratelimit-limit": "3",
        "x-ratelimit-remaining": "2",
        "x-ratelimit-reset": "62"
      })
      expect(yield* (yield* RateLimit.make({ maxConcurrent: 1 })).info).toBeUndefined()
    }))
})
