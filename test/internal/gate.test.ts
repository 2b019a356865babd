import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { makeGate } from "../../src/internal/gate.js"

/** Lets every fiber go on until all wait. */
const settle = Effect.repeatN(Effect.yieldNow(), 50)

describe("gate", () => {
  it.effect("lets so many in, and the others in the order of arrival", () =>
    Effect.gen(function*() {
      const gate = makeGate(2)
      const log: Array<string> = []
      const doors = yield* Effect.all([0, 1, 2, 3].map(() => Deferred.make<void>()))
      const fibers = yield* Effect.forEach(doors, (door, index) =>
        Effect.fork(Effect.scoped(Effect.gen(function*() {
          yield* gate.enter
          log.push(`in ${index}`)
          yield* Deferred.await(door)
        }))).pipe(Effect.tap(() => Effect.yieldNow())))
      yield* settle
      expect(log).toEqual(["in 0", "in 1"])
      expect(gate.inside()).toBe(2)
      expect(yield* Effect.scoped(gate.tryEnter)).toBe(false)
      for (const index of [1, 0, 3, 2]) {
        yield* Deferred.succeed(doors[index] ?? (yield* Deferred.make<void>()), undefined)
        yield* settle
      }
      yield* Fiber.joinAll(fibers)
      expect(log).toEqual(["in 0", "in 1", "in 2", "in 3"])
      expect(gate.inside()).toBe(0)
      expect(yield* Effect.scoped(gate.tryEnter)).toBe(true)
    }))

  it.effect("does not let a newcomer pass those who wait", () =>
    Effect.gen(function*() {
      const gate = makeGate(1)
      const log: Array<string> = []
      const visit = (name: string) => Effect.scoped(Effect.tap(gate.enter, () => log.push(name)))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* gate.enter
        yield* Effect.fork(visit("waiting"))
        yield* settle
      }))
      // The place is free in this very moment, and belongs to who waited.
      expect(yield* Effect.scoped(gate.tryEnter)).toBe(false)
      yield* visit("newcomer")
      expect(log).toEqual(["waiting", "newcomer"])
    }))

  it("never lets too many in and loses no place, however its visitors are interrupted", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.record({ stay: fc.nat(4), patience: fc.nat(8), tries: fc.boolean() }), { maxLength: 12 }),
        (places, visitors) =>
          Effect.runPromise(Effect.gen(function*() {
            const gate = makeGate(places)
            let inside = 0
            let most = 0
            yield* Effect.forEach(
              visitors,
              ({ patience, stay, tries }) =>
                Effect.gen(function*() {
                  const fiber = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
                    if (tries ? !(yield* gate.tryEnter) : yield* Effect.as(gate.enter, false)) {
                      return
                    }
                    inside += 1
                    most = Math.max(most, inside)
                    yield* Effect.ensuring(
                      Effect.repeatN(Effect.yieldNow(), stay),
                      Effect.sync(() => {
                        inside -= 1
                      })
                    )
                  })))
                  yield* Effect.repeatN(Effect.yieldNow(), patience)
                  yield* Fiber.interrupt(fiber)
                }),
              { concurrency: "unbounded" }
            )
            expect(most).toBeLessThanOrEqual(places)
            expect(gate.inside()).toBe(0)
            yield* Effect.scoped(Effect.replicateEffect(gate.enter, places))
          }))
      ),
      { numRuns: 300 }
    )
  })
})
