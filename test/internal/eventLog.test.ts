import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, FastCheck as fc, Fiber, Option, Stream } from "effect"
import { type EventLog, makeEventLog, type Reader } from "../../src/internal/eventLog.js"

interface Numbered {
  readonly seq: number
}

type Log = EventLog<Numbered, string>

const append = (log: Log, weight: number): void => log.append({ seq: log.next() }, weight)

/** As an engine does: only what there is room for, or when nothing at all is needed by anybody. */
const offer = (log: Log, weight: number): boolean => {
  const fits = log.roomFor(weight) >= weight || log.isIdle()
  if (fits) append(log, weight)
  return fits
}

const pullAll = (log: Log, reader: Reader): Effect.Effect<ReadonlyArray<number>, string> =>
  log.next() === reader.next
    ? Effect.succeed([])
    : Effect.map(Stream.runHead(Stream.chunks(log.stream(reader))), (chunk) =>
      chunk._tag === "None" ? [] : Chunk.toReadonlyArray(chunk.value).map(({ seq }) => seq))

const numbers = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, n) => from + n)

type Step =
  | { readonly _tag: "Append"; readonly weight: number }
  | { readonly _tag: "Open"; readonly back: number; readonly hold: string | undefined }
  | { readonly _tag: "Take" | "Close"; readonly which: number }
  | { readonly _tag: "Shrink"; readonly bytes: number }
  | { readonly _tag: "Release" }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ _tag: fc.constant("Append" as const), weight: fc.integer({ min: 1, max: 60 }) })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("Open" as const),
      back: fc.nat(20),
      hold: fc.constantFrom(undefined, undefined, "a", "b")
    })
  },
  { weight: 5, arbitrary: fc.record({ _tag: fc.constant("Take" as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Close" as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Shrink" as const), bytes: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.constant({ _tag: "Release" as const }) }
)

const LIMIT = 100
const HEAVIEST = 60

describe("an event log", () => {
  it("gives every reader all events without a gap, and keeps no more than its limit and one event", () =>
    fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 200 }), (steps) =>
      Effect.runPromise(Effect.gen(function*() {
        const log: Log = makeEventLog(LIMIT)
        const open: Array<Reader> = []
        const holds = new Map<string, number>()
        const pick = (which: number) => open[which % Math.max(1, open.length)]
        for (const one of steps) {
          switch (one._tag) {
            case "Append":
              if (!offer(log, one.weight)) {
                // Full, and rightly so: somebody needs something that is kept.
                expect(log.isIdle()).toBe(false)
              }
              break
            case "Open": {
              const from = Math.max(log.first(), log.next() - one.back)
              open.push(log.open(from - 1, one.hold))
              if (one.hold !== undefined) holds.set(one.hold, from)
              break
            }
            case "Take": {
              const reader = pick(one.which)
              if (reader !== undefined) {
                const from = reader.next
                expect(yield* pullAll(log, reader)).toEqual(numbers(from, log.next()))
              }
              break
            }
            case "Close": {
              const reader = pick(one.which)
              if (reader !== undefined) {
                open.splice(open.indexOf(reader), 1)
                log.close(reader, 0)
              }
              break
            }
            case "Shrink":
              log.shrink(one.bytes)
              break
            case "Release":
              for (const name of holds.keys()) {
                if (!open.some(({ hold }) => hold === name)) holds.delete(name)
              }
              log.release(0)
              break
          }
          expect(log.bytes()).toBeLessThanOrEqual(LIMIT + HEAVIEST)
          expect(log.readers()).toBe(open.length)
          for (const { done } of open) expect(log.first()).toBeLessThanOrEqual(done)
          for (const from of holds.values()) expect(log.first()).toBeLessThanOrEqual(from)
        }
      })))))

  it("keeps what nobody has read, and is full then", () => {
    const log: Log = makeEventLog(LIMIT)
    const offered = numbers(0, 20).map(() => offer(log, 10))
    expect(offered.filter((taken) => taken)).toHaveLength(10)
    expect({ first: log.first(), next: log.next(), bytes: log.bytes() }).toEqual({ first: 0, next: 10, bytes: 100 })
    expect(log.roomFor(1)).toBe(0)
  })

  it.effect("has the pace of its slowest reader, and keeps what was read while there is room", () =>
    Effect.gen(function*() {
      const log: Log = makeEventLog(LIMIT)
      const fast = log.open(-1, undefined)
      const slow = log.open(-1, undefined)
      for (const _ of numbers(0, 10)) offer(log, 10)
      yield* pullAll(log, fast)
      expect(offer(log, 10)).toBe(false)
      yield* pullAll(log, slow)
      // What a reader was given counts as read when it asks for more, or leaves.
      expect(offer(log, 10)).toBe(false)
      log.close(slow, 0)
      log.close(fast, 0)
      expect(log.first()).toBe(0)
      expect(offer(log, 10)).toBe(true)
      expect({ first: log.first(), next: log.next() }).toEqual({ first: 1, next: 11 })
    }))

  it.effect("holds for a name what it has taken, until the same name says that it has arrived", () =>
    Effect.gen(function*() {
      const log: Log = makeEventLog(LIMIT)
      const first = log.open(-1, "name")
      for (const _ of numbers(0, 10)) offer(log, 10)
      yield* pullAll(log, first)
      log.close(first, 5)
      expect(offer(log, 10)).toBe(false)
      expect(log.heldSince()).toBe(5)
      const again = log.open(3, "name")
      expect(log.heldSince()).toBeUndefined()
      expect(yield* pullAll(log, again)).toEqual(numbers(4, 10))
      for (const _ of numbers(0, 4)) expect(offer(log, 10)).toBe(true)
      expect(offer(log, 10)).toBe(false)
      expect(log.first()).toBe(4)
      log.close(again, 7)
      log.release(6)
      expect(offer(log, 10)).toBe(false)
      log.release(7)
      expect(offer(log, 10)).toBe(true)
    }))

  it.effect("wakes who waits, gives one chunk for all that has arrived, and ends as it was ended", () =>
    Effect.gen(function*() {
      const log: Log = makeEventLog(LIMIT)
      const reader = log.open(-1, undefined)
      const seen: Array<ReadonlyArray<number>> = []
      const fiber = yield* Effect.fork(
        Stream.runForEach(
          Stream.chunks(log.stream(reader)),
          (chunk) => Effect.sync(() => seen.push(Chunk.toReadonlyArray(chunk).map(({ seq }) => seq)))
        )
      )
      yield* Effect.yieldNow()
      append(log, 1)
      append(log, 1)
      yield* Effect.yieldNow()
      append(log, 1)
      log.end(Exit.fail("broken"))
      append(log, 1)
      expect(yield* Fiber.await(fiber)).toEqual(Exit.fail("broken"))
      expect(seen).toEqual([[0, 1], [2]])
      expect(log.next()).toBe(3)
      const late = log.open(0, undefined)
      expect(yield* Effect.exit(Stream.runCollect(log.stream(late)))).toEqual(Exit.fail("broken"))
    }))

  it.effect("wakes who is in no hurry when there is as much as that wants, or when all is over", () =>
    Effect.gen(function*() {
      const log: Log = makeEventLog(1_000)
      const seen: Array<ReadonlyArray<number>> = []
      const reading = log.read(log.open(-1, undefined))(
        (events) => Effect.sync(() => void seen.push(events.map(({ seq }) => seq))),
        100
      )
      const fiber = yield* Effect.fork(reading)
      yield* Effect.yieldNow()
      for (const weight of [60, 30, 20, 99]) {
        append(log, weight)
        yield* Effect.repeatN(Effect.yieldNow(), 5)
      }
      expect(seen).toEqual([[0, 1, 2]])
      log.end(Exit.void)
      yield* Fiber.join(fiber)
      expect(seen).toEqual([[0, 1, 2], [3]])
    }))

  it.effect("does not wait for more than there is room for", () =>
    Effect.gen(function*() {
      const log: Log = makeEventLog(LIMIT)
      const seen: Array<number> = []
      const reading = log.read(log.open(-1, undefined))(
        (events) => Effect.sync(() => void seen.push(...events.map(({ seq }) => seq))),
        LIMIT * 1_000
      )
      yield* Effect.fork(reading)
      yield* Effect.yieldNow()
      for (let n = 0; n < 100; n++) {
        expect(log.roomFor(HEAVIEST)).toBeGreaterThanOrEqual(HEAVIEST)
        append(log, 13)
        yield* Effect.repeatN(Effect.yieldNow(), 5)
      }
      expect(seen).toEqual(numbers(0, 100))
    }))

  // A fiber gives way to others after so many steps, wherever it is: after some thousand by default.
  it.live("wakes up a reader that has just found nothing when something comes", () =>
    Effect.gen(function*() {
      for (let steps = 10; steps < 60; steps++) {
        for (const how of ["stream", "read"] as const) {
          const log: Log = makeEventLog(LIMIT)
          const reader = log.open(-1, undefined)
          const reading = how === "stream" ? Stream.runDrain(log.stream(reader)) : log.read(reader)(() => Effect.void)
          const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(reading, steps))
          yield* Effect.yieldNow()
          log.end(Exit.void)
          const waited = yield* Effect.timeoutOption(Fiber.join(fiber), "1 second")
          expect([how, steps, waited]).toEqual([how, steps, Option.some(undefined)])
        }
      }
    }))

  it("tells that there is room when a reader leaves", () => {
    const log: Log = makeEventLog(LIMIT)
    let told = 0
    log.onRoom(() => told += 1)
    const reader = log.open(-1, undefined)
    const before = told
    log.close(reader, 0)
    expect(told).toBeGreaterThan(before)
  })
})
