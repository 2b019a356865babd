import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as Expiry from "../../src/engine/Expiry.js"

const SETTLED = 50

/** Lets the fibers that can go on do so. */
const settled = Effect.repeatN(Effect.yieldNow(), SETTLED)

describe("Expiry", () => {
  it.scoped("ends what is over, at its time and not before", () =>
    Effect.gen(function*() {
      let end = Infinity
      let ended: number | undefined
      const soonest = yield* Expiry.make(() => end, (now) =>
        Effect.sync(() => {
          ended = now
          end = Infinity
        }))
      yield* settled
      end = 1_000
      yield* soonest(end)
      yield* settled
      yield* TestClock.adjust(999)
      expect(ended).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(ended).toBe(1_000)
    }))

  it.scoped("does not look again each time that something is idle for a moment", () =>
    Effect.gen(function*() {
      let looks = 0
      let isIdle = false
      const soonest = yield* Expiry.make(() => {
        looks += 1
        return isIdle ? 1_000 : 100_000
      }, () => Effect.void)
      for (let turn = 0; turn < 20; turn++) {
        isIdle = true
        yield* soonest(1_000)
        isIdle = false
        yield* soonest(100_000)
        yield* settled
      }
      expect(looks).toBeLessThan(5)
    }))
})
