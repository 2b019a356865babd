import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber } from "effect"
import { makeLock } from "../../src/internal/lock.js"

const settled = Effect.repeatN(Effect.yieldNow(), 20)

describe("lock", () => {
  it.effect("lets one in at a time, and the next when that has succeeded, failed, or been interrupted", () =>
    Effect.gen(function*() {
      const lock = makeLock()
      const log: Array<string> = []
      const visit = <A, E>(name: string, stay: Effect.Effect<A, E>) =>
        lock(Effect.acquireUseRelease(
          Effect.sync(() => log.push(`${name} in`)),
          () => stay,
          () => Effect.sync(() => log.push(`${name} out`))
        ))
      const doors = yield* Effect.all([Deferred.make<string>(), Deferred.make<string, string>()])
      const first = yield* Effect.fork(visit("first", Deferred.await(doors[0])))
      yield* settled
      const second = yield* Effect.fork(Effect.either(visit("second", Deferred.await(doors[1]))))
      yield* settled
      const third = yield* Effect.fork(visit("third", Effect.never))
      const last = yield* Effect.fork(visit("last", Effect.succeed("done")))
      yield* settled
      expect(log).toEqual(["first in"])
      yield* Deferred.succeed(doors[0], "done")
      expect(yield* Fiber.join(first)).toBe("done")
      yield* settled
      yield* Deferred.fail(doors[1], "broken")
      expect(yield* Fiber.join(second)).toEqual(Either.left("broken"))
      yield* settled
      yield* Fiber.interrupt(third)
      expect(yield* Fiber.join(last)).toBe("done")
      expect(log).toEqual(["first", "second", "third", "last"].flatMap((name) => [`${name} in`, `${name} out`]))
      expect(yield* lock(Effect.succeed("again"))).toBe("again")
    }))

  it.effect("is left by who is interrupted while it waits, and by nobody else for that", () =>
    Effect.gen(function*() {
      const lock = makeLock()
      const door = yield* Deferred.make<void>()
      let inside = 0
      const enter = lock(Effect.acquireUseRelease(
        Effect.sync(() => inside += 1),
        () => Deferred.await(door),
        () => Effect.sync(() => inside -= 1)
      ))
      const holder = yield* Effect.fork(enter)
      yield* settled
      for (let times = 0; times < 3; times++) {
        const waiting = yield* Effect.fork(enter)
        yield* settled
        yield* Fiber.interrupt(waiting)
        expect(inside).toBe(1)
      }
      const next = yield* Effect.fork(enter)
      yield* settled
      expect(inside).toBe(1)
      yield* Deferred.succeed(door, undefined)
      yield* Fiber.joinAll([holder, next])
      expect(inside).toBe(0)
    }))
})
