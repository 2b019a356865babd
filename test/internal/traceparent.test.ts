import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Tracer } from "effect"
import * as fc from "fast-check"
import { current, format, parse } from "../../src/internal/traceparent.js"

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length })
    .filter((text) => /[^0]/.test(text))

describe("traceparent", () => {
  it("comes back from its text as it was", () => {
    fc.assert(fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, sampled) => {
      const text = Option.getOrThrow(format(Tracer.externalSpan({ traceId, spanId, sampled })))
      expect(text).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
      const span = Option.getOrThrow(parse(text))
      expect({ traceId: span.traceId, spanId: span.spanId, sampled: span.sampled }).toEqual({
        traceId,
        spanId,
        sampled
      })
    }))
  })

  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
  const spanId = "00f067aa0ba902b7"

  it.each([
    [`00-${traceId}-${spanId}-01`, true],
    [` 00-${traceId}-${spanId}-00 `, false],
    [`00-${traceId}-${spanId}-03`, true],
    [`cc-${traceId}-${spanId}-01`, true],
    [`cc-${traceId}-${spanId}-01-what-the-future-brings`, true]
  ])("reads %s", (text, sampled) => {
    expect(Option.getOrThrow(parse(text))).toMatchObject({ traceId, spanId, sampled })
  })

  it.each([
    "",
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-01x`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`,
    `${traceId}-${spanId}-01`
  ])("does not read %s", (text) => {
    expect(parse(text)).toEqual(Option.none())
  })

  it("reads nothing that it would not write", () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[0-9a-f-]{50,60}$/)), (text) => {
      const span = parse(text)
      expect(Option.isNone(span) || Option.isSome(format(span.value))).toBe(true)
    }))
  })

  it.effect("is that of the current span", () =>
    Effect.gen(function*() {
      expect(yield* current).toEqual(Option.none())
      const [text, span] = yield* Effect.withSpan(Effect.all([current, Effect.currentSpan]), "outer")
      expect(text).toEqual(Option.some(`00-${span.traceId}-${span.spanId}-01`))
      const far = Tracer.externalSpan({ traceId, spanId, sampled: false })
      expect(yield* Effect.withParentSpan(current, far)).toEqual(Option.some(`00-${traceId}-${spanId}-00`))
      const inner = yield* current.pipe(Effect.withSpan("inner"), Effect.withParentSpan(far))
      expect(Option.getOrThrow(inner)).toContain(traceId)
    }))

  it("is none for a span whose ids have another form", () => {
    expect(format(Tracer.externalSpan({ traceId: "a trace", spanId: "a span" }))).toEqual(Option.none())
  })
})
