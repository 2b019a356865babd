import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option } from "effect"
import { undisturbed } from "../../src/internal/undisturbed.js"

const settled = Effect.repeatN(Effect.yieldNow(), 20)

describe("undisturbed", () => {
  it.effect("waits on in a finalizer whose fiber is interrupted meanwhile, and again", () =>
    Effect.gen(function*() {
      const waiting = yield* Deferred.make<void>()
      const log: Array<string> = []
      const wait = Deferred.await(waiting).pipe(Effect.interruptible, Effect.timeoutOption("1 minute"), undisturbed)
      const fiber = yield* Effect.forkDaemon(Effect.ensuring(
        Effect.never,
        Effect.map(wait, (came) => log.push(Option.isSome(came) ? "came" : "late"))
      ))
      yield* settled
      for (let times = 0; times < 3; times++) {
        yield* Fiber.interruptFork(fiber)
        yield* settled
      }
      expect(log).toEqual([])
      yield* Deferred.succeed(waiting, undefined)
      yield* Fiber.await(fiber)
      expect(log).toEqual(["came"])
    }))

  it.effect("is interrupted where that is possible, and is over then", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const fiber = yield* Effect.forkDaemon(undisturbed(
        Effect.onInterrupt(Effect.never, () => Effect.zipRight(settled, Effect.sync(() => log.push("cleaned up"))))
      ))
      yield* settled
      const exit = yield* Fiber.interrupt(fiber)
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(log).toEqual(["cleaned up"])
    }))

  it.effect("succeeds and fails as what it waits for", () =>
    Effect.gen(function*() {
      expect(yield* undisturbed(Effect.succeed(1))).toBe(1)
      expect(yield* Effect.exit(undisturbed(Effect.fail("broken")))).toEqual(Exit.fail("broken"))
    }))
})
