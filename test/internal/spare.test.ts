import { assert, describe, it } from "@effect/vitest"
import * as Spare from "../../src/internal/spare.js"

describe("memory that is there for the next", () => {
  it("is with one user at a time, and is what was given back last", () => {
    const spare = Spare.make(() => ({}))
    const one = spare.take()
    const other = spare.take()
    assert.notStrictEqual(one, other)
    spare.giveBack(other)
    spare.giveBack(one)
    assert.strictEqual(spare.take(), one)
    assert.notStrictEqual(spare.take(), one)
  })
})
