/**
 * Batches: several pieces of code that are run in one call, and what becomes of each.
 */
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import { AnySandboxSDKError } from "./Errors.js"
import { DroppedOutput, Execution, OutputMessage } from "./Execution.js"
import { Millis } from "./Options.js"

/**
 * The priority of a job that does not say.
 *
 * @category models
 */
export const DEFAULT_PRIORITY = 5

/**
 * A job. `id` is the caller's own name for it, used once in a batch. `timeout` is in milliseconds; without it the batch's
 * `timeoutMs` or the template's limit counts. `priority` is from 1 to 10, higher ones first, 5 without it; jobs of the
 * same priority are run in the order in which they are given.
 *
 * @category models
 */
export const BatchExecutionJob = Schema.Struct({
  id: Schema.NonEmptyString.pipe(Schema.maxLength(256)).annotations({
    description: "a string of 1 to 256 characters"
  }),
  code: Schema.String.annotations({ description: "a string" }),
  language: Schema.optional(Language),
  timeout: Schema.optional(Millis),
  priority: Schema.optional(Schema.Int.pipe(Schema.between(1, 10, { description: "a whole number from 1 to 10" })))
}).annotations({ description: "an object with id and code" })

/**
 * @category models
 */
export type BatchExecutionJob = typeof BatchExecutionJob.Type

/**
 * What became of a job. `success` is whether its code ran to its end without raising; otherwise `error` says why not.
 * `execution` holds its output and results, up to the error where there was one (`error` does not hold them again).
 * `duration` is in milliseconds, from its start to its end.
 *
 * @category models
 */
export const BatchExecutionResult = Schema.Struct({
  jobId: Schema.String,
  success: Schema.Boolean,
  execution: Schema.optional(Execution),
  error: Schema.optional(AnySandboxSDKError),
  duration: Schema.Finite
})

/**
 * @category models
 */
export type BatchExecutionResult = typeof BatchExecutionResult.Type

const numbered = { seq: Schema.Finite }

/**
 * The first event. `executionId` is that of the batch; `timestamp` is in milliseconds since the epoch.
 *
 * @category events
 */
export const BatchStarted = Schema.TaggedStruct("BatchStarted", {
  ...numbered,
  executionId: Schema.String,
  sandboxId: Schema.String,
  timestamp: Schema.Finite
})

/**
 * A job begins: `executionId` is that of the run of its code, absent when there is none because it could not be run.
 * `timestamp` is in milliseconds since the epoch.
 *
 * @category events
 */
export const JobStarted = Schema.TaggedStruct("JobStarted", {
  ...numbered,
  jobId: Schema.String,
  executionId: Schema.optional(Schema.String),
  timestamp: Schema.Finite
})

/**
 * A job has written a line.
 *
 * @category events
 */
export const JobOutput = Schema.TaggedStruct("JobOutput", { ...numbered, jobId: Schema.String, message: OutputMessage })

/**
 * A job has ended, one way or the other.
 *
 * @category events
 */
export const JobEnded = Schema.TaggedStruct("JobEnded", { ...numbered, result: BatchExecutionResult })

/**
 * The last event: all jobs have ended. `duration` is in milliseconds. `dropped` is there when a detached batch had no room
 * for the output of its jobs: how many bytes of it are in no event.
 *
 * @category events
 */
export const BatchEnded = Schema.TaggedStruct("BatchEnded", {
  ...numbered,
  succeeded: Schema.Finite,
  failed: Schema.Finite,
  duration: Schema.Finite,
  dropped: Schema.optional(DroppedOutput)
})

/**
 * What happens in a batch, as it happens; `seq` counts from 0 without gaps.
 *
 * @category events
 */
export const BatchEvent = Schema.Union(BatchStarted, JobStarted, JobOutput, JobEnded, BatchEnded)

/**
 * @category events
 */
export type BatchEvent = typeof BatchEvent.Type
