/**
 * Waiting where nothing can be interrupted.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * Has something that waits for a time, or for the first of several, wait for as long as it says, also in a fiber that cannot
 * be interrupted and that somebody wants to interrupt meanwhile: as a finalizer is run by who was told to go, and is told
 * again.
 *
 * `Effect.timeout` and its like wait in children of the fiber, and who is interrupted passes that on to its children, even
 * while it cannot be interrupted itself: the wait would be over at once, and a finalizer with it, in its middle. Who can be
 * interrupted interrupts this as any other effect, and it is over by then.
 */
export const undisturbed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forkDaemon(restore(effect)),
      (fiber) => Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
    )
  )
