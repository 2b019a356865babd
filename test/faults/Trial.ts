/**
 * One run, and something that happens to it.
 */
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import { readFileSync } from "node:fs"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import { compare } from "./Oracle.js"
import type { Outcome, Tally } from "./Tally.js"
import { Witness } from "./Witness.js"
import type { Place, Workload } from "./workloads/Workload.js"

/** How long nothing may come once nothing is in the way any more. */
const HANG_MS = 5_000
const LOOK_MS = 100

/** The same on a machine that is so busy that nobody can tell. */
const BUSY_HANG_MS = 60_000

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

/** For how long some process of this machine has waited for a processor, in milliseconds (the kernel's accounting/psi.rst). */
const waited = (): number => {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync("/proc/pressure/cpu", "utf8"))?.[1] ?? 0) / 1_000
  } catch {
    return 0
  }
}

/**
 * Waits until there has been nothing for too long. Time in which the machine had more to do than it could does not count,
 * up to a limit: a run that waits for a processor does not hang.
 */
const watch = (witness: Witness, lastFault: () => number, quietMs: number) =>
  Effect.gen(function*() {
    let silent = 0
    let silentInAll = 0
    let seen = witness.lastSeen
    let before = { now: performance.now(), waited: waited() }
    while (silent < HANG_MS + quietMs && silentInAll < BUSY_HANG_MS + quietMs) {
      yield* Effect.sleep(LOOK_MS)
      const at = { now: performance.now(), waited: waited() }
      const passed = at.now - before.now
      const last = Math.max(witness.lastSeen, lastFault())
      silent = last === seen ? silent + Math.max(0, passed - (at.waited - before.waited)) : 0
      silentInAll = last === seen ? silentInAll + passed : 0
      seen = last
      before = at
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
