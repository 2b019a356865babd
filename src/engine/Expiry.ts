/**
 * Ends what is over, with one timer for all of it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** A fiber sleeps no longer than this at a time, so that a clock that jumps ahead is noticed. */
const LONGEST_SLEEP = 60_000

/**
 * Watches over what ends at a time until the scope closes.
 *
 * @param next when the earliest of them is over, in milliseconds since the epoch; `Infinity` when none ever is.
 * @param expire ends all that is over at that time.
 * @returns to be run whenever something may be over earlier than was known, with when that is. It costs nothing when
 * that is not before the next look.
 */
export const make = Effect.fn("Expiry.make")(function*(
  next: () => number,
  expire: (now: number) => Effect.Effect<void>
): Effect.fn.Return<(at: number) => Effect.Effect<void>, never, Scope.Scope> {
  const changes = yield* Queue.sliding<void>(1)
  let nextLook = -Infinity
  // The earliest that was told, until then: something may be over then that is not at all when it is looked at, such as what
  // is idle between two runs, and would be told again after each.
  let told = Infinity
  const step = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (told <= now) told = Infinity
    const earliest = Math.min(next(), told)
    if (earliest <= now) {
      yield* expire(now)
      return
    }
    nextLook = earliest
    const sleep = earliest === Infinity
      ? Effect.never
      : Effect.sleep(Duration.millis(Math.min(earliest - now, LONGEST_SLEEP)))
    yield* Effect.raceFirst(Queue.take(changes), sleep)
    nextLook = -Infinity
  })
  yield* Effect.forkScoped(Effect.forever(step))
  return (at) =>
    Effect.suspend(() => {
      if (at >= nextLook) return Effect.void
      told = Math.min(told, at)
      return Effect.asVoid(Queue.offer(changes, undefined))
    })
})
