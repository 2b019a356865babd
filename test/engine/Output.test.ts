import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Stream } from "effect"
import { type Fd, makeOutput } from "../../src/engine/Output.js"
import type { ExecutionEvent } from "../../src/Execution.js"
import { EVENT_COST, makeEventLog } from "../../src/internal/eventLog.js"

const bytesOf = (events: Iterable<ExecutionEvent>, tag: "Stdout" | "Stderr"): Buffer =>
  Buffer.concat(
    [...events].flatMap((event) =>
      event._tag !== tag
        ? []
        : [event.base64 === undefined ? Buffer.from(event.text) : Buffer.from(event.base64, "base64")]
    )
  )

const make = (options: { readonly crowd?: number; readonly maxOutputSize?: number } = {}) => {
  const log = makeEventLog<ExecutionEvent, never>(Infinity)
  const dropped = { stdout: 0, stderr: 0 }
  const output = makeOutput({
    log,
    dropped,
    maxOutputSize: options.maxOutputSize ?? Infinity,
    room: (bytes) => bytes,
    crowd: options.crowd ?? 1_000,
    now: () => 0
  })
  const reader = log.open(-1, undefined)
  const events = Effect.map(
    Stream.runHead(Stream.chunks(log.stream(reader))),
    (chunk): ReadonlyArray<ExecutionEvent> => chunk._tag === "None" ? [] : [...chunk.value]
  )
  return { log, dropped, output, events }
}

const pieces = fc.array(fc.tuple(fc.constantFrom<Fd>(1, 2), fc.uint8Array({ maxLength: 40 })), { maxLength: 120 })

describe("output", () => {
  it("is complete and in order, however it was cut, also when the log is crowded", () =>
    fc.assert(fc.asyncProperty(pieces, fc.nat(10), (all, crowd) =>
      Effect.runPromise(Effect.gen(function*() {
        const { dropped, events, log, output } = make({ crowd })
        for (const [fd, bytes] of all) output.push(fd, Buffer.from(bytes))
        output.end()
        const seen = log.next() === 0 ? [] : yield* events
        for (const [fd, tag] of [[1, "Stdout"], [2, "Stderr"]] as const) {
          const expected = Buffer.concat(all.flatMap(([one, bytes]) => one === fd ? [bytes] : []))
          expect(bytesOf(seen, tag).equals(expected)).toBe(true)
        }
        expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, index) => index))
        expect(dropped).toEqual({ stdout: 0, stderr: 0 })
      })))))

  it.effect("takes little more memory than it has bytes when a program writes byte by byte and nobody reads", () =>
    Effect.gen(function*() {
      const { events, log, output } = make({ crowd: 100 })
      const count = 300_000
      for (let n = 0; n < count; n++) output.push(n % 2 === 0 ? 1 : 2, Buffer.from([65 + n % 26]))
      expect(log.bytes()).toBeLessThan(count + 200 * EVENT_COST)
      const seen = yield* events
      expect(bytesOf(seen, "Stdout").length + bytesOf(seen, "Stderr").length).toBe(count)
      // Somebody has caught up: from here on each piece is told as it comes.
      output.push(1, Buffer.from("live"))
      expect(yield* events).toMatchObject([{ _tag: "Stdout", text: "live" }])
    }))

  it.effect("is cut at its limit, and what was cut is counted", () =>
    Effect.gen(function*() {
      const { dropped, events, output } = make({ maxOutputSize: 5 })
      output.push(1, Buffer.from("abc"))
      output.push(2, Buffer.from("é€x"))
      output.push(1, Buffer.from("more"))
      output.end()
      expect(yield* events).toMatchObject([{ _tag: "Stdout", text: "abc" }, { _tag: "Stderr", text: "é" }])
      expect(dropped).toEqual({ stdout: 4, stderr: 4 })
    }))
})
