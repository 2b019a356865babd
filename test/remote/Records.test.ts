import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, FastCheck as fc, Schema, Stream } from "effect"
import { Failed } from "../../src/api/Status.js"
import { ConnectionError, SandboxError } from "../../src/Errors.js"
import { decodeRecords, makeDecoder, makeLineCutter } from "../../src/remote/Records.js"

const Item = Schema.Union(
  Schema.TaggedStruct("Item", { text: Schema.String }),
  Schema.TaggedStruct("Last", {}),
  Failed
)

const peer = { url: "http://server", timeout: 1_000 }

const options = { peer, isLast: (record: { readonly _tag: string }) => record._tag === "Last" }

const encoder = new TextEncoder()

const item = (text: string) => `${JSON.stringify({ _tag: "Item", text })}\n`
const last = `{"_tag":"Last"}\n`

/** Cuts bytes at these places. */
const cutAt = (bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end))
}

const read = (pieces: ReadonlyArray<Uint8Array>, then: Stream.Stream<Uint8Array, ConnectionError> = Stream.empty) =>
  Effect.gen(function*() {
    const seen: Array<unknown> = []
    const end = yield* Stream.fromIterable(pieces).pipe(
      Stream.rechunk(1),
      Stream.concat(then),
      decodeRecords(makeDecoder(Item), options),
      Stream.runForEach((record) => Effect.sync(() => seen.push(record))),
      Effect.either
    )
    return { seen, end }
  })

describe("Records", () => {
  it.effect.prop(
    "gives the same records wherever the bytes are cut",
    {
      texts: fc.array(fc.string({ unit: "grapheme" }), { maxLength: 8 }),
      places: fc.array(fc.nat(), { maxLength: 12 })
    },
    ({ places, texts }) =>
      Effect.gen(function*() {
        const bytes = encoder.encode(`${texts.map(item).join("\n \r\n")}${last}`)
        const { end, seen } = yield* read(cutAt(bytes, places))
        expect(end).toEqual(Either.void)
        expect(seen).toEqual([...texts.map((text) => ({ _tag: "Item", text })), { _tag: "Last" }])
      })
  )

  it.effect.prop(
    "is never a success when it is cut off before the last record, and gives all that had arrived",
    { texts: fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 5 }), place: fc.nat() },
    ({ place, texts }) =>
      Effect.gen(function*() {
        const whole = encoder.encode(`${texts.map(item).join("")}${last}`)
        const bytes = whole.subarray(0, place % whole.length)
        const complete = new TextDecoder().decode(bytes).split("\n").length - 1
        const { end, seen } = yield* read([bytes])
        expect(seen).toEqual(texts.slice(0, complete).map((text) => ({ _tag: "Item", text })))
        expect(Either.getLeft(end)).toMatchObject({ value: { _tag: "ConnectionError", url: peer.url } })
      })
  )

  it.effect("ends at the last record, whatever follows, and however the connection ends", () =>
    Effect.gen(function*() {
      const bytes = encoder.encode(`${item("a")}${last}${item("b")}garbage`)
      const { end, seen } = yield* read([bytes], Stream.fail(new ConnectionError({ message: "reset", url: peer.url })))
      expect(seen).toHaveLength(2)
      expect(end).toEqual(Either.void)
    }))

  it.effect("fails with the error of a Failed record, after what came before it", () =>
    Effect.gen(function*() {
      const error = new SandboxError({ code: "kernel_died", message: "It died.", sandboxId: "sbx" })
      const failed = JSON.stringify({ _tag: "Failed", error: { ...error, _tag: error._tag, message: error.message } })
      const { end, seen } = yield* read([encoder.encode(`${item("a")}${failed}\n${last}`)])
      expect(seen).toEqual([{ _tag: "Item", text: "a" }])
      expect(Either.getLeft(end)).toMatchObject({ value: { _tag: "SandboxError", code: "kernel_died" } })
      expect(Either.isLeft(end) && end.left instanceof SandboxError).toBe(true)
    }))

  it.effect("keeps the error of a connection that broke", () =>
    Effect.gen(function*() {
      const reset = new ConnectionError({ message: "reset", url: peer.url })
      const { end, seen } = yield* read([encoder.encode(item("a"))], Stream.fail(reset))
      expect(seen).toHaveLength(1)
      expect(end).toEqual(Either.left(reset))
    }))

  for (
    const [what, garbage] of [
      ["text", encoder.encode("<html>\n")],
      ["JSON of another shape", encoder.encode("{\"_tag\":\"Other\"}\n")],
      ["a part of another type", encoder.encode("{\"_tag\":\"Item\",\"text\":5}\n")],
      ["bytes that are no UTF-8", new Uint8Array([0x22, 0xff, 0xfe, 0x22, 0x0a])]
    ] as const
  ) {
    it.effect(`refuses ${what}, after what came before it`, () =>
      Effect.gen(function*() {
        const { end, seen } = yield* read([encoder.encode(item("a")), garbage, encoder.encode(last)])
        expect(seen).toHaveLength(1)
        expect(Either.getLeft(end)).toMatchObject({ value: { _tag: "SandboxSDKError", code: "decode_error" } })
        expect(Either.isLeft(end) && end.left.message).toContain(peer.url)
      }))
  }

  it("handles each byte of a line of 22 MB once, in however many pieces it comes", () => {
    const counts = [16 * 1024, 64 * 1024].map((size) => {
      const text = "é".repeat(11_000_000)
      const bytes = encoder.encode(`"${text}"\n`)
      let copied = 0
      let decoded = 0
      const set = Uint8Array.prototype.set
      const decode = TextDecoder.prototype.decode
      Uint8Array.prototype.set = function(source, offset) {
        copied += source.length
        set.call(this, source, offset)
      }
      TextDecoder.prototype.decode = function(input, decodeOptions) {
        decoded += input?.byteLength ?? 0
        return decode.call(this, input, decodeOptions)
      }
      try {
        const cutter = makeLineCutter()
        const lines: Array<string> = []
        for (let offset = 0; offset < bytes.length; offset += size) {
          lines.push(...Either.getOrThrow(cutter.push(bytes.subarray(offset, offset + size))))
        }
        expect(lines).toHaveLength(1)
        expect(lines[0] === `"${text}"`).toBe(true)
        expect(cutter.atBoundary()).toBe(true)
      } finally {
        Uint8Array.prototype.set = set
        TextDecoder.prototype.decode = decode
      }
      expect(copied).toBeLessThanOrEqual(bytes.length)
      expect(decoded).toBeLessThanOrEqual(bytes.length)
      return decoded
    })
    expect(counts[0]).toBe(counts[1])
  })

  it.effect("takes no more of the body than the reader wants", () =>
    Effect.gen(function*() {
      let taken = 0
      const body = Stream.repeatEffect(Effect.sync(() => {
        taken += 1
        return encoder.encode(item("x"))
      }))
      const some = yield* body.pipe(decodeRecords(makeDecoder(Item), options), Stream.take(3), Stream.runCollect)
      expect(Chunk.size(some)).toBe(3)
      expect(taken).toBeLessThanOrEqual(4)
    }))
})
