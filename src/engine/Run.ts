/**
 * One run of code or of a command: its events, its limits, and how it is stopped.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { constants } from "node:os"
import type { AgentClient, RunEnd, RunHandle, RunRequest } from "../agent/Client.js"
import { OUTPUT_WINDOW } from "../agent/Protocol.js"
import { type RequestError, SandboxError, TimeoutError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import { EVENT_COST } from "../internal/eventLog.js"
import { makeOnce } from "../internal/once.js"
import { undisturbed } from "../internal/undisturbed.js"
import type { Turn } from "./Contexts.js"
import type { Journal, Outcome } from "./Executions.js"
import { makeOutput } from "./Output.js"
import type { Pausing } from "./Pausing.js"

/**
 * Why a run was stopped from outside.
 */
export type StopReason = "timeout" | "interrupted"

/**
 * The end of a process that did not say that it was done.
 */
export type Death = Extract<RunEnd, { readonly _tag: "Died" }>["message"]

/**
 * What to run, and how.
 */
export interface RunOptions {
  readonly sandboxId: string
  /** Where code is run. */
  readonly context?: Turn
  readonly request: RunRequest
  readonly timeoutMs: number
  /** How many bytes of output are delivered; the rest is dropped and counted. */
  readonly maxOutputSize: number
  /** How long an interrupted program may take to end before it is killed. */
  readonly interruptGrace: Duration.Duration
  /** Limits of time stand still while the sandbox is paused, and to be stopped it wakes up. */
  readonly pausing: Pausing
  /** Told when a process has started: its number inside, and how to speak to it. */
  readonly onStarted?: ((pid: number, handle: RunHandle) => void) | undefined
  /** Told at once when the process of the run has ended without saying so, with why it was stopped, if it was. */
  readonly onDeath: (reason: StopReason | undefined) => void
  /** Told at once when the interpreter has ended together with the run, as the code wanted. */
  readonly onExit: () => void
  /** What the death of the process means; also waits until all that it left behind is gone. */
  readonly describeDeath: (end: Death) => Effect.Effect<SandboxError>
  /** Told when the run is over: how long it took in milliseconds, how it ended, and how much it printed. */
  readonly onFinished: (durationMs: number, outcome: string, outputBytes: number) => Effect.Effect<void>
  /** The last resort, when an agent does not even obey a kill: ends the sandbox. */
  readonly abandon: Effect.Effect<void>
}

/** How long a killed process may take to be gone. SIGKILL cannot be refused: past this, it is the agent that hangs. */
const KILL_GRACE = Duration.seconds(5)

/**
 * Runs it to its end, and writes what happens into the journal, but for the end. Interrupting this stops it, and lasts
 * until it has stopped. Only where the caller cannot be interrupted: the wait for its end is where this can, so that
 * whatever was started is stopped.
 *
 * The agent may send as much as the log has room for. So a reader that is slow holds the program up in its write, and
 * nothing is dropped, unless the run is to go on without a reader.
 */
