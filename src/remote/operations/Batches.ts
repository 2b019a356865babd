/**
 * Operations that run batches.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BatchEvent, BatchExecutionJob } from "../../Batch.js"
import { ConnectionError, type RequestError } from "../../Errors.js"
import { collectBatch, decodeBatch } from "../../internal/batch.js"
import type { BatchOperations } from "../../internal/groups.js"
import type { ExecuteBatchOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { decodeBatchRecord } from "../Decoders.js"
import { resumable } from "../Resuming.js"
import { batch as encodeBatch } from "../Route.js"
import * as Segment from "../Segment.js"
import { stoppable } from "../Stopping.js"

const isLast = (event: BatchEvent): boolean => event._tag === "BatchEnded"

/**
 * Makes the operations.
 */
export const batchOperations = (client: Client): BatchOperations => {
  const { metrics, peer } = client

  const progress = (
    operation: string,
    input: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: ExecuteBatchOptions
  ): Stream.Stream<BatchEvent, RequestError> =>
    stoppable<BatchEvent>(client, operation, isLast, options)((key) =>
      Stream.unwrap(Effect.gen(function*() {
        const batch = yield* decodeBatch(operation, input, jobs, options)
        const { hold: _, ...batchOptions } = batch.options
        const id = yield* Segment.sandbox(input)
        return resumable(client, {
          operation,
          key,
          decode: decodeBatchRecord,
          isLast,
          from: { start: Effect.sync(() => encodeBatch(id, { jobs: batch.jobs, ...batchOptions })) }
        })
      }))
    ).pipe(
      Stream.tap((event) =>
        event._tag === "JobEnded"
          ? metrics.execution(event.result.duration, {
            language: jobs.find(({ id }) => id === event.result.jobId)?.language,
            outcome: event.result.success ? "success" : event.result.error?._tag
          })
          : Effect.void
      )
    )

  return {
    // From the progress, too: a batch may take hours, and an answer of which nothing is seen for so long is cut off by
    // what lies on the way.
    executeBatch: Effect.fn("SandboxSDK.executeBatch")(function*(id, jobs, options) {
      return yield* collectBatch(
        jobs,
        progress("executeBatch", id, jobs, options),
        (job) => new ConnectionError({ message: `${peer.url} told nothing of the job ${job}.`, url: peer.url })
      )
    }, metrics.track("executeBatch")),
    executeBatchStream: (id, jobs, options) =>
      progress("executeBatchStream", id, jobs, options).pipe(
        metrics.trackStream("executeBatchStream"),
        Stream.withSpan("SandboxSDK.executeBatchStream")
      )
  }
}
