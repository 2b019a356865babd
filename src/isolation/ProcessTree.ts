/**
 * Finds and kills processes where neither a namespace nor a control group holds them together.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Host from "./Host.js"

/** The environment variable that marks all that an agent without walls starts. */
export const MARK = "SANDBOX_OWNER"

/**
 * A process; `state` is the letter of proc(5): `T` is stopped, `Z` has ended.
 */
export interface Entry {
  readonly pid: number
  readonly parent: number
  readonly state: string
  /** Processor time that it has taken, and those of its children whose end it has heard of, in {@link TICK_MICROS}. */
  readonly ticks: number
  /** When it started, in the same unit. */
  readonly started: number
}

/**
 * What one look at the processes of this machine has shown. `isWhole` is whether each that was listed could still be asked.
 * What always is another process is in each list (of numbers that only grow), but may be gone or have ended before it is
 * asked.
 */
export interface Look {
  readonly entries: ReadonlyArray<Entry>
  readonly isWhole: boolean
}

/** The unit of times in /proc: a hundredth of a second on all machines that matter here (proc(5), time(7)). */
const TICK_MICROS = 10_000

const pids: Effect.Effect<ReadonlyArray<number>> = Effect.map(
  Host.readFolder("/proc"),
  (names) => names.filter((name) => /^\d+$/.test(name)).map(Number)
)

/**
 * State and parent are the third and fourth field of `/proc/<pid>/stat` (proc(5)), behind a name that may hold anything; the
 * four times are the fourteenth and those after it, the start is the 22nd.
 */
const table: Effect.Effect<Look> = Effect.gen(function*() {
  const entries: Array<Entry> = []
  let isWhole = true
  for (const pid of yield* pids) {
    const text = yield* Host.readText(`/proc/${pid}/stat`)
    if (Option.isNone(text)) {
      isWhole = false
      continue
    }
    const fields = text.value.slice(text.value.lastIndexOf(")") + 2).split(" ")
    const [state, parent] = fields
    if (state === undefined || parent === undefined) continue
    const ticks = fields.slice(11, 15).reduce((sum, time) => sum + Number(time), 0)
    entries.push({ pid, parent: Number(parent), state, ticks, started: Number(fields[19]) })
  }
  return { entries, isWhole }
})

/**
 * A look at a process and all that descends from it, parents before their children; also at what has ended and nobody has
 * asked for yet.
 */
export const look = (root: number): Effect.Effect<Look> =>
  Effect.map(table, ({ entries, isWhole }) => {
    const children = new Map<number, Array<Entry>>()
    for (const entry of entries) children.set(entry.parent, [...children.get(entry.parent) ?? [], entry])
    const found = entries.filter(({ pid }) => pid === root)
    // Those that are added are looked at as well.
    for (const { pid } of found) found.push(...children.get(pid) ?? [])
    return { entries: found, isWhole }
  })

/**
 * A process and all that descends from it and still runs, parents before their children.
 */
export const family = (root: number): Effect.Effect<ReadonlyArray<Entry>> =>
  Effect.map(look(root), ({ entries }) => entries.filter(({ state }) => state !== "Z" && state !== "X"))

/**
 * Processor time that a process and its descendants have taken, in microseconds. Of those that have ended too, for their
 * parents count it when they hear of it.
 */
export const cpuMicros = (root: number): Effect.Effect<number> =>
  Effect.map(look(root), ({ entries }) => entries.reduce((sum, { ticks }) => sum + ticks, 0) * TICK_MICROS)

/**
 * All that descends from a process and still runs, without itself.
 */
export const descendants = (root: number): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(family(root), (entries) => entries.map(({ pid }) => pid).filter((pid) => pid !== root))

/**
 * The processes whose mark, which they inherit with their environment, fits; with the mark of each.
 */
export const marked = (
  fits: (mark: string) => Effect.Effect<boolean>
): Effect.Effect<ReadonlyArray<number>> =>
  Effect.gen(function*() {
    const found: Array<number> = []
    for (const pid of yield* pids) {
      if (pid === process.pid) continue
      const environment = yield* Host.readText(`/proc/${pid}/environ`)
      const mark = Option.flatMap(environment, (text) =>
        Option.fromNullable(text.split("\0").find((entry) => entry.startsWith(`${MARK}=`))))
      if (Option.isSome(mark) && (yield* fits(mark.value.slice(MARK.length + 1)))) {
        found.push(pid)
      }
    }
    return found
  })

/**
 * Kills what a look finds, and looks again until it finds nothing; about five seconds at the longest. A process that is
 * there after that is in the log.
 */
export const killAll = (look: Effect.Effect<ReadonlyArray<number>>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const found = yield* look
    for (const pid of found) yield* Effect.ignore(Effect.try(() => process.kill(pid, "SIGKILL")))
    if (found.length > 0) return yield* Effect.fail(found)
  }).pipe(
    Effect.retry(Schedule.intersect(Schedule.exponential(2, 1.5), Schedule.recurs(17))),
    Effect.catchAll((found) => Effect.logError(`Processes are still there after SIGKILL: ${found.join(", ")}`))
  )
