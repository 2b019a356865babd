import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, TestClock } from "effect"
import { RateLimitError, SandboxError } from "../src/Errors.js"
import * as Quotas from "../src/Quotas.js"

const settle = Effect.repeatN(Effect.yieldNow(), 100)

describe("requests a minute", () => {
  it.effect("are counted for each user alone, and refused with what is left and when to come back", () =>
    Effect.gen(function*() {
      const quotas = Quotas.make({ requestsPerMinute: 2 })
      expect(yield* quotas.request("a")).toEqual({ limit: 2, remaining: 1, resetAt: 60_000 })
      yield* TestClock.adjust("20 seconds")
      expect(yield* quotas.request("a")).toEqual({ limit: 2, remaining: 0, resetAt: 80_000 })
      const error = yield* Effect.flip(quotas.request("a"))
      expect(error).toBeInstanceOf(RateLimitError)
      expect(error).toMatchObject({ retryAfter: 40_000, limit: 2, remaining: 0 })
      expect((yield* quotas.request("b"))?.remaining).toBe(1)
      yield* TestClock.adjust(error.retryAfter)
      yield* quotas.request("a")
      expect((yield* quotas.info("a"))?.remaining).toBe(0)
    }))

  it.effect("may be others for each user, or none", () =>
    Effect.gen(function*() {
      const quotas = Quotas.make((user) => user === "free" ? { requestsPerMinute: 1 } : {})
      yield* quotas.request("free")
      yield* Effect.flip(quotas.request("free"))
      expect(yield* Effect.replicateEffect(quotas.request("paying"), 1_000)).toContain(undefined)
      expect(yield* quotas.info("paying")).toBeUndefined()
    }))
})

describe("executions at a time", () => {
  it.effect("are refused beyond the limit, until one has ended however it ends", () =>
    Effect.gen(function*() {
      const { execution } = Quotas.make({ concurrentExecutions: 2 })
      const first = yield* Effect.fork(Effect.scoped(Effect.zipRight(execution("a"), Effect.never)))
      const second = yield* Effect.fork(Effect.scoped(Effect.zipRight(execution("a"), Effect.sleep("1 second"))))
      yield* settle
      const error = yield* Effect.flip(Effect.scoped(execution("a")))
      expect(error).toMatchObject({ limit: 2, remaining: 0 })
      expect(error.retryAfter).toBeGreaterThan(0)
      yield* Effect.scoped(execution("b"))
      yield* Fiber.interrupt(first)
      yield* Effect.scoped(execution("a"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(second)
      yield* Effect.scoped(Effect.all([execution("a"), execution("a")]))
    }))
})

describe("sandboxes", () => {
  /** A user's sandboxes, which take a while to make. */
  const makeWorld = (limit: number) => {
    const quotas = Quotas.make({ sandboxes: limit })
    const world = { count: 0 }
    const create = (millis: number) =>
      quotas.createSandbox("a", Effect.sync(() => world.count))(Effect.delay(
        Effect.sync(() => {
          world.count += 1
        }),
        millis
      ))
    return { world, create }
  }

  it.effect("are never more than the limit, however many are asked for at once, and never fewer", () =>
    Effect.gen(function*() {
      const { create, world } = makeWorld(3)
      const fiber = yield* Effect.fork(Effect.all(
        Array.from({ length: 8 }, (_, index) => Effect.exit(create(10 * (index + 1)))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 minute")
      const exits = yield* Fiber.join(fiber)
      expect(exits.filter(Exit.isSuccess).length).toBe(3)
      expect(world.count).toBe(3)
      expect(yield* Effect.flip(create(1))).toMatchObject({ _tag: "RateLimitError", limit: 3, remaining: 0 })
    }))

  it.effect("may be made again when one is gone", () =>
    Effect.gen(function*() {
      const { create, world } = makeWorld(1)
      yield* create(0)
      yield* Effect.flip(create(0))
      world.count -= 1
      yield* create(0)
      expect(world.count).toBe(1)
    }))

  it.effect("give their place back when they are not made after all", () =>
    Effect.gen(function*() {
      const quotas = Quotas.make({ sandboxes: 1 })
      const door = yield* Deferred.make<void>()
      const make = quotas.createSandbox("a", Effect.succeed(0))
      expect(yield* Effect.exit(make(Effect.fail("no")))).toEqual(Exit.fail("no"))
      const making = yield* Effect.fork(make(Effect.never))
      yield* settle
      const waiting = yield* Effect.fork(make(Deferred.await(door)))
      const leaving = yield* Effect.fork(make(Effect.void))
      yield* settle
      yield* Fiber.interrupt(leaving)
      yield* Fiber.interrupt(making)
      yield* Deferred.succeed(door, undefined)
      yield* Fiber.join(waiting)
      yield* make(Effect.void)
    }))
})

describe("storage", () => {
  it.effect("is refused beyond the limit, with what is taken", () =>
    Effect.gen(function*() {
      const { storage } = Quotas.make({ storageBytes: 100 })
      yield* storage("a", Effect.succeed(60), 40)
      const error = yield* Effect.flip(storage("a", Effect.succeed(60), 41))
      expect(error).toBeInstanceOf(SandboxError)
      expect(error).toMatchObject({ code: "quota_exceeded" })
      expect(error.message).toMatch(/100 bytes; 60 are taken and 41 more/)
      yield* Quotas.make({}).storage("a", Effect.die("not asked"), 1)
    }))
})
