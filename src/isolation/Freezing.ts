/**
 * How a whole sandbox is stopped where it is, and goes on later: by its control group where there is one for that, else by
 * signals.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { SandboxError, SandboxSDKError } from "../Errors.js"
import type { Group } from "./Cgroup.js"
import * as Host from "./Host.js"
import * as ProcessTree from "./ProcessTree.js"

/**
 * Stops everything in a sandbox, and lets it go on.
 */
export interface Freezing {
  /**
   * Succeeds when nothing of it runs any more. Fails with `isolation_unavailable`, and then all of it runs on; with
   * `unsupported` where there is no way to do it.
   */
  readonly freeze: Effect.Effect<void, SandboxError | SandboxSDKError>
  readonly thaw: Effect.Effect<void>
}

const signal = (pid: number, name: "SIGSTOP" | "SIGCONT"): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => process.kill(pid, name)))

/** Stopped, or at its end. */
const isStopped = ({ state }: ProcessTree.Entry): boolean => /[TtZX]/.test(state)

/** Some four seconds in all; ten where each look takes long, as with processes that do not stay stopped. */
const looks = Schedule.exponential(1, 1.5).pipe(
  Schedule.either(Schedule.spaced("50 millis")),
  Schedule.intersect(Schedule.recurs(80)),
  Schedule.upTo("10 seconds")
)

/** The bit of SIGSTOP in a set of signals (proc(5), `ShdPnd`). */
const SIGSTOP_BIT = 1n << 18n

/**
 * How often a process has been given a processor, if it stands: it is stopped, or sleeps in the kernel (waiting for a disk,
 * or in vfork(2) for a child that is stopped) and will be before it comes out.
 */
const standing = (pid: number): Effect.Effect<Option.Option<string>> =>
  Effect.map(
    Host.readText(`/proc/${pid}/status`),
    Option.flatMap((status) => {
      const [, state = ""] = /^State:\s+(\S)/m.exec(status) ?? []
      const pending = BigInt(`0x${/^ShdPnd:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`)
      const switches = status.match(/^(?:non)?voluntary_ctxt_switches:.*$/gm) ?? []
      return /[TtZX]/.test(state) || (state === "D" && (pending & SIGSTOP_BIT) !== 0n)
        ? Option.some(switches.join())
        : Option.none()
    })
  )

/** Waits until a process has stopped: one that hears of its child first would find it stopped later on. */
const settle = (pid: number): Effect.Effect<void> =>
  Host.readText(`/proc/${pid}/stat`).pipe(
    Effect.filterOrFail(Option.match({
      onNone: () => true,
      onSome: (stat) => /^[TtZXD]/.test(stat.slice(stat.lastIndexOf(")") + 2))
    })),
    Effect.retry(Schedule.intersect(Schedule.spaced("1 millis"), Schedule.recurs(20))),
    Effect.ignore
  )

/** Holds a whole sandbox still for a moment, by means that must not outlast this program. */
export interface Hold {
  readonly hold: Effect.Effect<void, unknown>
  readonly release: Effect.Effect<void>
}

/**
 * By SIGSTOP to each process, parents before their children, so that no shell finds its job stopped; SIGCONT in the other
 * order. What the sandbox had stopped itself stays stopped.
 *
 * Processes can wake each other, and be others each time that one looks. So either all are held while they are told to stop;
 * or it takes two whole looks that show the same processes standing or at their end, none of which has been given a processor
 * from one look to the other: then there was a moment at which none ran, and so nobody who could wake one. What the kernel itself sends (a
 * SIGCONT by a timer, timer_create(2)) is not caught by that.
 *
 * @param members what is to be stopped, parents before their children; asked for until all of it is.
 */
