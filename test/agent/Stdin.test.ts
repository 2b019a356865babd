/**
 * The engine's side of a process's input: credit, order, and who is told when it ends.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option } from "effect"
import * as fc from "fast-check"
import { Buffer } from "node:buffer"
import { STDIN_WINDOW } from "../../src/agent/Protocol.js"
import { makeStdin, stdinClosed } from "../../src/agent/Stdin.js"

const make = () => {
  const sent: Array<Uint8Array | undefined> = []
  const port = makeStdin("sbx", (bytes) => sent.push(bytes))
  const total = () => sent.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0)
  return { ...port, sent, total }
}

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.delay(until(condition), "1 millis"))

const ended = stdinClosed("sbx", "it has ended")

describe("The input of a process", () => {
  it.effect("has no more under way than its window, and a write is over when all has been taken", () =>
    Effect.gen(function*() {
      const { stdin, taken, total } = make()
      const writing = yield* Effect.fork(stdin.write(new Uint8Array(STDIN_WINDOW + 10)))
      yield* Effect.yieldNow()
      expect(total()).toBe(STDIN_WINDOW)
      expect(taken(4)).toBe(true)
      yield* Effect.yieldNow()
      expect(total()).toBe(STDIN_WINDOW + 4)
      expect(taken(STDIN_WINDOW)).toBe(true)
      yield* Effect.yieldNow()
      expect(total()).toBe(STDIN_WINDOW + 10)
      expect(writing.unsafePoll()).toBe(null)
      expect(taken(6)).toBe(true)
      expect(Exit.isSuccess(yield* Fiber.await(writing))).toBe(true)
    }))

  it.effect("tells an agent that takes what it was not given", () =>
    Effect.gen(function*() {
      const { stdin, taken } = make()
      const writing = yield* Effect.fork(stdin.write(new Uint8Array(3)))
      yield* Effect.yieldNow()
      expect(taken(4)).toBe(false)
      yield* Fiber.interrupt(writing)
    }))

  it.effect("closes after what was written before, and takes nothing then", () =>
    Effect.gen(function*() {
      const { sent, stdin, taken } = make()
      const writing = yield* Effect.fork(stdin.write(new Uint8Array(3)))
      const closing = yield* Effect.fork(stdin.close)
      yield* Effect.yieldNow()
      expect(sent.length).toBe(1)
      taken(3)
      yield* Fiber.join(writing)
      yield* Fiber.join(closing)
      yield* stdin.close
      expect(sent).toEqual([new Uint8Array(3), undefined])
      expect(yield* Effect.flip(stdin.write(new Uint8Array(1)))).toMatchObject({ code: "stdin_closed" })
    }))

  it.effect("fails whoever waits, and whoever comes later, when it has ended", () =>
    Effect.gen(function*() {
      const { end, stdin } = make()
      const first = yield* Effect.fork(stdin.write(new Uint8Array(10)))
      const second = yield* Effect.fork(stdin.write(new Uint8Array(10)))
      yield* Effect.yieldNow()
      end(() => ended)
      for (const fiber of [first, second]) {
        expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ code: "stdin_closed", sandboxId: "sbx" })
      }
      expect(yield* Effect.flip(stdin.write(new Uint8Array(0)))).toMatchObject({ code: "stdin_closed" })
      yield* stdin.close
    }))

  it.effect("lets the next one write when one was interrupted", () =>
    Effect.gen(function*() {
      const { stdin, taken, total } = make()
      const first = yield* Effect.fork(stdin.write(new Uint8Array(STDIN_WINDOW * 2)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      const second = yield* Effect.fork(stdin.write(new Uint8Array(7)))
      yield* Effect.yieldNow()
      expect(total()).toBe(STDIN_WINDOW)
      taken(STDIN_WINDOW)
      yield* Effect.yieldNow()
      expect(total()).toBe(STDIN_WINDOW + 7)
      taken(7)
      yield* Fiber.join(second)
    }))

  it.effect("sends any writes in order and whole, in whatever steps they are taken", () =>
    Effect.gen(function*() {
      const writes = fc.array(fc.uint8Array({ maxLength: 200_000 }), { maxLength: 6 })
      const steps = fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 5 })
      for (const [wanted, sizes] of fc.sample(fc.tuple(writes, steps), 60)) {
        const { sent, stdin, taken, total } = make()
        const writing = yield* Effect.fork(Effect.forEach(wanted, stdin.write, { discard: true }))
        let given = 0
        for (let turn = 0; writing.unsafePoll() === null; turn++) {
          yield* Effect.yieldNow()
          const under = total() - given
          expect(under).toBeLessThanOrEqual(STDIN_WINDOW)
          const step = Math.min(under, sizes[turn % sizes.length] ?? 1)
          if (step > 0) {
            given += step
            expect(taken(step)).toBe(true)
          }
        }
        expect(Buffer.concat(sent.map((bytes) => bytes ?? new Uint8Array())).equals(Buffer.concat(wanted))).toBe(true)
      }
    }))

  // A fiber gives way to others after so many steps, wherever it is: after some thousand by default.
  it.live("wakes up a write that has just found no room when something is taken", () =>
    Effect.gen(function*() {
      for (let steps = 10; steps < 120; steps++) {
        const { stdin, taken, total } = make()
        const writing = yield* Effect.fork(
          Effect.withMaxOpsBeforeYield(stdin.write(new Uint8Array(STDIN_WINDOW + 10)), steps)
        )
        while (total() < STDIN_WINDOW) yield* Effect.yieldNow()
        expect(taken(STDIN_WINDOW)).toBe(true)
        const wrote = yield* Effect.timeoutOption(until(() => total() === STDIN_WINDOW + 10), "1 second")
        expect([steps, wrote]).toEqual([steps, Option.some(undefined)])
        expect(taken(10)).toBe(true)
        yield* Fiber.join(writing)
      }
    }))
})
