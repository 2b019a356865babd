import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { makeWindow } from "../../src/internal/window.js"

describe("window", () => {
  it("says exactly when there is room again", () => {
    const window = makeWindow(2, 1_000)
    expect([window.take(0), window.take(300), window.take(400), window.take(999)]).toEqual([0, 0, 600, 1])
    expect([window.take(1_000), window.take(1_299), window.take(1_300)]).toEqual([0, 1, 0])
    expect(window.remaining(1_300)).toBe(0)
    expect(window.resetAt(1_300)).toBe(2_300)
    expect(window.remaining(2_000)).toBe(1)
    expect(window.remaining(2_300)).toBe(2)
    expect(window.resetAt(2_300)).toBe(2_300)
  })

  it("never counts more than the limit in any length, and refuses none that there is room for", () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 80 }),
      fc.array(fc.nat(30), { maxLength: 600 }),
      (limit, steps) => {
        const length = 500
        const window = makeWindow(limit, length)
        const taken: Array<number> = []
        let now = 0
        for (const step of steps) {
          now += step
          const recent = taken.filter((time) => time + length > now)
          const wait = window.take(now)
          expect(wait === 0).toBe(recent.length < limit)
          if (wait === 0) {
            taken.push(now)
          } else {
            expect(wait).toBe((recent[0] ?? 0) + length - now)
          }
          expect(window.remaining(now)).toBe(limit - taken.filter((time) => time + length > now).length)
        }
      }
    ))
  })
})
