import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber, Ref, Scheduler } from "effect"
import { makeTurnstile } from "../../src/internal/turnstile.js"

describe("turnstile", () => {
  it.effect("has something done in its turn: also when others have a scope for theirs, or are interrupted", () =>
    Effect.gen(function*() {
      const { inTurn, turn } = yield* makeTurnstile
      const hold = yield* Deferred.make<void>()
      const log = yield* Ref.make<ReadonlyArray<string>>([])
      const visit = (name: string) => inTurn(Ref.update(log, (names) => [...names, name]))
      const first = yield* Effect.fork(inTurn(Deferred.await(hold)))
      yield* Effect.yieldNow()
      const leaver = yield* Effect.fork(Effect.uninterruptible(visit("leaver")))
      yield* Effect.yieldNow()
      const scoped = yield* Effect.fork(
        Effect.scoped(Effect.zipRight(turn, Ref.update(log, (names) => [...names, "scoped"])))
      )
      yield* Effect.yieldNow()
      const last = yield* Effect.fork(visit("last"))
      yield* Effect.yieldNow()
      // The wait can be interrupted although the caller cannot be.
      yield* Fiber.interrupt(leaver)
      expect(yield* log).toEqual([])
      yield* Deferred.succeed(hold, undefined)
      yield* Fiber.joinAll([first, scoped, last])
      expect(yield* log).toEqual(["scoped", "last"])
      expect(yield* Effect.either(inTurn(Effect.fail("broken")))).toEqual(Either.left("broken"))
      yield* visit("again")
      expect(yield* log).toEqual(["scoped", "last", "again"])
    }))

  it.effect("lets one in at a time, in the order of arrival", () =>
    Effect.gen(function*() {
      const { turn } = yield* makeTurnstile
      const log = yield* Ref.make<ReadonlyArray<string>>([])
      const note = (line: string) => Ref.update(log, (lines) => [...lines, line])
      const visit = (name: string) =>
        Effect.scoped(
          turn.pipe(
            Effect.zipRight(note(`${name} in`)),
            Effect.zipRight(Effect.yieldNow()),
            Effect.zipRight(note(`${name} out`))
          )
        )
      yield* Effect.all([visit("a"), visit("b"), visit("c")], { concurrency: "unbounded" })
      yield* visit("d")
      expect(yield* log).toEqual(["a in", "a out", "b in", "b out", "c in", "c out", "d in", "d out"])
    }))

  it.effect("closes the gap of who is interrupted while waiting, and lets nobody pass before", () =>
    Effect.gen(function*() {
      const { turn } = yield* makeTurnstile
      const hold = yield* Deferred.make<void>()
      const log = yield* Ref.make<ReadonlyArray<string>>([])
      const visit = (name: string) => Effect.scoped(Effect.zipRight(turn, Ref.update(log, (names) => [...names, name])))
      const first = yield* Effect.fork(Effect.scoped(Effect.zipRight(turn, Deferred.await(hold))))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(visit("second"))
      yield* Effect.yieldNow()
      const third = yield* Effect.fork(visit("third"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(second)
      yield* Effect.yieldNow()
      expect(yield* log).toEqual([])
      yield* Deferred.succeed(hold, undefined)
      yield* Fiber.join(third)
      yield* Fiber.join(first)
      expect(yield* log).toEqual(["third"])
    }))

  it.effect("takes no more for a turn after many than for one after few", () =>
    Effect.gen(function*() {
      const { turn } = yield* makeTurnstile
      const steps = Effect.gen(function*() {
        let count = 0
        // Asked before each step of a fiber.
        const counting: Scheduler.Scheduler = {
          shouldYield: () => {
            count += 1
            return false
          },
          scheduleTask: Scheduler.defaultScheduler.scheduleTask.bind(Scheduler.defaultScheduler)
        }
        yield* Effect.withScheduler(Effect.scoped(turn), counting)
        return count
      })
      yield* steps
      const few = yield* steps
      yield* Effect.repeatN(steps, 500)
      expect(few).toBeGreaterThan(0)
      expect(yield* steps).toBe(few)
    }))
})
