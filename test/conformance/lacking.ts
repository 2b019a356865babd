/**
 * Tests that need what a layer has not: they are skipped, with what the layer said of it as the reason.
 */
import { Deferred, Effect, Option } from "effect"
import type { TestContext } from "vitest"
import type { It } from "./support.js"

/** What the test that runs now was told to be missing. */
export interface Lacking {
  /** Tells it: the test is skipped then, whatever else it makes of it. */
  readonly tell: (reason: string) => Effect.Effect<void>
  /** An `it` whose tests are skipped when something is missing, or from the start when there is a reason (by title). */
  readonly skipping: (it: It, reasons?: Readonly<Record<string, string>>) => It
}

/** Makes it. Tests are run one after the other. */
export const makeLacking = (): Lacking => {
  let lacking = Effect.runSync(Deferred.make<string>())

  const made = <A, E, R>(
    context: TestContext,
    reason: string | undefined,
    test: Effect.Effect<A, E, R>
  ): Effect.Effect<void, E, R> =>
    Effect.gen(function*() {
      lacking = yield* Deferred.make<string>()
      const told = reason ?? (yield* Effect.raceFirst(Effect.as(test, undefined), Deferred.await(lacking)).pipe(
        Effect.catchAllCause((cause) =>
          Effect.flatMap(Deferred.poll(lacking), (told) => Option.isSome(told) ? told.value : Effect.failCause(cause))
        )
      ))
      if (told !== undefined) {
        context.skip(told)
      }
    })

  return {
    tell: (reason) => Effect.suspend(() => Effect.asVoid(Deferred.succeed(lacking, reason))),
    skipping: (it, reasons = {}) => ({
      scoped: (name, test, timeout) =>
        it.scoped(name, (context) => made(context, reasons[name], test(context)), timeout),
      effect: (name, test, timeout) =>
        it.effect(name, (context) => made(context, reasons[name], test(context)), timeout)
    })
  }
}
