/**
 * A lock that is taken strictly in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { acquireRelease } from "./finalizing.js"

/**
 * One at a time, first come, first served. (An `Effect.Semaphore` lets a newcomer pass those who wait.)
 */
export interface Turnstile {
  /** Waits for the turn; the next one begins when the scope closes. Who is interrupted while waiting leaves no gap. */
  readonly turn: Effect.Effect<void, never, Scope.Scope>
}

/**
 * Makes a turnstile.
 */
export const makeTurnstile: Effect.Effect<Turnstile> = Effect.sync(() => {
  let last: Deferred.Deferred<void> | undefined
  const turn = Effect.gen(function*() {
    const mine = yield* Deferred.make<void>()
    let arrived = false
    const before = yield* acquireRelease(
      Effect.sync(() => {
        const ahead = last
        last = mine
        return ahead
      }),
      // Who leaves without having had a turn hands on what it was waiting for. Who has had one does not: whatever comes next
      // would wait for all that ever were, one after the other.
      (ahead) =>
        ahead === undefined || arrived
          ? Deferred.succeed(mine, undefined)
          : Deferred.completeWith(mine, Deferred.await(ahead))
    )
    if (before !== undefined) {
      yield* Deferred.await(before)
    }
    arrived = true
  })
  return { turn }
})
