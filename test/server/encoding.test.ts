import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { utf8 } from "../../src/server/Streams.js"

describe("text of an answer", () => {
  it("is the bytes that UTF-8 says, also where a character has none", () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      fc.constantFrom("\ud800", "\udfff", "ü", "\u{1F600}")
    )
    fc.assert(fc.property(fc.array(text), (parts) => {
      const whole = parts.join("")
      expect(Buffer.compare(utf8(whole), Buffer.from(whole))).toBe(0)
    }))
  })
})
