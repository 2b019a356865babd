/**
 * Operations that run batches, here: the protocol has none.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { BatchEvent, BatchExecutionJob } from "../../Batch.js"
import { ConnectionError, type RequestError } from "../../Errors.js"
import { type BatchRunner, collectBatch, decodeBatch, runBatch } from "../../internal/batch.js"
import type { BatchOperations } from "../../internal/groups.js"
import type { ExecuteBatchOptions } from "../../Options.js"
import { randomKey } from "../../remote/Key.js"
import type { Client } from "../Client.js"
import { unsupported } from "../Failures.js"
import * as Ids from "../Ids.js"

/** How many events are made ahead of their reader. */
const AHEAD = 64

/**
 * Makes the operations.
 */
export const batchOperations = ({ metrics, peer }: Client, runner: BatchRunner): BatchOperations => {
  const progress = (
    operation: string,
    id: string,
    jobs: ReadonlyArray<BatchExecutionJob>,
    options?: ExecuteBatchOptions
  ): Stream.Stream<BatchEvent, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const batch = yield* decodeBatch(operation, id, jobs, options)
      if (batch.options.detached === true || batch.options.detachGraceMs !== undefined) {
        return yield* unsupported(
          operation,
          batch.options.detached === true ? "detached" : "detachGraceMs",
          "over E2B's protocol a batch is run by its reader, and ends with it."
        )
      }
      const mailbox = yield* Mailbox.make<BatchEvent, RequestError>(AHEAD)
      let seq = 0
      const executionId = Ids.join(id, yield* randomKey)
      const timestamp = yield* Clock.currentTimeMillis
      yield* mailbox.offer({ _tag: "BatchStarted", seq: seq++, executionId, sandboxId: id, timestamp })
      yield* runBatch(runner, id, batch, (event) =>
        Effect.suspend(() =>
          Effect.asVoid(mailbox.offer({ ...event, seq: seq++ }))
        )).pipe(
          Effect.flatMap((sums) =>
            mailbox.offer({ _tag: "BatchEnded", seq: seq++, ...sums })
          ),
          Mailbox.into(mailbox),
          Effect.forkScoped
        )
      return Mailbox.toStream(mailbox)
    }))

  return {
    executeBatch: Effect.fn("SandboxSDK.executeBatch")(function*(id, jobs, options) {
      return yield* collectBatch(
        jobs,
        progress("executeBatch", id, jobs, options),
        (job) => new ConnectionError({ message: `Nothing is known of the job ${job}.`, url: peer.url })
      )
    }, metrics.track("executeBatch")),
    executeBatchStream: (id, jobs, options) =>
      progress("executeBatchStream", id, jobs, options).pipe(
        metrics.trackStream("executeBatchStream"),
        Stream.withSpan("SandboxSDK.executeBatchStream")
      )
  }
}
