/**
 * A queue between a callback that delivers and one fiber that takes everything that has arrived.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as Pulls from "./pulls.js"

/**
 * The bound is the deliverer's: it may only push what `onTaken` has allowed (flow control by credit).
 */
export interface Inbox<A, E> {
  /** Adds a value that counts `weight` (bytes). Ignored after the end. */
  readonly push: (value: A, weight: number) => void
  /** Ends it: what was pushed is still taken. Only the first of `end` and `fail` counts. */
  readonly end: () => void
  /** Ends it with a failure: what was pushed is still taken. */
  readonly fail: (error: E) => void
  /** All values that have arrived; waits for one when there is none. For one fiber at a time. */
  readonly stream: Stream.Stream<A, E>
}

/**
 * Makes an inbox.
 *
 * @param onTaken called with the weight of what was taken, each time something was.
 */
export const makeInbox = <A, E>(onTaken: (weight: number) => void): Inbox<A, E> => {
  let items: Array<A> = []
  let weight = 0
  let ended: Effect.Effect<never, Option.Option<E>> | undefined
  let wake: (() => void) | undefined

  const notify = (): void => {
    const waiting = wake
    wake = undefined
    waiting?.()
  }

  const finish = (outcome: Effect.Effect<never, Option.Option<E>>): void => {
    if (ended === undefined) {
      ended = outcome
      notify()
    }
  }

  const take: Effect.Effect<Chunk.Chunk<A>, Option.Option<E>> = Effect.suspend(() => {
    if (items.length > 0) {
      const taken = items
      const takenWeight = weight
      items = []
      weight = 0
      onTaken(takenWeight)
      return Effect.succeed(Chunk.unsafeFromArray(taken))
    }
    return ended ?? wait
  })

  // Nothing is done when the wait is interrupted, for that would be most of its work: what wakes up nobody does no harm.
  const wait: Effect.Effect<Chunk.Chunk<A>, Option.Option<E>> = Effect.async((resume) => {
    // Since the look that found nothing, this fiber may have given way to the one that delivers.
    if (items.length > 0 || ended !== undefined) return resume(take)
    wake = () => resume(take)
  })

  return {
    push: (value, valueWeight) => {
      if (ended === undefined) {
        items.push(value)
        weight += valueWeight
        notify()
      }
    },
    end: () => finish(Effect.fail(Option.none())),
    fail: (error) => finish(Effect.fail(Option.some(error))),
    stream: Pulls.repeat(take)
  }
}
