/**
 * A limit of time that is no race.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { LONGEST_MS } from "./timedPull.js"

/**
 * Does something in a fiber of its own, whose references stay its own, and fails when that has not ended within so many
 * milliseconds. `Effect.timeoutFail` would have one fiber more, which sleeps, and is interrupted each time that it was not
 * needed. What is under way has ended when this has.
 */
export const within = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  milliseconds: number,
  late: () => E2
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), (fiber) =>
      Effect.interruptible(Effect.async<A, E | E2>((resume) => {
        const timer = setTimeout(() => {
          resume(Effect.zipRight(Fiber.interrupt(fiber), Effect.failSync(late)))
        }, Math.min(milliseconds, LONGEST_MS))
        fiber.addObserver((exit) => {
          clearTimeout(timer)
          resume(exit)
        })
        return Effect.suspend(() => {
          clearTimeout(timer)
          return Fiber.interrupt(fiber)
        })
      })))
  )
