/**
 * Lets a number of holders in at a time, strictly in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"

/**
 * A gate with a fixed number of places. (An `Effect.Semaphore` lets a newcomer pass those who wait, and does not say how
 * many are inside.)
 */
export interface Gate {
  /** Takes a place until the scope closes, and waits for it. Who is interrupted while waiting leaves no gap. */
  readonly enter: Effect.Effect<void, never, Scope.Scope>
  /** Takes a place until the scope closes, if one is free now and nobody waits for it. */
  readonly tryEnter: Effect.Effect<boolean, never, Scope.Scope>
  /** Takes a place, if one is free now and nobody waits for it, and gives what leaves it: to be called once. */
  readonly take: () => (() => void) | undefined
  /** How many places are taken. */
  readonly inside: () => number
}

/**
 * Makes a gate.
 */
export const makeGate = (places: number): Gate => {
  const waiting: Array<Deferred.Deferred<void>> = []
  let inside = 0

  const goOut = (): void => {
    const next = waiting.shift()
    if (next === undefined) {
      inside -= 1
    } else {
      // The place goes from hand to hand: a newcomer cannot take it in between.
      Deferred.unsafeDone(next, Effect.void)
    }
  }

  const leave = Effect.sync(goOut)

  // It needs nothing of who has entered, so that nothing of that is kept for it.
  const leaving = Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, leave))

  // While somebody waits, every place is taken: nobody passes.
  const isTaken = (): boolean => {
    if (inside < places) {
      inside += 1
      return true
    }
    return false
  }

  const take = Effect.sync(isTaken)

  const queue = (restore: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>) =>
    Effect.suspend(() => {
      const mine = Deferred.unsafeMake<void>(FiberId.none)
      waiting.push(mine)
      // Only the wait can be interrupted: what follows sees for certain whether the place had been handed over by then.
      return Effect.onInterrupt(restore(Deferred.await(mine)), () => {
        const index = waiting.indexOf(mine)
        if (index < 0) {
          return leave
        }
        waiting.splice(index, 1)
        return Effect.void
      })
    })

  return {
    enter: Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(take, (taken) => taken ? Effect.void : queue(restore)).pipe(
        Effect.zipRight(leaving)
      )
    ),
    tryEnter: Effect.uninterruptible(
      Effect.tap(take, (taken) => taken ? leaving : Effect.void)
    ),
    take: () => isTaken() ? goOut : undefined,
    inside: () => inside
  }
}
