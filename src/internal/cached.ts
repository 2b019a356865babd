/**
 * Effects that run once, and of which nothing but the answer is kept.
 */
import * as Effect from "effect/Effect"

/**
 * The same as `Effect.cached`, which keeps what was run, and with what, for as long as there is somebody to ask: four
 * kilobytes for each sandbox.
 */
export const cached = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> =>
  Effect.map(Effect.cached(effect), (running) => {
    let answer: Effect.Effect<A, E, R> = Effect.tap(running, (found) =>
      Effect.sync(() => {
        answer = Effect.succeed(found)
      }))
    return Effect.suspend(() => answer)
  })
