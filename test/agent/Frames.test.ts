import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Buffer } from "node:buffer"
import { encodeFrame, makeFrameParser } from "../../src/agent/Frames.js"
import { MAX_BLOB_BYTES, MAX_HEADER_BYTES } from "../../src/agent/Protocol.js"

interface Seen {
  readonly frames: Array<{ readonly header: unknown; readonly blob: string }>
  violation: string | undefined
}

/** Parses bytes that arrive in the given pieces; headers with `streamed` get their blob piece by piece. */
const parse = (pieces: ReadonlyArray<Buffer>): Seen => {
  const seen: Seen = { frames: [], violation: undefined }
  let header: unknown
  let streamed: { readonly header: unknown; readonly parts: Array<Buffer>; missing: number } | undefined
  const parser = makeFrameParser({
    onHeader: (value, blobLength) => {
      header = value
      const wantsPieces = typeof value === "object" && value !== null && "streamed" in value
      if (wantsPieces) {
        streamed = { header: value, parts: [], missing: blobLength }
        if (blobLength === 0) seen.frames.push({ header: value, blob: "" })
      }
      return wantsPieces
    },
    onPiece: (piece) => {
      if (streamed === undefined) throw new Error("a piece without a header")
      streamed.parts.push(Buffer.from(piece))
      streamed.missing -= piece.length
      if (streamed.missing === 0) {
        seen.frames.push({ header: streamed.header, blob: Buffer.concat(streamed.parts).toString("hex") })
      }
    },
    onFrame: (blob) => seen.frames.push({ header, blob: blob.toString("hex") }),
    onViolation: (reason) => {
      seen.violation = reason
    }
  })
  for (const piece of pieces) {
    parser.push(piece)
  }
  return seen
}

const cut = (bytes: Buffer, at: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const points = [0, ...[...at].map((n) => n % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return points.slice(1).map((end, index) => bytes.subarray(points[index], end))
}

const prefix = (headerLength: number, blobLength: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(headerLength, 0)
  bytes.writeUInt32LE(blobLength, 4)
  return bytes
}

const frame = fc.record({
  header: fc.record({ text: fc.string({ unit: "grapheme" }), streamed: fc.constant(true) }, {
    requiredKeys: ["text"]
  }),
  blob: fc.uint8Array({ maxLength: 200 })
})

describe("Frames", () => {
  it("gives back what was encoded, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 40 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(({ blob, header }) => encodeFrame(header, blob)))
        const expected = frames.map(({ blob, header }) => ({ header, blob: Buffer.from(blob).toString("hex") }))
        expect(parse(cut(bytes, cuts))).toEqual({ frames: expected, violation: undefined })
      }),
      { numRuns: 500 }
    )
  })

  it("gives every frame when bytes arrive one by one", () => {
    const bytes = Buffer.concat([encodeFrame({ a: 1 }), encodeFrame({ b: "ü" }, Buffer.from("x")), encodeFrame({})])
    const seen = parse([...bytes].map((byte) => Buffer.from([byte])))
    expect(seen.frames).toEqual([
      { header: { a: 1 }, blob: "" },
      { header: { b: "ü" }, blob: "78" },
      { header: {}, blob: "" }
    ])
  })

  it("refuses lengths beyond the caps before it has stored a byte of them", () => {
    expect(parse([prefix(MAX_HEADER_BYTES + 1, 0)]).violation).toMatch(/header of 1048577 bytes/)
    expect(parse([prefix(2, MAX_BLOB_BYTES + 1)]).violation).toMatch(/blob of/)
    expect(parse([prefix(0xffffffff, 0xffffffff)]).violation).toBeDefined()
  })

  it("refuses a header that is not JSON, and an empty one", () => {
    expect(parse([prefix(3, 0), Buffer.from("{a}")]).violation).toMatch(/not JSON/)
    expect(parse([prefix(0, 0)]).violation).toMatch(/not JSON/)
  })

  it("tells nothing more after a violation", () => {
    const seen = parse([prefix(3, 0), Buffer.from("{a}"), encodeFrame({ a: 1 })])
    expect(seen.frames).toEqual([])
  })

  it("never throws, whatever arrives", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), (pieces) => {
        parse(pieces.map((piece) => Buffer.from(piece)))
      })
    )
  })
})