export const bySignals = (members: Effect.Effect<ProcessTree.Look>, hold?: Hold): Freezing => {
  const stoppedByUs = new Set<number>()

  const stop = (pid: number) => {
    stoppedByUs.add(pid)
    return signal(pid, "SIGSTOP")
  }

  const thaw = Effect.gen(function*() {
    for (const { pid } of [...(yield* members).entries].reverse()) {
      if (stoppedByUs.has(pid)) yield* signal(pid, "SIGCONT")
    }
    stoppedByUs.clear()
  })

  const untilProven = Effect.suspend(() => {
    let before: string | undefined
    return Effect.gen(function*() {
      const { entries, isWhole } = yield* members
      const found = yield* Effect.forEach(
        entries,
        ({ pid }) => Effect.map(standing(pid), (switches) => ({ pid, switches }))
      )
      const running = found.filter(({ switches }) => Option.isNone(switches))
      for (const { pid } of running) yield* Effect.zipRight(stop(pid), settle(pid))
      const proof = isWhole && running.length === 0
        ? found.map(({ pid, switches }) => `${pid} ${Option.getOrElse(switches, () => "")}`).join("\n")
        : undefined
      const isProven = proof !== undefined && proof === before
      before = proof
      if (!isProven) return yield* Effect.fail(running.length)
    }).pipe(Effect.retry(looks))
  })

  const whileHeld = (by: Hold) =>
    Effect.acquireUseRelease(
      by.hold,
      () =>
        Effect.gen(function*() {
          const { entries } = yield* members
          for (const entry of entries) if (!isStopped(entry)) yield* stop(entry.pid)
          return entries
        }),
      () => by.release
    ).pipe(
      Effect.tap((entries) =>
        Effect.filter(entries, ({ pid }) => Effect.map(standing(pid), Option.isNone)).pipe(
          Effect.flatMap(Effect.filter(({ pid }) => Host.exists(`/proc/${pid}`))),
          Effect.filterOrFail((running) => running.length === 0, (running) => running.length),
          Effect.retry(looks)
        )
      ),
      Effect.asVoid
    )

  return {
    freeze: (hold === undefined ? untilProven : Effect.orElse(whileHeld(hold), () => untilProven)).pipe(
      Effect.onError(() => thaw),
      Effect.mapError((count) =>
        new SandboxError({
          code: "isolation_unavailable",
          message: count > 0
            ? `The sandbox could not be paused: ${count} of its processes did not stop.`
            : "The sandbox could not be paused: so many processes of this machine come and go that it could not be seen " +
              "whether all of its own have stopped. Try again."
        })
      )
    ),
    thaw
  }
}

/** Processes without the first one, and without its eldest child where that is the agent. */
const withoutAgent = (entries: ReadonlyArray<ProcessTree.Entry>, root: number, isBehindShell: boolean) => {
  // All others descend from the agent, so that what the shell has adopted is younger.
  const [agent] = isBehindShell
    ? entries.filter(({ parent }) => parent === root).sort((one, other) => one.started - other.started)
    : []
  return entries.filter(({ pid }) => pid !== root && pid !== agent?.pid)
}

/**
 * By signals to all but the agent, which ends the others when this program is killed: for sandboxes that the kernel does
 * not end then.
 *
 * @param root the process that all others descend from: the agent.
 * @param isBehindShell whether it is a shell, whose eldest child is the agent. That shell hears of a child that is stopped,
 *   and has the agent go on.
 */
export const belowAgent = (root: number, isBehindShell = false, hold?: Hold): Freezing =>
  bySignals(
    Effect.map(ProcessTree.look(root), ({ entries, isWhole }) => ({
      entries: withoutAgent(entries, root, isBehindShell),
      isWhole
    })),
    hold
  )

/**
 * For sandboxes whose processes cannot be reached from here.
 */
export const unsupported: Freezing = {
  freeze: Effect.suspend(() =>
    new SandboxSDKError({
      code: "unsupported",
      message: "The sandbox cannot be paused: its processes are on another machine, or out of this program's sight."
    })
  ),
  thaw: Effect.void
}

/**
 * By the group's freezer, or by signals where it has none.
 *
 * @param root the process that all others descend from.
 */
export const make = (group: Group, root: number): Freezing =>
  Option.match(group.freezer, {
    onNone: () => bySignals(ProcessTree.look(root)),
    onSome: ({ freeze, thaw }) => ({
      freeze: Effect.mapError(
        freeze,
        ({ message }) =>
          new SandboxError({ code: "isolation_unavailable", message: `The sandbox could not be paused: ${message}.` })
      ),
      thaw: Effect.catchAll(thaw, ({ message }) => Effect.logError(`A sandbox stays paused: ${message}`))
    })
  })