export const run = Effect.fnUntraced(function*(
  client: AgentClient,
  options: RunOptions,
  journal: Journal<ExecutionEvent>
): Effect.fn.Return<Outcome<ExecutionEvent>, RequestError> {
  const { context, sandboxId } = options
  const { dropped, log } = journal
  const clock = yield* Effect.clock
  const ended = makeOnce<RunEnd>()
  const startedAt = clock.unsafeCurrentTimeMillis()
  const window = Math.min(OUTPUT_WINDOW, journal.limit / 4)
  // Credit is given in steps, so that it costs few messages.
  const step = window / 4
  // What many small events take beyond the bytes that there is credit for.
  const slack = journal.limit / 8
  let handle: RunHandle | undefined
  let outstanding = 0
  let stopReason: StopReason | undefined
  let raised = false

  // ---- what there is room for ---------------------------------------------------------------------------------------

  const allow = (bytes: number): void => {
    outstanding += bytes
    handle?.allow(bytes)
  }

  /** Whether it goes on although nobody reads: then the agent may send at all times, and what has no room is dropped. */
  const isUnread = (): boolean => journal.detached && log.readers() === 0

  const topUp = (): void => {
    const wanted = window - outstanding
    if (handle === undefined || wanted < step) return
    const bytes = isUnread()
      ? wanted
      : Math.min(wanted, log.roomFor(window + step + slack) - outstanding - step - slack)
    if (bytes >= step) allow(bytes)
  }

  /** For how many of these bytes there is room: for all of them, where as many were allowed as there is room for. */
  const room = (bytes: number): number =>
    !journal.detached && stopReason === undefined
      ? bytes
      : Math.max(0, Math.min(bytes, log.roomFor(bytes + EVENT_COST) - EVENT_COST))

  // ---- what happens -------------------------------------------------------------------------------------------------

  const output = makeOutput({
    log,
    dropped,
    maxOutputSize: options.maxOutputSize,
    room,
    crowd: slack / EVENT_COST,
    now: () => Number(clock.unsafeCurrentTimeNanos() / 1000n)
  })

  const onEnd = (end: RunEnd): void => {
    if (end._tag === "Died") {
      options.onDeath(stopReason)
    } else if (end._tag === "Done" && end.message.exited === true) {
      options.onExit()
    }
    output.end()
    handle = undefined
    ended.happen(end)
  }

  const outcomeOf = (end: RunEnd): string =>
    stopReason ?? (end._tag === "Done" ? (raised ? "error" : "success") : end._tag.toLowerCase())

  // ---- the end ------------------------------------------------------------------------------------------------------

  // Interruptible, because a finalizer is not, and what cannot be interrupted cannot time out.
  const waitFor = (grace: Duration.Duration) =>
    ended.wait.pipe(Effect.interruptible, Effect.timeoutOption(grace), undisturbed, Effect.map(Option.isSome))

  const stop = (reason: StopReason): Effect.Effect<void> =>
    Effect.gen(function*() {
      if (stopReason === undefined) {
        stopReason = reason
        handle?.interrupt()
        // Room for what is in its pipes and for what it says when it is interrupted: nobody may be reading any more, and its
        // end is told behind all that. What the log has no room for is dropped.
        allow(OUTPUT_WINDOW)
        if (yield* waitFor(options.interruptGrace)) return
        handle?.kill()
        if (yield* waitFor(KILL_GRACE)) return
        yield* options.abandon
      }
      yield* ended.wait
    }).pipe(options.pausing.awake, Effect.when(() => !ended.hasHappened()), Effect.asVoid)

  const finished = (duration: number, exitCode: number | undefined): Outcome<ExecutionEvent> => {
    const what = {
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(dropped.stdout + dropped.stderr + (dropped.results ?? 0) === 0 ? {} : { dropped: { ...dropped } })
    }
    const timestamp = clock.unsafeCurrentTimeMillis()
    return { ...what, event: (seq) => ({ _tag: "Ended", seq, duration, timestamp, ...what }) }
  }

  const concludeDeath = Effect.fnUntraced(function*(end: Death) {
    const error = yield* options.describeDeath(end)
    if (stopReason === "timeout") {
      return yield* timedOut(options, true)
    }
    // For a command a signal is one way to end; for an interpreter it is not.
    const status = options.request._tag === "Command" && error.code === "kernel_died" ? signalStatus(end) : undefined
    return status === undefined ? yield* error : finished(clock.unsafeCurrentTimeMillis() - startedAt, status)
  })

  const conclude = Effect.fnUntraced(function*(end: RunEnd) {
    yield* options.onFinished(clock.unsafeCurrentTimeMillis() - startedAt, outcomeOf(end), output.delivered())
    switch (end._tag) {
      case "Died":
        return yield* concludeDeath(end.message)
      case "Lost":
        return yield* end.error
      case "Refused":
        return yield* options.request._tag === "Code" && end.error.code === "context_not_found"
          ? endedBefore(sandboxId)
          : end.error
      case "Done":
        return stopReason === "timeout"
          ? yield* timedOut(options, false)
          : finished(end.message.duration / 1000, end.message.exitCode)
    }
  })

  journal.begun(startedAt, options.context)
  log.append({
    _tag: "Started",
    seq: log.next(),
    executionId: journal.id,
    sandboxId,
    ...(context === undefined ? {} : { contextId: context.contextId }),
    timestamp: startedAt
  }, EVENT_COST)
  if (context !== undefined) {
    log.append({ _tag: "ExecutionCount", seq: log.next(), executionCount: context.executionCount }, EVENT_COST)
  }

  outstanding = window
  handle = yield* client.start(options.request, {
    started: (pid) => {
      if (handle !== undefined) options.onStarted?.(pid, handle)
    },
    output: (fd, bytes) => {
      outstanding -= bytes.length
      output.push(fd, bytes)
      topUp()
    },
    result: (result, bytes) => {
      outstanding -= bytes
      if (room(bytes) === bytes) {
        output.flush()
        log.append({ _tag: "Result", seq: log.next(), result }, bytes + EVENT_COST)
      } else {
        dropped.results = (dropped.results ?? 0) + 1
      }
      topUp()
    },
    error: (error, bytes) => {
      outstanding -= bytes
      // What an interrupted program raises is the interrupt.
      if (stopReason === undefined) {
        raised = true
        output.flush()
        log.append({ _tag: "Error", seq: log.next(), error }, bytes + EVENT_COST)
      }
      topUp()
    },
    end: onEnd
  }, window)
  log.onRoom(topUp)
  const timer = yield* Effect.forkDaemon(
    Effect.interruptible(Effect.zipRight(options.pausing.sleep(options.timeoutMs), stop("timeout")))
  )
  const waited = yield* Effect.exit(Effect.interruptible(ended.wait))
  if (Exit.isSuccess(waited)) {
    timer.unsafeInterruptAsFork(FiberId.none)
    return yield* conclude(waited.value)
  }
  yield* stop("interrupted")
  const end = yield* ended.wait
  timer.unsafeInterruptAsFork(FiberId.none)
  yield* Effect.ignore(conclude(end))
  return yield* Effect.failCause(waited.cause)
})

/** The context is there, and its interpreter had ended when nobody knew yet. */
const endedBefore = (sandboxId: string): SandboxError =>
  new SandboxError({
    code: "kernel_died",
    message: "The interpreter had ended before the run began: nothing of it was run. The next run gets a fresh one.",
    sandboxId
  })

/** The exit status of a command that a signal ended, as a shell tells it: 128 and the signal's number. */
const signalStatus = (end: Death): number | undefined => {
  const number = Object.entries(constants.signals).find(([name]) => name === end.signal)?.[1]
  return number === undefined ? undefined : 128 + number
}

const timedOut = (options: RunOptions, died: boolean): TimeoutError => {
  const what = options.request._tag === "Code" ? "The code" : "The command"
  const state = options.request._tag === "Command"
    ? ""
    : died
    ? " It did not heed the interrupt: its context was restarted, and its variables are lost."
    : " Its context has kept its variables."
  return new TimeoutError({
    message: `${what} ran longer than ${options.timeoutMs} ms and was stopped.${state}`,
    timeoutMs: options.timeoutMs,
    operation: "execution",
    ...(options.request._tag === "Code" ? { contextRestarted: died } : {})
  })
}
