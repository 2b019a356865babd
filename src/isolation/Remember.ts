/**
 * Remembers a success and nothing else.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"

/**
 * An effect that runs until it has succeeded once, and gives that from then on; who asks meanwhile waits for the one
 * that runs. A failure is tried again: what was missing may have been installed.
 */
export const success = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> =>
  Effect.map(SynchronizedRef.make(Option.none<A>()), (memory) =>
    SynchronizedRef.modifyEffect(
      memory,
      Option.match({
        onSome: (value) => Effect.succeed([value, Option.some(value)] as const),
        onNone: () => Effect.map(effect, (value) => [value, Option.some(value)] as const)
      })
    ))
