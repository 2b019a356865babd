import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Option, Stream } from "effect"
import { makeInbox } from "../../src/internal/inbox.js"
import * as Pulls from "../../src/internal/pulls.js"

describe("inbox", () => {
  it.effect("gives everything that has arrived as one chunk, and tells its weight once it is taken", () =>
    Effect.gen(function*() {
      const taken: Array<number> = []
      const inbox = makeInbox<string, never>((weight) => taken.push(weight))
      inbox.push("a", 1)
      inbox.push("b", 20)
      expect(taken).toEqual([])
      inbox.end()
      inbox.push("late", 1)
      const chunks = yield* Stream.runCollect(Stream.chunks(inbox.stream))
      expect(Chunk.toReadonlyArray(chunks).map(Chunk.toReadonlyArray)).toEqual([["a", "b"]])
      expect(taken).toEqual([21])
    }))

  it.effect("wakes who waits, and fails after what was pushed before the failure", () =>
    Effect.gen(function*() {
      const inbox = makeInbox<number, string>(() => {})
      const seen: Array<number> = []
      const fiber = yield* Effect.fork(Stream.runForEach(inbox.stream, (n) => Effect.sync(() => seen.push(n))))
      yield* Effect.yieldNow()
      inbox.push(1, 1)
      yield* Effect.yieldNow()
      inbox.push(2, 1)
      inbox.fail("broken")
      expect(yield* Fiber.await(fiber)).toEqual(Exit.fail("broken"))
      expect(seen).toEqual([1, 2])
    }))

  it.effect("loses nothing when who waits is interrupted", () =>
    Effect.gen(function*() {
      const inbox = makeInbox<number, never>(() => {})
      const fiber = yield* Effect.fork(Stream.runDrain(inbox.stream))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      inbox.push(1, 1)
      inbox.end()
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(inbox.stream))).toEqual([1])
    }))

  // A fiber gives way to others after so many steps, wherever it is: after some thousand by default.
  it.scopedLive("wakes up who has just found nothing when something comes", () =>
    Effect.gen(function*() {
      for (let steps = 10; steps < 60; steps++) {
        const inbox = makeInbox<number, never>(() => {})
        const pull = yield* Pulls.toPull(inbox.stream)
        const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(pull, steps))
        yield* Effect.yieldNow()
        inbox.push(1, 1)
        const first = yield* Effect.timeoutOption(Fiber.join(fiber), "1 second")
        expect([steps, Option.map(first, Chunk.toReadonlyArray)]).toEqual([steps, Option.some([1])])
      }
    }))
})
