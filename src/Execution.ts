/**
 * What a run of code gives: live events on the way, and the whole at its end.
 */
import * as Schema from "effect/Schema"
import { Result } from "./Result.js"

/**
 * A finite number that is not checked to be one: events are decoded by the hundred thousand, a check would halve that,
 * and what has been written as JSON cannot hold another.
 */
const Finite = Schema.Number.annotations({
  arbitrary: () => (fc) => fc.double({ noDefaultInfinity: true, noNaN: true })
})

/**
 * A piece of output as callbacks get it. `line` is one line with its newline, or the rest of the output without one,
 * at the latest 100 ms after it was written. `timestamp` is in microseconds since the epoch by the clock of the
 * engine. `error` is true on standard error.
 *
 * @category models
 */
export const OutputMessage = Schema.Struct({
  line: Schema.String,
  timestamp: Finite,
  error: Schema.Boolean
})

/**
 * @category models
 */
export type OutputMessage = typeof OutputMessage.Type

/**
 * What the code raised: the class, its message, and the traceback of the user's own lines.
 *
 * @category models
 */
export const ErrorInfo = Schema.Struct({
  name: Schema.String,
  value: Schema.String,
  traceback: Schema.String
})

/**
 * @category models
 */
export type ErrorInfo = typeof ErrorInfo.Type

/**
 * All output, line by line; joined without a separator each list is the exact output of its stream. An entry is one line
 * with its newline, the last perhaps without one; after 4,194,304 lines the entries are longer pieces.
 *
 * @category models
 */
export const Logs = Schema.Struct({
  stdout: Schema.Array(Schema.String),
  stderr: Schema.Array(Schema.String)
})

/**
 * @category models
 */
export type Logs = typeof Logs.Type

/**
 * Everything that one run of code produced.
 *
 * @category models
 */
export class Execution extends Schema.Class<Execution>("Execution")({
  results: Schema.Array(Result),
  logs: Logs,
  error: Schema.optional(ErrorInfo),
  executionCount: Schema.optional(Finite)
}) {
  /**
   * The text of the main result: the value of the last expression. `undefined` when the code did not end in one.
   */
  get text(): string | undefined {
    return this.results.find((result) => result.isMainResult)?.text
  }

  /**
   * A plain object, as `JSON.stringify` writes it. The schema of this class decodes it.
   */
  toJSON(): Readonly<Record<string, unknown>> {
    return {
      results: this.results.map((result) => result.toJSON()),
      logs: this.logs,
      ...(this.error === undefined ? {} : { error: this.error }),
      ...(this.executionCount === undefined ? {} : { executionCount: this.executionCount })
    }
  }
}

/**
 * Bytes of output that were not delivered because a limit was reached; both are 0 when nothing was cut. `results` is how
 * many displayed values were not.
 *
 * @category models
 */
export const DroppedOutput = Schema.Struct({
  stdout: Finite,
  stderr: Finite,
  results: Schema.optional(Finite)
})

/**
 * @category models
 */
export type DroppedOutput = typeof DroppedOutput.Type

/**
 * When and where a run took place. Times are milliseconds since the epoch, `duration` is in milliseconds.
 * `dropped` is there when output was cut: at `maxOutputSize`, or because nobody read it.
 *
 * @category models
 */
export const ExecutionMetadata = Schema.Struct({
  executionId: Schema.String,
  sandboxId: Schema.String,
  contextId: Schema.optional(Schema.String),
  startTime: Finite,
  endTime: Schema.optional(Finite),
  duration: Schema.optional(Finite),
  exitCode: Schema.optional(Finite),
  dropped: Schema.optional(DroppedOutput)
})

/**
 * @category models
 */
export type ExecutionMetadata = typeof ExecutionMetadata.Type

/**
 * What `runCode` gives. `timestamp` is the end of the run in milliseconds since the epoch.
 *
 * @category models
 */
export const ExecutionResult = Schema.Struct({
  execution: Execution,
  metadata: ExecutionMetadata,
  timestamp: Finite
})

/**
 * @category models
 */
export type ExecutionResult = typeof ExecutionResult.Type

const numbered = { seq: Finite }

/**
 * The first event. `timestamp` is in milliseconds since the epoch.
 *
 * @category events
 */
export const Started = Schema.TaggedStruct("Started", {
  ...numbered,
  executionId: Schema.String,
  sandboxId: Schema.String,
  contextId: Schema.optional(Schema.String),
  timestamp: Finite
})

/**
 * Text from standard output: as much as had arrived, cut between characters but not at lines. `timestamp` is in
 * microseconds since the epoch. Where the program wrote bytes that are no UTF-8, `text` shows U+FFFD for them and
 * `base64` (RFC 4648) has the exact bytes.
 *
 * @category events
 */
export const Stdout = Schema.TaggedStruct("Stdout", {
  ...numbered,
  text: Schema.String,
  timestamp: Finite,
  base64: Schema.optional(Schema.String)
})

/**
 * The same from standard error.
 *
 * @category events
 */
export const Stderr = Schema.TaggedStruct("Stderr", {
  ...numbered,
  text: Schema.String,
  timestamp: Finite,
  base64: Schema.optional(Schema.String)
})

/**
 * A displayed value.
 *
 * @category events
 */
export const ResultEvent = Schema.TaggedStruct("Result", { ...numbered, result: Result })

/**
 * The code raised; the end event follows.
 *
 * @category events
 */
export const ErrorEvent = Schema.TaggedStruct("Error", { ...numbered, error: ErrorInfo })

/**
 * Which run of its context this is, from 1.
 *
 * @category events
 */
export const ExecutionCount = Schema.TaggedStruct("ExecutionCount", { ...numbered, executionCount: Finite })

/**
 * The last event of every run that ended by itself. `duration` is in milliseconds, `exitCode` is there for commands
 * (128 + the signal's number when one ended it). `dropped` says what a limit cut.
 *
 * @category events
 */
export const Ended = Schema.TaggedStruct("Ended", {
  ...numbered,
  duration: Finite,
  timestamp: Finite,
  exitCode: Schema.optional(Finite),
  dropped: Schema.optional(DroppedOutput)
})

/**
 * What happens in a run of code, in order; `seq` counts from 0 without gaps.
 *
 * @category events
 */
export const ExecutionEvent = Schema.Union(Started, Stdout, Stderr, ResultEvent, ErrorEvent, ExecutionCount, Ended)

/**
 * @category events
 */
export type ExecutionEvent = typeof ExecutionEvent.Type

/**
 * What happens in a run of a command, in order; the last event carries `exitCode`.
 *
 * @category events
 */
export const TerminalEvent = Schema.Union(Started, Stdout, Stderr, Ended)

/**
 * @category events
 */
export type TerminalEvent = typeof TerminalEvent.Type
