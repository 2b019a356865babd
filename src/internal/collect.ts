/**
 * Folds the events of a run into its result. Every layer's `runCode` and `runTerminal` are its stream and this.
 *
 * What a limit cuts (`maxOutputSize`) is cut where the events are made; here nothing is.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { ConnectionError, ExecutionError, type RequestError, SandboxError, TimeoutError } from "../Errors.js"
import {
  type Ended,
  type ErrorInfo,
  Execution,
  type ExecutionEvent,
  type ExecutionResult,
  type Started,
  type TerminalEvent
} from "../Execution.js"
import type { OutputCallbacks, RunCodeCallbacks } from "../Options.js"
import type { Result } from "../Result.js"
import { makeDelivery } from "./callbacks.js"
import type { Reading } from "./eventLog.js"
import { splitLines } from "./lines.js"
import * as Pulls from "./pulls.js"

/**
 * What is done with the events, and where they come from.
 */
export interface CollectOptions extends RunCodeCallbacks {
  /** `false` leaves the output out of the result. */
  readonly captureOutput?: boolean | undefined
  /** The server that the events come from, if they do. */
  readonly url?: string | undefined
}

/** Where nobody is told of what arrives, this much of it is worth a look, in bytes. */
const UNHURRIED_BYTES = 64 * 1024

/** Longest string that V8 can hold, in UTF-16 code units. */
const MAX_STRING_LENGTH = 2 ** 29 - 24

/** Keeps what the events say. Text stays in the pieces that it came in: lines are cut once, at the end. */
const makeRecord = (captureOutput: boolean) => {
  const stdout: Array<string> = []
  const stderr: Array<string> = []
  const both: Array<string> = []
  const results: Array<Result> = []
  let started: typeof Started.Type | undefined
  let ended: typeof Ended.Type | undefined
  let error: ErrorInfo | undefined
  let executionCount: number | undefined

  const add = (event: ExecutionEvent): void => {
    switch (event._tag) {
      case "Started":
        started = event
        break
      case "Stdout":
      case "Stderr":
        if (captureOutput) {
          const pieces = event._tag === "Stdout" ? stdout : stderr
          pieces.push(event.text)
          both.push(event.text)
        }
        break
      case "Result":
        results.push(event.result)
        break
      case "Error":
        error ??= event.error
        break
      case "ExecutionCount":
        executionCount = event.executionCount
        break
      case "Ended":
        ended = event
        break
    }
  }

  return {
    add,
    output: (): ReadonlyArray<string> => both,
    boundaries: () => ({ started, ended }),
    // Not validated: it is made of events that were, and may have millions of lines.
    execution: () =>
      new Execution(
        {
          results,
          logs: { stdout: splitLines(stdout), stderr: splitLines(stderr) },
          ...(error === undefined ? {} : { error }),
          ...(executionCount === undefined ? {} : { executionCount })
        },
        { disableValidation: true }
      )
  }
}

type Recorder = ReturnType<typeof makeRecord>

/** The same error with what the run had done by then. It keeps the stack of where it arose. */
const withExecution = (error: RequestError, execution: () => Execution): RequestError => {
  if (error._tag === "SandboxSDKError" || error._tag === "RateLimitError" || error.execution !== undefined) {
    return error
  }
  const copy = copyWith(error, execution())
  if (error.stack !== undefined) {
    copy.stack = error.stack
  }
  return copy
}

const copyWith = (
  error: TimeoutError | SandboxError | ConnectionError,
  execution: Execution
): TimeoutError | SandboxError | ConnectionError => {
  const { message } = error
  switch (error._tag) {
    case "TimeoutError":
      return new TimeoutError({ ...error, message, execution })
    case "SandboxError":
      return new SandboxError({ ...error, message, execution })
    case "ConnectionError":
      return new ConnectionError({ ...error, message, execution })
  }
}

const brokenOff = (record: Recorder, url: string | undefined): RequestError => {
  const message = "The output ended without its end event: nobody knows whether the run came to its end."
  const execution = record.execution()
  const { started } = record.boundaries()
  return url === undefined
    ? new SandboxError({
      message,
      code: "outcome_unknown",
      ...(started === undefined ? {} : { sandboxId: started.sandboxId }),
      execution
    })
    : new ConnectionError({ message: `${message} The connection to ${url} broke.`, url, execution })
}

/**
 * Where the events of a run come from.
 */
export type Events<A> = Stream.Stream<A, RequestError> | Reading<A, RequestError>

