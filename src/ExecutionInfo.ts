/**
 * Executions as the service describes them: what was run, whether it still runs, and how it ended.
 */
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import { AnySandboxSDKError } from "./Errors.js"
import { DroppedOutput } from "./Execution.js"

/**
 * What an execution is: a run of code, a command, or a batch (each of whose jobs is a run of code as well).
 *
 * @category models
 */
export const ExecutionKind = Schema.Literal("code", "terminal", "batch")

/**
 * @category models
 */
export type ExecutionKind = typeof ExecutionKind.Type

/**
 * `queued` while it waits for its turn in a context, `running`, then `ended` when it came to its end (its code may have
 * raised, its command may have failed) or `failed` when it did not: it was stopped, or its sandbox or interpreter ended.
 *
 * @category models
 */
export const ExecutionStatus = Schema.Literal("queued", "running", "ended", "failed")

/**
 * @category models
 */
export type ExecutionStatus = typeof ExecutionStatus.Type

/**
 * An execution. Times are milliseconds since the epoch; `startedAt` is when it was asked for, as long as it is `queued`.
 * `batchId` is the batch that it is a job of. `exitCode` is there for commands, `error` is what it failed with. The events
 * that can be read (`attach`) are those from `firstSeq` to `lastSeq`; there are none while `lastSeq` is below `firstSeq`.
 * `dropped` says what a limit has cut so far.
 *
 * @category models
 */
export const ExecutionInfo = Schema.Struct({
  id: Schema.String,
  sandboxId: Schema.String,
  kind: ExecutionKind,
  language: Schema.optional(Language),
  contextId: Schema.optional(Schema.String),
  batchId: Schema.optional(Schema.String),
  status: ExecutionStatus,
  detached: Schema.Boolean,
  startedAt: Schema.Finite,
  endedAt: Schema.optional(Schema.Finite),
  exitCode: Schema.optional(Schema.Finite),
  error: Schema.optional(AnySandboxSDKError),
  firstSeq: Schema.Finite,
  lastSeq: Schema.Finite,
  dropped: Schema.optional(DroppedOutput)
})

/**
 * @category models
 */
export type ExecutionInfo = typeof ExecutionInfo.Type
