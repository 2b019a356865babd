/**
 * Who made something on the host that can outlive its maker (a folder, a cgroup), so that a later engine can tell
 * whether to clear it away.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Host from "./Host.js"

/**
 * A process: its number, when it started and in which process namespace, for numbers are used again.
 */
export const Owner = Schema.Struct({
  pid: Schema.Int,
  startTime: Schema.String.pipe(Schema.pattern(/^\d+$/)),
  namespace: Schema.String.pipe(Schema.pattern(/^\d+$/))
})

/** @category models */
export type Owner = typeof Owner.Type

/**
 * When a process started, in ticks since boot: the 22nd field of `/proc/<pid>/stat` (proc(5)). The second field is a
 * name in parentheses that may hold anything, so the count begins behind the last one. None when there is no such
 * process, or only its remains (a zombie).
 */
export const startTime = (pid: number | "self"): Effect.Effect<Option.Option<string>> =>
  Effect.map(
    Host.readText(`/proc/${pid}/stat`),
    Option.flatMap((text) => {
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
      return fields[0] === "Z" || fields[0] === "X" ? Option.none() : Option.fromNullable(fields[19])
    })
  )

/**
 * One process, told apart from a later one with its number.
 */
export interface Process {
  readonly pid: number
  readonly startTime: Option.Option<string>
}

/**
 * The process that has this number now.
 */
export const identify = (pid: number): Effect.Effect<Process> =>
  Effect.map(startTime(pid), (startTime) => ({ pid, startTime }))

/**
 * Whether that process still runs.
 */
export const isRunning = (known: Process): Effect.Effect<boolean> =>
  Effect.map(startTime(known.pid), Option.exists((now) => Option.contains(known.startTime, now)))

const namespace: Effect.Effect<string> = Effect.map(
  Host.readLink("/proc/self/ns/pid"),
  (link) => Option.getOrElse(link, () => "").replace(/\D/g, "") || "0"
)

/**
 * This process.
 */
export const self: Effect.Effect<Owner> = Effect.gen(function*() {
  const started = yield* startTime("self")
  return { pid: process.pid, startTime: Option.getOrElse(started, () => "0"), namespace: yield* namespace }
})

/**
 * Whether an owner is certainly gone. Of another process namespace nothing is certain.
 */
export const isGone = (owner: Owner): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    if (owner.namespace !== (yield* namespace)) return false
    return !Option.contains(yield* startTime(owner.pid), owner.startTime)
  })

const PREFIX = "sandbox-sdk"

/**
 * A file name that says who made it.
 */
export const toName = (owner: Owner): string => `${PREFIX}-${owner.pid}-${owner.startTime}-${owner.namespace}`

/**
 * The owner that a name made by {@link toName} tells, whatever follows it after a dash.
 */
export const fromName = (name: string): Option.Option<Owner> => {
  const [, pid, startTime, namespace] = /^sandbox-sdk-(\d+)-(\d+)-(\d+)(?:-|$)/.exec(name) ?? []
  return pid === undefined || startTime === undefined || namespace === undefined
    ? Option.none()
    : Option.some({ pid: Number(pid), startTime, namespace })
}

/**
 * The name for what this process makes.
 */
export const nameHere: Effect.Effect<string> = Effect.map(self, toName)

/**
 * Whether a name was made by an owner that is certainly gone.
 */
export const isDead = (name: string): Effect.Effect<boolean> =>
  Option.match(fromName(name), { onNone: () => Effect.succeed(false), onSome: isGone })