const readingOf = <A>(events: Events<A>): Reading<A, RequestError> =>
  typeof events === "function"
    ? events
    : (each) => Pulls.runForEachChunk(events, (chunk) => each(Chunk.toReadonlyArray(chunk)))

/** Reads the events to their end, calling the callbacks. Fails with what they fail with. */
const drain = (
  events: Events<ExecutionEvent>,
  record: Recorder,
  callbacks: RunCodeCallbacks
): Effect.Effect<void, RequestError> => {
  const read = readingOf(events)
  const add = (chunk: Iterable<ExecutionEvent>) => {
    for (const event of chunk) {
      record.add(event)
    }
  }
  const { onError, onResult, onStderr, onStdout } = callbacks
  if (onStdout === undefined && onStderr === undefined && onResult === undefined && onError === undefined) {
    return read((chunk) => Effect.sync(() => add(chunk)), UNHURRIED_BYTES)
  }
  return Effect.scoped(Effect.gen(function*() {
    const outcome = yield* Deferred.make<void, RequestError>()
    const delivery = yield* makeDelivery(callbacks, (cause) => Deferred.failCause(outcome, cause))
    // In the scope, and not in a race: whichever way this ends, the reading is over before anything else goes on.
    yield* read((chunk) => {
      add(chunk)
      return delivery.deliver(chunk)
    }).pipe(
      Effect.tapError(() => delivery.flush),
      Effect.zipRight(delivery.flush),
      Effect.intoDeferred(outcome),
      Effect.forkScoped
    )
    yield* Deferred.await(outcome)
  }))
}

/** The first and the last event of a run that came to its end. */
const complete = (
  events: Events<ExecutionEvent>,
  record: Recorder,
  options: CollectOptions
) =>
  Effect.gen(function*() {
    yield* drain(events, record, options).pipe(
      Effect.mapError((error) => withExecution(error, record.execution))
    )
    const { ended, started } = record.boundaries()
    return started === undefined || ended === undefined
      ? yield* Effect.fail(brokenOff(record, options.url))
      : { started, ended }
  })

/**
 * The result of a run of code.
 *
 * Fails with `ExecutionError` when the code raised, and with what the stream fails with; `TimeoutError`, `SandboxError`
 * and `ConnectionError` then carry the output so far. A stream that ends without `Ended` is a failure too:
 * `ConnectionError` when it came from a server, else `SandboxError` `outcome_unknown`. Dies with what a callback throws;
 * the stream is closed by then.
 */
export const collectExecution = (
  events: Events<ExecutionEvent>,
  options: CollectOptions = {}
): Effect.Effect<ExecutionResult, RequestError | ExecutionError> =>
  Effect.gen(function*() {
    const record = makeRecord(options.captureOutput ?? true)
    const { ended, started } = yield* complete(events, record, options)
    const execution = record.execution()
    if (execution.error !== undefined) {
      const { name, traceback, value } = execution.error
      // The name stands before it already, where an error is written out.
      const message = value === "" ? name : value
      return yield* new ExecutionError({ message, name, value, traceback, execution })
    }
    return {
      execution,
      metadata: {
        executionId: started.executionId,
        sandboxId: started.sandboxId,
        ...(started.contextId === undefined ? {} : { contextId: started.contextId }),
        startTime: started.timestamp,
        endTime: ended.timestamp,
        duration: ended.duration,
        ...(ended.exitCode === undefined ? {} : { exitCode: ended.exitCode }),
        ...(ended.dropped === undefined ? {} : { dropped: ended.dropped })
      },
      timestamp: ended.timestamp
    }
  })

/**
 * The output of a command, both streams in the order in which they arrived. Fails as {@link collectExecution} does, but
 * for `ExecutionError`; a command that ends with an exit status other than 0 is not a failure.
 */
export const collectTerminal = (
  events: Events<TerminalEvent>,
  options: OutputCallbacks & Pick<CollectOptions, "url"> = {}
): Effect.Effect<string, RequestError> =>
  Effect.gen(function*() {
    const record = makeRecord(true)
    yield* complete(events, record, options)
    const pieces = record.output()
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    return length <= MAX_STRING_LENGTH
      ? pieces.join("")
      : yield* new SandboxError({
        code: "quota_exceeded",
        field: "maxOutputSize",
        message: `The command wrote ${length} characters, more than one string can hold; ` +
          `lower maxOutputSize or use runTerminalStream.`
      })
  })
