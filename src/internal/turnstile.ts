/**
 * A lock that is taken strictly in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { acquireRelease } from "./finalizing.js"

/**
 * One at a time, first come, first served. (An `Effect.Semaphore` lets a newcomer pass those who wait.)
 */
export interface Turnstile {
  /** Waits for the turn; the next one begins when the scope closes. Who is interrupted while waiting leaves no gap. */
  readonly turn: Effect.Effect<void, never, Scope.Scope>
  /**
   * Waits for the turn and does something in it: the same without a scope, at a fraction of its cost. The wait can be
   * interrupted even where the caller cannot be.
   */
  readonly inTurn: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Makes a turnstile.
 */
export const makeTurnstile: Effect.Effect<Turnstile> = Effect.sync(() => {
  let last: Deferred.Deferred<void> | undefined

  const enter = () => {
    const mine = Deferred.unsafeMake<void>(FiberId.none)
    const ahead = last
    last = mine
    let arrived = ahead === undefined
    return {
      ahead,
      arrive: (): void => {
        arrived = true
      },
      // Who leaves without having had a turn hands on what it was waiting for. Who has had one does not: whatever comes next
      // would wait for all that ever were, one after the other.
      leave: (): void => {
        if (last === mine && arrived) last = undefined
        Deferred.unsafeDone(mine, ahead === undefined || arrived ? Effect.void : Deferred.await(ahead))
      }
    }
  }

  return {
    turn: Effect.suspend(() =>
      Effect.flatMap(
        acquireRelease(Effect.sync(enter), ({ leave }) => Effect.sync(leave)),
        ({ ahead, arrive }) =>
          Effect.zipRight(ahead === undefined ? Effect.void : Deferred.await(ahead), Effect.sync(arrive))
      )
    ),
    inTurn: (effect) =>
      Effect.uninterruptibleMask((restore) => {
        const { ahead, arrive, leave } = enter()
        const use = ahead === undefined ? restore(effect) : Effect.flatMap(
          Effect.interruptible(Deferred.await(ahead)),
          () => {
            arrive()
            return restore(effect)
          }
        )
        return Effect.flatMap(Effect.exit(use), (exit) => {
          leave()
          return exit
        })
      })
  }
})
