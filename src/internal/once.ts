/**
 * Something that happens once, for a few who wait.
 */
import * as Effect from "effect/Effect"

/**
 * What happens once, with what it comes with.
 */
export interface Once<A> {
  /** Tells that it has happened; only the first time counts. */
  readonly happen: (value: A) => void
  readonly hasHappened: () => boolean
  /** Waits for it. */
  readonly wait: Effect.Effect<A>
}

/**
 * Makes it. A wait takes two steps, where that for a `Deferred` takes a dozen: it remembers whoever was interrupted, until it
 * happens. So it is for what surely will, and soon.
 */
export const makeOnce = <A>(): Once<A> => {
  let outcome: Effect.Effect<A> | undefined
  const waiting: Array<(outcome: Effect.Effect<A>) => void> = []
  return {
    happen: (value) => {
      if (outcome === undefined) {
        outcome = Effect.succeed(value)
        for (const resume of waiting.splice(0)) resume(outcome)
      }
    },
    hasHappened: () => outcome !== undefined,
    wait: Effect.async((resume) => {
      if (outcome === undefined) waiting.push(resume)
      else resume(outcome)
    })
  }
}
