/**
 * Times of a sandbox that is paused, and what needs it awake.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import { make } from "../../src/engine/Pausing.js"
import { SandboxError } from "../../src/Errors.js"

/** Freezes nothing, and tells what it would do. */
const makeFreezing = (fails = false) => {
  const done: Array<string> = []
  const error = new SandboxError({ code: "isolation_unavailable", message: "It will not stop." })
  return {
    done,
    freeze: Effect.suspend(() => {
      done.push("freeze")
      return fails ? Effect.fail(error) : Effect.void
    }),
    thaw: Effect.sync(() => void done.push("thaw"))
  }
}

describe("A sandbox that is paused", () => {
  it.effect("sleeps no time while it is paused", () =>
    Effect.gen(function*() {
      const pausing = make(makeFreezing(), yield* Effect.clock)
      const sleeping = yield* Effect.fork(pausing.sleep(1_000))
      yield* TestClock.adjust(600)
      yield* pausing.pause
      yield* TestClock.adjust(60_000)
      expect(sleeping.unsafePoll()).toBe(null)
      yield* pausing.resume
      yield* TestClock.adjust(399)
      expect(sleeping.unsafePoll()).toBe(null)
      yield* TestClock.adjust(1)
      yield* Fiber.join(sleeping)
    }))

  it.effect("never ends a sleep without an end", () =>
    Effect.gen(function*() {
      const pausing = make(makeFreezing(), yield* Effect.clock)
      const sleeping = yield* Effect.fork(pausing.sleep(Infinity))
      yield* TestClock.adjust("1000 days")
      expect(sleeping.unsafePoll()).toBe(null)
      yield* Fiber.interrupt(sleeping)
    }))

  it.effect("wakes for what needs it, and for as long as that takes", () =>
    Effect.gen(function*() {
      const freezing = makeFreezing()
      const pausing = make(freezing, yield* Effect.clock)
      yield* pausing.pause
      yield* pausing.pause
      const over = yield* Deferred.make<void>()
      const first = yield* Effect.fork(pausing.awake(Deferred.await(over)))
      const second = yield* Effect.fork(pausing.awake(Deferred.await(over)))
      yield* Effect.yieldNow()
      expect(freezing.done).toEqual(["freeze", "thaw"])
      expect(pausing.isFrozen()).toBe(false)
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.joinAll([first, second])
      expect(freezing.done).toEqual(["freeze", "thaw", "freeze"])
      expect(pausing.isFrozen()).toBe(true)
      yield* pausing.awake(pausing.resume)
      expect(pausing.isFrozen()).toBe(false)
      expect(freezing.done).toEqual(["freeze", "thaw", "freeze", "thaw"])
    }))

  it.effect("runs on when it could not be stopped, and its time with it", () =>
    Effect.gen(function*() {
      const pausing = make(makeFreezing(true), yield* Effect.clock)
      const sleeping = yield* Effect.fork(pausing.sleep(1_000))
      expect(yield* Effect.flip(pausing.pause)).toMatchObject({ code: "isolation_unavailable" })
      expect(pausing.isFrozen()).toBe(false)
      yield* TestClock.adjust(1_000)
      yield* Fiber.join(sleeping)
    }))

  it.effect("is not paused in the middle of a change from outside, and none begins while it is", () =>
    Effect.gen(function*() {
      const freezing = makeFreezing()
      const pausing = make(freezing, yield* Effect.clock)
      const over = yield* Deferred.make<void>()
      const change = yield* Effect.fork(pausing.changing(Deferred.await(over)))
      yield* Effect.yieldNow()
      const pause = yield* Effect.fork(pausing.pause)
      yield* Effect.yieldNow()
      const next = yield* Effect.fork(pausing.changing(Effect.sync(() => void freezing.done.push("change"))))
      yield* Effect.yieldNow()
      expect(freezing.done).toEqual([])
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.joinAll([change, pause])
      expect(freezing.done).toEqual(["freeze"])
      yield* pausing.resume
      yield* Fiber.join(next)
      expect(freezing.done).toEqual(["freeze", "thaw", "change"])
    }))

  it.effect("is changed from outside as before when it could not be stopped", () =>
    Effect.gen(function*() {
      const pausing = make(makeFreezing(true), yield* Effect.clock)
      yield* Effect.flip(pausing.pause)
      expect(yield* pausing.changing(Effect.succeed("changed"))).toBe("changed")
    }))
})
