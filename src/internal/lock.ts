/**
 * Locks of which there are some for each sandbox.
 */
import * as Effect from "effect/Effect"

/**
 * Does something while nobody else has the lock, and waits for that as a semaphore of one permit does.
 */
export type Lock = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Makes a lock. There is a semaphore only while somebody wants it: one takes most of a kilobyte, and hardly any lock is ever
 * waited for.
 */
export const makeLock = (): Lock => {
  let semaphore: Effect.Semaphore | undefined
  let users = 0

  const leave = Effect.sync(() => {
    users -= 1
    if (users === 0) semaphore = undefined
  })

  return (effect) =>
    Effect.uninterruptibleMask((restore) => {
      users += 1
      semaphore ??= Effect.unsafeMakeSemaphore(1)
      return Effect.ensuring(restore(semaphore.withPermits(1)(effect)), leave)
    })
}
