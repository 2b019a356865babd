/**
 * Ends what has expired, with one timer for all of it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** A fiber sleeps no longer than this at a time, so that a clock that jumps ahead is noticed. */
const LONGEST_SLEEP = 60_000

/**
 * Watches over expiry until the scope closes.
 *
 * @param next when the earliest of them expires, in milliseconds since the epoch.
 * @param expire ends all that has expired at that time.
 * @returns to be run whenever `next` may have become earlier.
 */
export const make = Effect.fn("Expiry.make")(function*(
  next: () => number | undefined,
  expire: (now: number) => Effect.Effect<void>
): Effect.fn.Return<Effect.Effect<void>, never, Scope.Scope> {
  const changes = yield* Queue.sliding<void>(1)
  const step = Effect.gen(function*() {
    const earliest = next()
    const now = yield* Clock.currentTimeMillis
    if (earliest === undefined) {
      yield* Queue.take(changes)
    } else if (earliest > now) {
      const sleep = Effect.sleep(Duration.millis(Math.min(earliest - now, LONGEST_SLEEP)))
      yield* Effect.raceFirst(Queue.take(changes), sleep)
    } else {
      yield* expire(now)
    }
  })
  yield* Effect.forkScoped(Effect.forever(step))
  return Effect.asVoid(Queue.offer(changes, undefined))
})
