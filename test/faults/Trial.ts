/**
 * One run, and something that happens to it.
 */
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import { compare } from "./Oracle.js"
import type { Outcome, Tally } from "./Tally.js"
import { Witness } from "./Witness.js"
import type { Place, Workload } from "./workloads/Workload.js"

/** How long nothing may come once nothing is in the way any more. */
const HANG_MS = 5_000
const LOOK_MS = 100

/** How long a call that hangs may take to be given up. */
const GIVE_UP = "20 seconds"

/** What is known of a trial. */
export interface Trial {
  readonly phase: string
  readonly index: number
  readonly workload: Workload
  readonly place: Place
  /** Whether what happens excuses this error. */
  readonly excuses: (error: AnySandboxSDKError) => boolean
  /** When the last of what happens was over, by `performance.now()`; `Infinity` while it goes on. */
  readonly lastFault?: () => number
  /** What happens, in words, when it has happened. */
  readonly faults?: () => ReadonlyArray<string>
}

export const markOf = (phase: string, index: number, part = 0): string =>
  `${phase}-${index}${part === 0 ? "" : `.${part}`}`

const nameOf = (error: AnySandboxSDKError): string =>
  "code" in error
    ? `${error._tag} ${error.code}`
    : error._tag === "TimeoutError"
    ? `${error._tag} ${error.operation}`
    : error._tag

/** Waits until there has been nothing for too long. Time in which this process did not get to look does not count. */
const watch = (witness: Witness, lastFault: () => number, quietMs: number) =>
  Effect.gen(function*() {
    let silent = 0
    let seen = witness.lastSeen
    let before = performance.now()
    while (silent < HANG_MS + quietMs) {
      yield* Effect.sleep(LOOK_MS)
      const now = performance.now()
      const last = Math.max(witness.lastSeen, lastFault())
      silent = last === seen ? silent + Math.min(now - before, 2 * LOOK_MS) : 0
      seen = last
      before = now
    }
  })

/**
 * Makes a run, looks at what comes of it, and puts that into the tally.
 */
export const attempt = (tally: Tally, trial: Trial, part = 0): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const { excuses, faults = () => [], index, lastFault = () => 0, phase, place, workload } = trial
    const mark = markOf(phase, index, part)
    const witness = new Witness()
    const running = yield* Effect.fork(workload.run(place, mark, witness))
    const exit = yield* Effect.raceFirst(
      Effect.map(Fiber.await(running), Option.some),
      Effect.as(
        watch(witness, () => lastFault() === Infinity ? performance.now() : lastFault(), workload.quietMs ?? 0),
        Option.none()
      )
    )
    if (Option.isNone(exit)) {
      yield* Effect.timeoutOption(Effect.disconnect(Fiber.interrupt(running)), GIVE_UP)
    }
    const failure = Option.flatMap(exit, (one) => Exit.isFailure(one) ? Option.some(one.cause) : Option.none())
    const error = Option.flatMap(failure, Cause.failureOption)
    const isWhole = Option.isSome(exit) && Option.isNone(failure)
    const { duplicated, lost, where } = compare(workload.said(mark), witness.seen(), isWhole)
    const outcome: Outcome = {
      mark,
      phase,
      index,
      workload: workload.name,
      end: Option.isNone(exit)
        ? "hung"
        : Option.isNone(failure)
        ? "completed"
        : Option.match(error, { onNone: () => Cause.pretty(failure.value), onSome: nameOf }),
      isUnfounded: Option.isSome(failure) && !Option.exists(error, excuses),
      isHung: Option.isNone(exit),
      isCounted: workload.isCounted,
      times: witness.times,
      lost,
      duplicated,
      where: [
        ...where,
        ...witness.complaints
      ],
      message: Option.match(error, { onNone: () => "", onSome: ({ message }) => message })
    }
    tally.add(outcome, faults())
    return outcome
  })
