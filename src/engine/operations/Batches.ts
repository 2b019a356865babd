/**
 * Operations that run batches. A batch is an execution, and so is each run of a job's code.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BatchEvent, BatchExecutionJob } from "../../Batch.js"
import { CurrentUser } from "../../CurrentUser.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { Execution } from "../../Execution.js"
import { type BatchRunner, collectBatch, decodeBatch, type EmitBatchEvent, runBatch } from "../../internal/batch.js"
import { EVENT_COST } from "../../internal/eventLog.js"
import type { BatchOperations } from "../../internal/groups.js"
import type { ExecuteBatchOptions } from "../../Options.js"
import type { Journal, Outcome } from "../Executions.js"
import type { Parts } from "./Parts.js"

const lengthOf = (texts: ReadonlyArray<string>): number => texts.reduce((sum, text) => sum + text.length, 0)

/** How many bytes an execution takes in a log: those of its text, and those of its results as JSON. */
const sizeOf = (execution: Execution | undefined): number =>
  execution === undefined ? 0 : lengthOf(execution.logs.stdout) + lengthOf(execution.logs.stderr) +
    lengthOf(execution.results.map((result) => JSON.stringify(result)))

/** Writes into the log as there is room. */
const writerOf = ({ detached, dropped, log }: Journal<BatchEvent>): EmitBatchEvent => {
  let waiting: Array<() => void> = []
  log.onRoom(() => {
    const all = waiting
    waiting = []
    for (const wake of all) wake()
  })

  const hasRoom = (bytes: number): boolean => log.roomFor(bytes) >= bytes || log.isIdle()

  const room = (bytes: number): Effect.Effect<void> =>
    Effect.async((resume) => {
      // Since the look that found none, this fiber may have given way to one that reads.
      if (hasRoom(bytes)) return resume(Effect.void)
      waiting.push(() => resume(Effect.void))
    })

  const write: EmitBatchEvent = (event) =>
    Effect.suspend(() => {
      const text = event._tag === "JobOutput"
        ? event.message.line.length
        : event._tag === "JobEnded"
        ? sizeOf(event.result.execution)
        : 0
      if (hasRoom(text + EVENT_COST)) {
        return Effect.sync(() => log.append({ ...event, seq: log.next() }, text + EVENT_COST))
      }
      if (!detached || log.readers() > 0) {
        return Effect.zipRight(room(text + EVENT_COST), write(event))
      }
      // It goes on without a reader: what has no room is the output, and never how a job ended.
      if (event._tag === "JobOutput") {
        if (event.message.error) dropped.stderr += text
        else dropped.stdout += text
        return Effect.void
      }
      if (event._tag === "JobEnded" && event.result.execution !== undefined) {
        const { execution, ...result } = event.result
        dropped.results = (dropped.results ?? 0) + execution.results.length
        log.append({ _tag: "JobEnded", seq: log.next(), result }, EVENT_COST)
        return Effect.void
      }
      log.append({ ...event, seq: log.next() }, EVENT_COST)
      return Effect.void
    })
  return write
}

/**
 * Makes the operations.
 *
 * @param runnerOf what runs the jobs of the batch with this id.
 */
export const batchOperations = (
  { executions, registry }: Parts,
  runnerOf: (batchId: string) => BatchRunner
): BatchOperations => {
  const progress = (
    operation: string,
    id: string,
    input: ReadonlyArray<BatchExecutionJob>,
    batchOptions: ExecuteBatchOptions | undefined
  ): Stream.Stream<BatchEvent, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const batch = yield* decodeBatch(operation, id, input, batchOptions)
      const userId = yield* CurrentUser
      // Nothing is run, and nothing listed, for a sandbox that is not there.
      yield* registry.get(userId, id)
      const { detachGraceMs, detached, hold } = batch.options
      const about = { userId, sandboxId: id, kind: "batch", detached, detachGraceMs, hold } as const
      const { stream } = yield* executions.batch(about, (journal) =>
        Effect.interruptible(Effect.gen(function*() {
          const write = writerOf(journal)
          const { dropped } = journal
          const clock = yield* Effect.clock
          const timestamp = clock.unsafeCurrentTimeMillis()
          journal.begun(timestamp)
          yield* write({ _tag: "BatchStarted", executionId: journal.id, sandboxId: id, timestamp })
          const summary = yield* runBatch(runnerOf(journal.id), id, batch, write)
          const what = dropped.stdout + dropped.stderr + (dropped.results ?? 0) === 0
            ? {}
            : { dropped: { ...dropped } }
          const outcome: Outcome<BatchEvent> = {
            ...what,
            event: (seq) => ({ _tag: "BatchEnded", seq, ...summary, ...what })
          }
          return outcome
        })))
      return stream
    }))

  return {
    executeBatch: Effect.fn("SandboxSDK.executeBatch")(function*(id, jobs, options) {
      return yield* collectBatch(jobs, progress("executeBatch", id, jobs, options), (jobId) =>
        new SandboxError({
          code: "outcome_unknown",
          message: `The batch ended without saying what became of the job ${jobId}.`,
          sandboxId: id
        }))
    }),
    executeBatchStream: (id, jobs, options) =>
      Stream.withSpan(progress("executeBatchStream", id, jobs, options), "SandboxSDK.executeBatchStream")
  }
}
