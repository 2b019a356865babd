import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import { makeOpener, seal } from "../../src/e2b/Envelopes.js"

/** Bytes in pieces of these sizes, over and over. */
const cut = (bytes: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

const read = (pieces: ReadonlyArray<Uint8Array>) => {
  const opener = makeOpener()
  const found = pieces.flatMap((
    piece
  ) => [...Either.getOrThrowWith(opener.push(piece), (problem) => new Error(problem))])
  return { found, atBoundary: opener.atBoundary() }
}

describe("envelopes", () => {
  it("are opened in whatever pieces they come", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.array(FastCheck.record({ text: FastCheck.string({ unit: "grapheme" }), n: FastCheck.integer() })),
      FastCheck.array(FastCheck.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (messages, sizes) => {
        const bytes = Buffer.concat(messages.map(seal))
        const { atBoundary, found } = read(cut(bytes, sizes))
        expect(found.map(({ json }): unknown => JSON.parse(json))).toEqual(messages)
        expect(atBoundary).toBe(true)
        if (bytes.length > 0) {
          expect(read(cut(bytes.subarray(0, -1), sizes)).atBoundary).toBe(false)
        }
      }
    ))
  })

  it("say which message is the last", () => {
    const last = seal({})
    last[0] = 2
    expect(read([seal({ a: 1 }), last]).found).toEqual([
      { isLast: false, json: "{\"a\":1}" },
      { isLast: true, json: "{}" }
    ])
  })

  it("are refused when they are compressed, of impossible length, or no UTF-8", () => {
    const problem = (...bytes: ReadonlyArray<number>) => Either.flip(makeOpener().push(Uint8Array.from(bytes)))
    expect(problem(1, 0, 0, 0, 1, 0x7b)).toEqual(Either.right(expect.stringContaining("compressed")))
    expect(problem(0, 0xff, 0, 0, 0)).toEqual(Either.right(expect.stringContaining("bytes")))
    expect(problem(0, 0, 0, 0, 1, 0xff)).toEqual(Either.right(expect.stringContaining("UTF-8")))
  })
})
