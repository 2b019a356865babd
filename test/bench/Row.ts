/**
 * A row of the benchmark: something of ours beside what a user would have instead, measured in turns in one run.
 */
import { Data, Effect } from "effect"
import type { Point } from "./Statistics.js"
import { median, quantile } from "./Statistics.js"

/**
 * Why a row, or a part of it, was not measured: what is missing, in a sentence.
 */
export class Missing {
  readonly _tag = "Missing"
  constructor(readonly what: string) {}
}

/**
 * A measurement went wrong.
 */
export class Failed extends Data.TaggedError("Failed")<{ readonly message: string; readonly cause?: unknown }> {}

/**
 * Whatever went wrong, as what a row may fail with.
 */
export const explained = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(
    effect,
    (error) => error instanceof Missing ? error : new Failed({ message: String(error), cause: error })
  )

/**
 * Measurements of one thing, in the unit of the row.
 */
export interface Series {
  readonly median: number
  readonly p99: number
  readonly count: number
}

/**
 * What was found out.
 */
export interface Finding {
  /** Of what: "down", "over HTTP"; empty where a row measures one thing. */
  readonly part: string
  readonly unit: string
  readonly ours: Series
  readonly reference?: Series | undefined
  /** What is compared with the goal: how many times the reference's median ours is, or for rates the other way round. */
  readonly value: number
  /** What the goal asks of `value`. */
  readonly goal?: { readonly atMost: number } | { readonly atLeast: number } | undefined
  /** A curve that `value` was fitted to. */
  readonly curve?: ReadonlyArray<Point> | undefined
}

/**
 * How much is measured.
 */
export interface Effort {
  /** Every number of rounds is multiplied by this; 1 for a full run. */
  readonly scale: number
}

/**
 * A row.
 */
export interface Row {
  readonly id: string
  readonly title: string
  readonly reference: string
  /** Measures it. `rounds` of an {@link Effort} are at least 3. */
  readonly measure: (effort: Effort) => Effect.Effect<ReadonlyArray<Finding>, Missing | Error>
}

/**
 * What became of a row.
 */
export type Outcome =
  | { readonly row: Row; readonly findings: ReadonlyArray<Finding> }
  | { readonly row: Row; readonly missing: string }

/**
 * How many rounds.
 */
export const rounds = ({ scale }: Effort, full: number): number => Math.max(3, Math.round(full * scale))

/**
 * The milliseconds that an effect takes.
 */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(effect, () => performance.now() - start)
  })

/** How many at once, where many are asked for at once. */
export const AT_ONCE = 32

/**
 * The milliseconds that `total` of these take, so many at a time.
 */
export const atOnce = <E, R>(total: number, effect: Effect.Effect<unknown, E, R>) =>
  timed(Effect.forEach(Array.from({ length: total }), () => effect, { concurrency: AT_ONCE, discard: true }))

/**
 * Makes a series of measured values.
 */
export const series = (values: ReadonlyArray<number>): Series => ({
  median: median(values),
  p99: quantile(values, 0.99),
  count: values.length
})

/**
 * Measures two things in turns, so that what else the machine does falls on both alike; who begins alternates. Each gives
 * one value a turn. The first turns warm up and count for nothing.
 */
export const inTurns = <E1, R1, E2, R2>(
  count: number,
  ours: Effect.Effect<number, E1, R1>,
  reference: Effect.Effect<number, E2, R2>,
  warmUp = 2
): Effect.Effect<
  { readonly ours: ReadonlyArray<number>; readonly reference: ReadonlyArray<number> },
  E1 | E2,
  R1 | R2
> =>
  Effect.gen(function*() {
    const found = { ours: new Array<number>(), reference: new Array<number>() }
    for (let turn = -warmUp; turn < count; turn++) {
      const first = turn % 2 === 0 ? yield* ours : undefined
      const theirs = yield* reference
      const mine = first ?? (yield* ours)
      if (turn >= 0) {
        found.ours.push(mine)
        found.reference.push(theirs)
      }
    }
    return found
  })

/**
 * The finding of two series of times: less is better.
 */
export const times = (
  values: { readonly ours: ReadonlyArray<number>; readonly reference: ReadonlyArray<number> },
  atMost: number,
  part = "",
  unit = "ms"
): Finding => {
  const ours = series(values.ours)
  const reference = series(values.reference)
  return { part, unit, ours, reference, value: ours.median / reference.median, goal: { atMost } }
}

/**
 * The finding of two series of times that is told as a rate: more is better. `amount` is what one turn carries, in `unit`
 * without "a second".
 */
export const rates = (
  values: { readonly ours: ReadonlyArray<number>; readonly reference: ReadonlyArray<number> },
  amount: number,
  atLeast: number,
  part: string,
  unit: string
): Finding => {
  const perSecond = (ms: ReadonlyArray<number>) => {
    const own = series(ms)
    // The slowest hundredth of times is the slowest hundredth of rates.
    return { ...own, median: amount / own.median * 1_000, p99: amount / own.p99 * 1_000 }
  }
  const ours = perSecond(values.ours)
  const reference = perSecond(values.reference)
  return { part, unit, ours, reference, value: ours.median / reference.median, goal: { atLeast } }
}

/**
 * Whether a finding is what was to be reached; `undefined` where there is no goal.
 */
export const reached = ({ goal, value }: Finding): boolean | undefined =>
  goal === undefined ? undefined : "atMost" in goal ? value <= goal.atMost : value >= goal.atLeast
