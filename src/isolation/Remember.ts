/**
 * Remembers a success and nothing else.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/**
 * An effect that runs until it has succeeded once, and gives that from then on; who asks meanwhile waits for the one
 * that runs. A failure is tried again: what was missing may have been installed.
 */
export const success = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> =>
  Effect.map(Effect.makeSemaphore(1), (semaphore) => {
    let memory = Option.none<A>()
    const remembered = Effect.suspend(() =>
      Option.isSome(memory) ? Effect.succeed(memory.value) : Effect.map(effect, (value) => {
        memory = Option.some(value)
        return value
      })
    )
    const first = semaphore.withPermits(1)(remembered)
    // Each sandbox asks several times: who need not wait takes no turn.
    return Effect.suspend(() => Option.isSome(memory) ? Effect.succeed(memory.value) : first)
  })
