import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Buffer } from "node:buffer"
import type { DecodedText } from "../../src/engine/Utf8.js"
import { incompleteTail, makeUtf8Decoder } from "../../src/engine/Utf8.js"

const decodeAll = (pieces: ReadonlyArray<Buffer>): ReadonlyArray<DecodedText> => {
  const decoder = makeUtf8Decoder()
  return [...pieces.map((piece) => decoder.push(piece)), decoder.end()].filter((text) => text !== undefined)
}

const bytesOf = (texts: ReadonlyArray<DecodedText>): Buffer =>
  Buffer.concat(
    texts.map(({ base64, text }) => base64 === undefined ? Buffer.from(text) : Buffer.from(base64, "base64"))
  )

const pieces = (bytes: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const cut: Array<Buffer> = []
  let rest = Buffer.from(bytes)
  for (const size of sizes) {
    cut.push(rest.subarray(0, size))
    rest = rest.subarray(size)
  }
  return [...cut, rest]
}

const sizes = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 60 })

describe("Utf8", () => {
  it("gives the same text however valid UTF-8 is cut, and never the bytes beside it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), sizes, (text, cuts) => {
        const decoded = decodeAll(pieces(Buffer.from(text), cuts))
        expect(decoded.map((piece) => piece.text).join("")).toBe(text)
        expect(decoded.every((piece) => piece.base64 === undefined)).toBe(true)
      }),
      { numRuns: 500 }
    )
  })

  it("loses no byte of what is no UTF-8", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), sizes, (bytes, cuts) => {
        expect(bytesOf(decodeAll(pieces(bytes, cuts)))).toEqual(Buffer.from(bytes))
      }),
      { numRuns: 500 }
    )
  })

  it("keeps a byte order mark", () => {
    expect(decodeAll([Buffer.from("\ufeffa")])).toEqual([{ text: "\ufeffa" }])
  })

  it("holds back no more than the beginning of one character", () => {
    expect(incompleteTail(Buffer.from("a"))).toBe(0)
    expect(incompleteTail(Buffer.from("é").subarray(0, 1))).toBe(1)
    expect(incompleteTail(Buffer.from("€").subarray(0, 2))).toBe(2)
    expect(incompleteTail(Buffer.from("😀").subarray(0, 3))).toBe(3)
    expect(incompleteTail(Buffer.from("😀"))).toBe(0)
    expect(incompleteTail(Buffer.from([0x80, 0x80, 0x80, 0x80]))).toBe(0)
  })
})
