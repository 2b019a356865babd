import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Idempotency from "../../src/server/Idempotency.js"
import { JOURNAL_FILE } from "../../src/server/IdempotencyJournal.js"

const limits: Idempotency.IdempotencyLimits = { maxKeys: 3, maxBytes: 1_000, maxAgeMs: 60_000 }

const options = { graceMs: 1_000, repeatable: false, newest: false }

const keyed = (key: string, fingerprint = "f"): Idempotency.Keyed => ({ user: "u", key, fingerprint })

/** Answers with a number that grows, so that what is carried out again is seen. */
const makeCounter = (length = 1) => {
  let count = 0
  const carryOut = Effect.sync((): Idempotency.Outcome => {
    count += 1
    return {
      _tag: "Kept",
      answer: { status: 200, headers: { "x-count": String(count) }, body: new Uint8Array(length) }
    }
  })
  return { carryOut, count: () => count }
}

const temporary = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "sandbox-sdk-journal-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

describe("what is kept is bounded", () => {
  it.scoped("in number: the oldest are forgotten", () =>
    Effect.gen(function*() {
      const service = yield* Idempotency.make(limits)
      const { carryOut, count } = makeCounter()
      for (const key of ["a", "b", "c", "d"]) {
        yield* service.once(keyed(key), options, carryOut)
      }
      for (const key of ["b", "c", "d"]) {
        expect((yield* service.once(keyed(key), options, carryOut)).replayed).toBe(true)
      }
      expect(count()).toBe(4)
      expect((yield* service.once(keyed("a"), options, carryOut)).replayed).toBe(false)
    }))

  it.scoped("in bytes: of the oldest, only that they were answered is known", () =>
    Effect.gen(function*() {
      const service = yield* Idempotency.make(limits)
      const { carryOut, count } = makeCounter(600)
      yield* service.once(keyed("a"), options, carryOut)
      yield* service.once(keyed("b"), options, carryOut)
      expect(yield* Effect.flip(service.once(keyed("a"), options, carryOut))).toMatchObject({ code: "outcome_unknown" })
      expect((yield* service.once(keyed("b"), options, carryOut)).answer.body).toHaveLength(600)
      const large = makeCounter(1_001)
      expect((yield* service.once(keyed("c"), options, large.carryOut)).answer.body).toHaveLength(1_001)
      expect(yield* Effect.flip(service.once(keyed("c"), options, large.carryOut))).toMatchObject({
        code: "outcome_unknown"
      })
      expect([count(), large.count()]).toEqual([2, 1])
    }))

  it.scoped("in time, which begins when the request has ended", () =>
    Effect.gen(function*() {
      const service = yield* Idempotency.make(limits)
      const { carryOut, count } = makeCounter()
      const gate = yield* Deferred.make<void>()
      const first = yield* Effect.fork(
        service.once(keyed("a"), options, Effect.zipRight(Deferred.await(gate), carryOut))
      )
      yield* TestClock.adjust(limits.maxAgeMs * 10)
      const second = yield* Effect.fork(service.once(keyed("a"), options, carryOut))
      yield* TestClock.adjust(1)
      yield* Deferred.succeed(gate, undefined)
      expect([(yield* Fiber.join(first)).replayed, (yield* Fiber.join(second)).replayed]).toEqual([false, true])
      yield* TestClock.adjust(limits.maxAgeMs - 1)
      expect((yield* service.once(keyed("a"), options, carryOut)).replayed).toBe(true)
      yield* TestClock.adjust(1)
      expect((yield* service.once(keyed("a"), options, carryOut)).replayed).toBe(false)
      expect(count()).toBe(2)
    }))

  it.scoped("for each user: many keys of one do not make another's forgotten", () =>
    Effect.gen(function*() {
      const service = yield* Idempotency.make(limits)
      const { carryOut } = makeCounter()
      yield* service.once({ ...keyed("a"), user: "v" }, options, carryOut)
      yield* Effect.forEach(["a", "b", "c", "d", "e"], (key) => service.once(keyed(key), options, carryOut))
      expect((yield* service.once({ ...keyed("a"), user: "v" }, options, carryOut)).replayed).toBe(true)
    }))

  it.scoped("in the journal, which is written anew", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      const file = Path.join(directory, JOURNAL_FILE)
      const { carryOut } = makeCounter(400_000)
      const service = yield* Idempotency.make({ ...limits, maxBytes: 1_000_000 }, directory)
      for (let index = 0; index < 60; index += 1) {
        yield* service.once(keyed(`k${index}`), options, carryOut)
      }
      // Sixty answers of half a megabyte are thirty.
      expect((yield* Effect.promise(() => Fs.stat(file))).size).toBeLessThan(12 * 1024 * 1024)
      const next = yield* Idempotency.make({ ...limits, maxBytes: 1_000_000 }, directory)
      expect((yield* next.once(keyed("k59"), options, carryOut)).replayed).toBe(true)
      expect((yield* Effect.promise(() => Fs.readdir(directory))).length).toBe(1)
      expect((yield* Effect.promise(() => Fs.stat(file))).mode & 0o077).toBe(0)
    }))
})

describe("a run", () => {
  it.scoped("is found by its key as soon as it has an id, and not when it was refused", () =>
    Effect.gen(function*() {
      const service = yield* Idempotency.make(limits)
      const first = yield* service.run(keyed("a"))
      if (first._tag !== "Fresh") return yield* Effect.dieMessage("It is known already.")
      const second = yield* Effect.fork(service.run(keyed("a")))
      yield* Effect.yieldNow()
      yield* first.release
      const claim = yield* Fiber.join(second)
      if (claim._tag !== "Fresh") return yield* Effect.dieMessage("It was refused, and yet it is known.")
      const third = yield* Effect.fork(service.run(keyed("a")))
      yield* Effect.yieldNow()
      claim.begun("exe_1")
      yield* claim.release
      expect(yield* Fiber.join(third)).toEqual({ _tag: "Known", executionId: "exe_1" })
      expect(service.executionOf("u", "a")).toBe("exe_1")
      // It is not forgotten while it goes on.
      yield* TestClock.adjust(limits.maxAgeMs * 10)
      expect(yield* service.run(keyed("a"))).toEqual({ _tag: "Known", executionId: "exe_1" })
      claim.ended()
      yield* TestClock.adjust(limits.maxAgeMs)
      expect((yield* service.run(keyed("a")))._tag).toBe("Fresh")
    }))

  it.scoped("of a server that has ended is not run again", () =>
    Effect.gen(function*() {
      const directory = yield* temporary
      const first = yield* Idempotency.make(limits, directory)
      const claim = yield* first.run(keyed("a"))
      if (claim._tag === "Fresh") claim.begun("exe_1")
      const refused = yield* first.run(keyed("b"))
      if (refused._tag === "Fresh") yield* refused.release
      const next = yield* Idempotency.make(limits, directory)
      expect(yield* Effect.flip(next.run(keyed("a")))).toMatchObject({ _tag: "SandboxError", code: "outcome_unknown" })
      expect((yield* next.run(keyed("b")))._tag).toBe("Fresh")
    }))
})
