import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { makeTimedPull } from "../../src/internal/timedPull.js"

describe("A timed pull", () => {
  it.live("pulls what is asked for, and nothing before", () =>
    Effect.scoped(Effect.gen(function*() {
      let pulled = 0
      const { next } = yield* makeTimedPull(Effect.sync(() => ++pulled))
      yield* Effect.sleep(10)
      expect(pulled).toBe(0)
      expect(yield* next).toBe(1)
      yield* Effect.sleep(10)
      expect(pulled).toBe(1)
      expect(yield* next).toBe(2)
    })))

  it.live("keeps what comes when nobody waits any more, for who asks next", () =>
    Effect.scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      let pulled = 0
      const { next, within } = yield* makeTimedPull(Effect.suspend(() => {
        pulled += 1
        return Deferred.await(gate)
      }))
      expect(yield* within(5)).toBeUndefined()
      expect(yield* within(5)).toBeUndefined()
      yield* Deferred.succeed(gate, "it")
      yield* Effect.sleep(10)
      expect(yield* within(60_000)).toBe("it")
      expect(pulled).toBe(1)
      expect(yield* next).toBe("it")
      expect(pulled).toBe(2)
    })))

  it.live("is not stopped by who is interrupted while waiting", () =>
    Effect.scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const { next } = yield* makeTimedPull(Deferred.await(gate))
      yield* Effect.timeoutOption(next, 5)
      yield* Deferred.succeed(gate, "it")
      expect(yield* next).toBe("it")
    })))

  it.live("fails with what it fails with, however often it is asked", () =>
    Effect.scoped(Effect.gen(function*() {
      let pulled = 0
      const { next, within } = yield* makeTimedPull(Effect.suspend(() => Effect.fail(`no ${++pulled}`)))
      expect(yield* Effect.flip(next)).toBe("no 1")
      expect(yield* Effect.flip(within(1_000))).toBe("no 1")
      expect(pulled).toBe(1)
    })))

  it.live("dies with what its pull dies with", () =>
    Effect.scoped(Effect.gen(function*() {
      const { next } = yield* makeTimedPull(Effect.die("a defect"))
      expect(yield* Effect.exit(next)).toStrictEqual(Exit.die("a defect"))
    })))

  it.live("interrupts what is under way when its scope closes, and waits for that", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      let isInterrupted = false
      const { within } = yield* Scope.extend(
        makeTimedPull(Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            isInterrupted = true
          }))),
        scope
      )
      expect(yield* within(5)).toBeUndefined()
      expect(isInterrupted).toBe(false)
      yield* Scope.close(scope, Exit.void)
      expect(isInterrupted).toBe(true)
    }))

  it.live("waits longer than a timer of the machine can", () =>
    Effect.scoped(Effect.gen(function*() {
      const { within } = yield* makeTimedPull(Effect.delay(Effect.succeed("it"), 20))
      expect(yield* within(Number.MAX_SAFE_INTEGER)).toBe("it")
    })))
})
