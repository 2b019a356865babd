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

const isStopped = ({ state }: ProcessTree.Entry): boolean => state === "T" || state === "t"

/** Some four seconds in all. */
const looks = Schedule.intersect(Schedule.exponential(1, 1.5), Schedule.recurs(18))

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

/**
 * By SIGSTOP to each process, parents before their children, so that no shell finds its job stopped; SIGCONT in the other
 * order. What the sandbox had stopped itself stays stopped. A program that has the kernel send it a SIGCONT (by a timer,
 * timer_create(2)) can wake itself.
 *
 * @param members what is to be stopped, parents before their children; asked for until all of it is.
 */
export const bySignals = (members: Effect.Effect<ReadonlyArray<ProcessTree.Entry>>): Freezing => {
  const stoppedByUs = new Set<number>()

  const thaw = Effect.gen(function*() {
    for (const { pid } of [...yield* members].reverse()) {
      if (stoppedByUs.has(pid)) yield* signal(pid, "SIGCONT")
    }
    stoppedByUs.clear()
  })

  const stopAll = Effect.gen(function*() {
    const running = (yield* members).filter((entry) =>
      // What sleeps in the kernel (waiting for a disk, or in vfork(2) for a child that has been stopped) gets the signal
      // before it comes out of it.
      !isStopped(entry) && !(entry.state === "D" && stoppedByUs.has(entry.pid))
    )
    for (const { pid } of running) {
      stoppedByUs.add(pid)
      yield* signal(pid, "SIGSTOP")
      yield* settle(pid)
    }
    if (running.length > 0) return yield* Effect.fail(running.length)
  })

  return {
    freeze: Effect.retry(stopAll, looks).pipe(
      Effect.onError(() => thaw),
      Effect.mapError((count) =>
        new SandboxError({
          code: "isolation_unavailable",
          message: `The sandbox could not be paused: ${count} of its processes did not stop.`
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
export const belowAgent = (root: number, isBehindShell = false): Freezing =>
  bySignals(Effect.map(ProcessTree.family(root), (entries) => withoutAgent(entries, root, isBehindShell)))

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
    onNone: () => bySignals(ProcessTree.family(root)),
    onSome: ({ freeze, thaw }) => ({
      freeze: freeze(Effect.map(ProcessTree.family(root), (entries) => entries.map(({ pid }) => pid))).pipe(
        Effect.mapError(({ message }) =>
          new SandboxError({ code: "isolation_unavailable", message: `The sandbox could not be paused: ${message}.` })
        )
      ),
      thaw: Effect.catchAll(thaw, ({ message }) => Effect.logError(`A sandbox stays paused: ${message}`))
    })
  })
