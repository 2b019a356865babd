/**
 * Batches over any runner, without an engine: where a test is about the jobs, and not about executions.
 */
import { Effect, Queue, Stream, Take } from "effect"
import type { BatchEvent, BatchExecutionJob } from "../../src/Batch.js"
import { type RequestError, SandboxError } from "../../src/Errors.js"
import {
  type BatchRunner,
  collectBatch,
  decodeBatch,
  runBatch,
  type UnnumberedBatchEvent
} from "../../src/internal/batch.js"
import type { ExecuteBatchOptions } from "../../src/Options.js"

/** How many events wait for a reader that is slow. */
const WAITING_EVENTS = 64

const streamOf = (
  operation: string,
  runner: BatchRunner,
  sandboxId: string,
  jobs: ReadonlyArray<BatchExecutionJob>,
  options?: ExecuteBatchOptions
): Stream.Stream<BatchEvent, RequestError> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const batch = yield* decodeBatch(operation, sandboxId, jobs, options)
    const queue = yield* Queue.bounded<Take.Take<UnnumberedBatchEvent, RequestError>>(WAITING_EVENTS)
    const emit = (event: UnnumberedBatchEvent) => Effect.asVoid(Queue.offer(queue, Take.of(event)))
    yield* emit({ _tag: "BatchStarted", executionId: "b1", sandboxId, timestamp: 0 })
    yield* runBatch(runner, sandboxId, batch, emit).pipe(
      Effect.flatMap((summary) => emit({ _tag: "BatchEnded", ...summary })),
      Effect.matchCauseEffect({
        onFailure: (cause) => Queue.offer(queue, Take.failCause(cause)),
        onSuccess: () => Queue.offer(queue, Take.end)
      }),
      Effect.forkScoped
    )
    return Stream.flattenTake(Stream.fromQueue(queue))
  })).pipe(
    Stream.mapAccum(0, (seq, event) => [seq + 1, { ...event, seq }])
  )

/** The progress of a batch. */
export const executeBatchStream = (
  runner: BatchRunner,
  id: string,
  jobs: ReadonlyArray<BatchExecutionJob>,
  options?: ExecuteBatchOptions
) => streamOf("executeBatchStream", runner, id, jobs, options)

/** The results of a batch. */
export const executeBatch = (
  runner: BatchRunner,
  id: string,
  jobs: ReadonlyArray<BatchExecutionJob>,
  options?: ExecuteBatchOptions
) =>
  collectBatch(
    jobs,
    streamOf("executeBatch", runner, id, jobs, options),
    (job) => new SandboxError({ code: "outcome_unknown", message: `Nothing was told of ${job}.` })
  )
