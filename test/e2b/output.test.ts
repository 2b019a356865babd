import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Output from "../../src/e2b/Output.js"

/** The exact bytes of a piece. */
const bytesOf = (piece: { readonly text: string; readonly base64?: string } | undefined): Buffer =>
  piece === undefined
    ? Buffer.alloc(0)
    : piece.base64 === undefined
    ? Buffer.from(piece.text)
    : Buffer.from(piece.base64, "base64")

describe("output", () => {
  it("loses no byte, in whatever pieces it comes, and cuts no character", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.array(
        FastCheck.oneof(
          FastCheck.uint8Array({ maxLength: 6 }),
          FastCheck.string({ unit: "grapheme" }).map((text) => new Uint8Array(Buffer.from(text)))
        )
      ),
      FastCheck.integer({ min: 1, max: 5 }),
      (parts, size) => {
        const all = Buffer.concat(parts)
        const output = Output.make()
        const pieces: Array<Buffer> = []
        for (let at = 0; at < all.length; at += size) {
          pieces.push(bytesOf(output.push("stdout", all.subarray(at, at + size))))
        }
        pieces.push(bytesOf(output.end("stdout")))
        expect(Buffer.concat(pieces).equals(all)).toBe(true)
        expect(output.dropped()).toBeUndefined()
      }
    ))
  })

  it("gives text as text alone, and the bytes beside it only where they are none", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.string({ unit: "grapheme", minLength: 1 }),
      FastCheck.integer({ min: 1, max: 5 }),
      (text, size) => {
        const all = Buffer.from(text)
        const output = Output.make()
        const pieces = []
        for (let at = 0; at < all.length; at += size) pieces.push(output.push("stdout", all.subarray(at, at + size)))
        const told = pieces.filter((piece) => piece !== undefined)
        expect(told.map((piece) => piece.text).join("")).toBe(all.toString())
        expect(told.every((piece) => piece.base64 === undefined)).toBe(true)
        expect(output.end("stdout")).toBeUndefined()
      }
    ))
    expect(Output.make().push("stdout", new Uint8Array([65, 255, 66]))).toEqual({ text: "A\ufffdB", base64: "Qf9C" })
  })

  it("lets through what there is room for, and counts the rest", () => {
    const output = Output.make(5)
    expect(output.pushText("stdout", "äöü")).toEqual({ text: "äö" })
    expect(output.push("stderr", new Uint8Array([65, 66, 67]))).toBeUndefined()
    expect(output.dropped()).toEqual({ stdout: 2, stderr: 3 })
  })
})
