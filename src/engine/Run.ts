/**
 * One run of code or of a command: its events, its limits, and how it is stopped.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { constants } from "node:os"
import type { AgentClient, RunEnd, RunHandle, RunRequest } from "../agent/Client.js"
import { OUTPUT_WINDOW } from "../agent/Protocol.js"
import type { RequestError, SandboxError } from "../Errors.js"
import { TimeoutError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import { makeInbox } from "../internal/inbox.js"
import { makeUtf8Decoder } from "./Utf8.js"

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
  readonly executionId: string
  readonly sandboxId: string
  readonly contextId?: string
  readonly executionCount?: number
  readonly request: RunRequest
  readonly timeoutMs: number
  /** How many bytes of output are delivered; the rest is dropped and counted. */
  readonly maxOutputSize: number
  /** How long an interrupted program may take to end before it is killed. */
  readonly interruptGrace: Duration.Duration
  /** Told at once when the process of the run has ended without saying so, with why it was stopped, if it was. */
  readonly onDeath: (reason: StopReason | undefined) => void
  /** Told at once when the interpreter has ended together with the run, as the code wanted. */
  readonly onExit: () => void
  /** What the death of the process means; also waits until all that it left behind is gone. */
  readonly describeDeath: (end: Death) => Effect.Effect<SandboxError>
  /** Told when the run is over: how long it took in milliseconds, how it ended, and how much it printed. */
  readonly onFinished: (durationMs: number, outcome: string, outputBytes: number) => Effect.Effect<void>
  /** Gives, if ever, the error for which the run is to be stopped, and with which it then fails. */
  readonly halted: Effect.Effect<SandboxError>
  /** The last resort, when an agent does not even obey a kill: ends the sandbox. */
  readonly abandon: Effect.Effect<void>
}

/** How long a killed process may take to be gone. SIGKILL cannot be refused: past this, it is the agent that hangs. */
const KILL_GRACE = Duration.seconds(5)

/** Bytes that are thrown away are allowed again in steps of this, so that they cost few messages. */
const DISCARD_STEP = 64 * 1024

type Fd = 1 | 2

/**
 * Starts the run and gives its events. Closing the scope before the end stops it, and waits until it has stopped.
 */
