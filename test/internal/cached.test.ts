import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber } from "effect"
import { cached } from "../../src/internal/cached.js"

describe("cached", () => {
  it.effect("runs once, for who asks meanwhile and for who asks later", () =>
    Effect.gen(function*() {
      let runs = 0
      const door = yield* Deferred.make<string>()
      const answer = yield* cached(Effect.zipRight(Effect.sync(() => runs += 1), Deferred.await(door)))
      expect(runs).toBe(0)
      const both = yield* Effect.fork(Effect.all([answer, answer], { concurrency: 2 }))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(door, "it")
      expect(yield* Fiber.join(both)).toEqual(["it", "it"])
      expect(yield* answer).toBe("it")
      expect(runs).toBe(1)
    }))

  it.effect("fails for all of them", () =>
    Effect.gen(function*() {
      let runs = 0
      const answer = yield* cached(Effect.zipRight(Effect.sync(() => runs += 1), Effect.fail("no")))
      expect(yield* Effect.either(answer)).toEqual(Either.left("no"))
      expect(yield* Effect.either(answer)).toEqual(Either.left("no"))
      expect(runs).toBe(1)
    }))
})
