/**
 * One run of code or of a command: its events, its limits, and how it is stopped.
 */
import type { Buffer } from "node:buffer"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
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
  /** What the death of the process means; also waits until all that it left behind is gone. */
  readonly describeDeath: (end: Extract<RunEnd, { readonly _tag: "Died" }>["message"]) => Effect.Effect<SandboxError>
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
  let handle: RunHandle | undefined
  let budget = options.maxOutputSize
  let stopReason: StopReason | undefined
  let seq = 0
  // Bytes that have arrived and are part of no event yet: held back by a decoder, or thrown away.
  let unclaimed = 0

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
    }
    for (const fd of [1, 2] as const) {
      const rest = decoders[fd].end()
      if (dropped[fd] === 0) {
        emitText(fd, rest)
      } else if (rest !== undefined) {
        // The limit cut a character in two: its first half goes the way of the second.
        dropped[fd] += rest.base64 === undefined ? 0 : Math.floor(rest.base64.length * 3 / 4)
      }
    }
    Deferred.unsafeDone(ended, Effect.succeed(end))
  }

  const isLive = Effect.negate(Deferred.isDone(ended))

  const waitFor = (grace: Duration.Duration) =>
    Deferred.await(ended).pipe(Effect.timeoutOption(grace), Effect.map(Option.isSome))

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

  // What is still to be found out about a death is found out before the scope closes: see the finalizer below.
  const conclude = (end: RunEnd): Effect.Effect<void> =>
    Effect.gen(function*() {
      const death = end._tag === "Died" ? yield* options.describeDeath(end.message) : undefined
      if (stopReason === "timeout" && end._tag !== "Lost") {
        return inbox.fail(timedOut(options, death !== undefined))
      }
      if (death !== undefined) {
        return inbox.fail(death)
      }
      if (end._tag === "Refused" || end._tag === "Lost") {
        return inbox.fail(end.error)
      }
      if (end._tag === "Done") {
        const { duration, exitCode } = end.message
        emit({
          _tag: "Ended",
          seq,
          duration: duration / 1000,
          timestamp: clock.unsafeCurrentTimeMillis(),
          ...(exitCode === undefined ? {} : { exitCode }),
          ...(dropped[1] + dropped[2] === 0 ? {} : { dropped: { stdout: dropped[1], stderr: dropped[2] } })
        })
        inbox.end()
      }
    })

  emit({
    _tag: "Started",
    seq,
    executionId,
    sandboxId,
    ...(contextId === undefined ? {} : { contextId }),
    timestamp: clock.unsafeCurrentTimeMillis()
  })
  if (options.executionCount !== undefined) {
    emit({ _tag: "ExecutionCount", seq, executionCount: options.executionCount })
  }

  // Uninterruptible from here until the finalizer stands: a run without one would go on with nobody to stop it.
  yield* Effect.uninterruptible(Effect.gen(function*() {
    handle = yield* client.start(options.request, {
      output: onOutput,
      result: (result) => emit({ _tag: "Result", seq, result }),
      error: (error) => {
        // What an interrupted program raises is the interrupt.
        if (stopReason === undefined) emit({ _tag: "Error", seq, error })
      },
      end: onEnd
    })
    const concluding = yield* Effect.forkDaemon(Effect.flatMap(Deferred.await(ended), conclude))
    yield* Effect.addFinalizer(() => Effect.zipRight(stop("interrupted"), Fiber.await(concluding)))
  }))
  yield* Effect.forkScoped(Effect.delay(stop("timeout"), Duration.millis(options.timeoutMs)))
  return inbox.stream
})

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