export const start = Effect.fnUntraced(function*(
  client: AgentClient,
  options: RunOptions
): Effect.fn.Return<Stream.Stream<ExecutionEvent, RequestError>, SandboxError, Scope.Scope> {
  const { contextId, executionId, sandboxId } = options
  const clock = yield* Effect.clock
  const ended = yield* Deferred.make<RunEnd>()
  const decoders = { 1: makeUtf8Decoder(), 2: makeUtf8Decoder() }
  const dropped = { 1: 0, 2: 0 }
  const startedAt = clock.unsafeCurrentTimeMillis()
  let handle: RunHandle | undefined
  let budget = options.maxOutputSize
  let stopReason: StopReason | undefined
  let halt: SandboxError | undefined
  let seq = 0
  // Bytes that have arrived and are part of no event yet: held back by a decoder, or thrown away.
  let unclaimed = 0
  let raised = false
  let arrived = 0

  const inbox = makeInbox<ExecutionEvent, RequestError>((weight) => {
    if (weight > 0) handle?.allow(weight)
  })

  const emit = (event: ExecutionEvent): void => {
    seq += 1
    inbox.push(event, unclaimed)
    unclaimed = 0
  }

  const emitText = (fd: Fd, decoded: { readonly text: string; readonly base64?: string } | undefined): void => {
    if (decoded !== undefined) {
      const timestamp = Number(clock.unsafeCurrentTimeNanos() / 1000n)
      emit({ _tag: fd === 1 ? "Stdout" : "Stderr", seq, timestamp, ...decoded })
    }
  }

  const discard = (bytes: number): void => {
    unclaimed += bytes
    if (unclaimed >= DISCARD_STEP) {
      handle?.allow(unclaimed)
      unclaimed = 0
    }
  }

  const onOutput = (fd: Fd, bytes: Buffer): void => {
    const kept = bytes.length > budget ? bytes.subarray(0, budget) : bytes
    const cut = bytes.length - kept.length
    arrived += bytes.length
    budget -= kept.length
    dropped[fd] += cut
    if (kept.length > 0) {
      unclaimed += kept.length
      emitText(fd, decoders[fd].push(kept))
    }
    if (cut > 0) {
      discard(cut)
    }
  }

  const onEnd = (end: RunEnd): void => {
    if (end._tag === "Died") {
      options.onDeath(stopReason)
    } else if (end._tag === "Done" && end.message.exited === true) {
      options.onExit()
    }
    for (const fd of [1, 2] as const) {
      const rest = decoders[fd].end()
      if (dropped[fd] === 0) {
        emitText(fd, rest)
      } else if (rest !== undefined) {
        // The limit cut a character in two: its first half goes the way of the second.
        dropped[fd] += Buffer.byteLength(rest.base64 ?? "", "base64")
      }
    }
    Deferred.unsafeDone(ended, Effect.succeed(end))
  }

  const outcomeOf = (end: RunEnd): string =>
    stopReason ?? (end._tag === "Done" ? (raised ? "error" : "success") : end._tag.toLowerCase())

  const isLive = Effect.negate(Deferred.isDone(ended))

  // Interruptible, because a finalizer is not, and what cannot be interrupted cannot time out.
  const waitFor = (grace: Duration.Duration) =>
    Deferred.await(ended).pipe(Effect.interruptible, Effect.timeoutOption(grace), Effect.map(Option.isSome))

  const stop = (reason: StopReason): Effect.Effect<void> =>
    Effect.gen(function*() {
      stopReason ??= reason
      handle?.interrupt()
      // Room for what the program says when it is interrupted: nobody may be reading any more.
      handle?.allow(OUTPUT_WINDOW)
      if (yield* waitFor(options.interruptGrace)) return
      handle?.kill()
      if (yield* waitFor(KILL_GRACE)) return
      yield* options.abandon
      yield* Deferred.await(ended)
    }).pipe(Effect.whenEffect(isLive), Effect.asVoid)

  const finish = (duration: number, exitCode: number | undefined): void => {
    emit({
      _tag: "Ended",
      seq,
      duration,
      timestamp: clock.unsafeCurrentTimeMillis(),
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(dropped[1] + dropped[2] === 0 ? {} : { dropped: { stdout: dropped[1], stderr: dropped[2] } })
    })
    inbox.end()
  }

  const concludeDeath = Effect.fnUntraced(function*(end: Death) {
    const error = yield* options.describeDeath(end)
    if (stopReason === "timeout") {
      return inbox.fail(timedOut(options, true))
    }
    if (halt !== undefined) {
      return inbox.fail(halt)
    }
    // For a command a signal is one way to end; for an interpreter it is not.
    const status = options.request._tag === "Command" && error.code === "kernel_died" ? signalStatus(end) : undefined
    return status === undefined
      ? inbox.fail(error)
      : finish(clock.unsafeCurrentTimeMillis() - startedAt, status)
  })

  const conclude = (end: RunEnd): Effect.Effect<void> => {
    switch (end._tag) {
      case "Died":
        return concludeDeath(end.message)
      case "Lost":
      case "Refused":
        return Effect.sync(() => inbox.fail(end.error))
      case "Done":
        return Effect.sync(() =>
          stopReason === "timeout"
            ? inbox.fail(timedOut(options, false))
            : halt !== undefined
            ? inbox.fail(halt)
            : finish(end.message.duration / 1000, end.message.exitCode)
        )
    }
  }

  emit({
    _tag: "Started",
    seq,
    executionId,
    sandboxId,
    ...(contextId === undefined ? {} : { contextId }),
    timestamp: startedAt
  })
  if (options.executionCount !== undefined) {
    emit({ _tag: "ExecutionCount", seq, executionCount: options.executionCount })
  }

  // Uninterruptible from here until the finalizer stands: a run without one would go on with nobody to stop it.
  yield* Effect.uninterruptible(Effect.gen(function*() {
    handle = yield* client.start(options.request, {
      output: onOutput,
      result: (result, bytes) => {
        unclaimed += bytes
        emit({ _tag: "Result", seq, result })
      },
      error: (error, bytes) => {
        unclaimed += bytes
        // What an interrupted program raises is the interrupt.
        if (stopReason === undefined) {
          raised = true
          emit({ _tag: "Error", seq, error })
        }
      },
      end: onEnd
    })
    const concluding = yield* Effect.forkDaemon(Effect.gen(function*() {
      const end = yield* Deferred.await(ended)
      const delivered = arrived - dropped[1] - dropped[2]
      yield* options.onFinished(clock.unsafeCurrentTimeMillis() - startedAt, outcomeOf(end), delivered)
      yield* conclude(end)
    }))
    yield* Effect.addFinalizer(() => Effect.zipRight(stop("interrupted"), Fiber.await(concluding)))
  }))
  const haltBecause = (error: SandboxError) =>
    Effect.whenEffect(
      Effect.suspend(() => {
        if (stopReason === undefined) halt = error
        return stop("interrupted")
      }),
      isLive
    )
  yield* Effect.forkScoped(Effect.flatMap(options.halted, haltBecause))
  yield* Effect.forkScoped(Effect.delay(stop("timeout"), Duration.millis(options.timeoutMs)))
  return inbox.stream
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
