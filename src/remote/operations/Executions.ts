/**
 * Operations on what has been run, or runs.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BatchEvent } from "../../Batch.js"
import type { ExecutionEvent } from "../../Execution.js"
import { decodeArguments, invalidArgument, requireId } from "../../internal/arguments.js"
import type { ExecutionOperations } from "../../internal/groups.js"
import { AttachOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { decodeBatchRecord, decodeExecutionRecord } from "../Decoders.js"
import { randomKey } from "../Key.js"
import { resumable } from "../Resuming.js"
import * as Segment from "../Segment.js"

const decodeAttach = decodeArguments(AttachOptions, "attach")
const decodeAttachBatch = decodeArguments(AttachOptions, "attachBatch")

const requireExecution = (operation: string, executionId: unknown) =>
  Effect.flatMap(requireId(operation, executionId, "executionId"), Segment.execution)

const isEnd = (event: ExecutionEvent): boolean => event._tag === "Ended"
const isBatchEnd = (event: BatchEvent): boolean => event._tag === "BatchEnded"

/**
 * Makes the operations.
 */
export const executionOperations = (client: Client): ExecutionOperations => {
  const { metrics, request } = client

  const get = (operation: string, executionId: string) =>
    request({ operation, effect: "none" }, (api) => api.executions.get({ path: { executionId } }))

  return {
    attach: (input, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const from = yield* decodeAttach(options)
        const executionId = yield* requireExecution("attach", input)
        const { kind } = yield* get("attach", executionId)
        return kind === "batch"
          ? Stream.fail(notOf("attach", `the execution "${input}" is a batch; use attachBatch.`))
          : resumable<ExecutionEvent>(client, {
            operation: "attach",
            key: from.hold ?? (yield* randomKey),
            decode: decodeExecutionRecord,
            isLast: isEnd,
            from: { executionId: input, after: from.after ?? -1 }
          })
      })).pipe(metrics.trackStream("attach"), Stream.withSpan("SandboxSDK.attach")),
    attachBatch: (input, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const from = yield* decodeAttachBatch(options)
        const executionId = yield* requireExecution("attachBatch", input)
        const { kind } = yield* get("attachBatch", executionId)
        return kind === "batch"
          ? resumable<BatchEvent>(client, {
            operation: "attachBatch",
            key: from.hold ?? (yield* randomKey),
            decode: decodeBatchRecord,
            isLast: isBatchEnd,
            from: { executionId: input, after: from.after ?? -1 }
          })
          : Stream.fail(notOf("attachBatch", `the execution "${input}" is no batch; use attach.`))
      })).pipe(metrics.trackStream("attachBatch"), Stream.withSpan("SandboxSDK.attachBatch")),
    listExecutions: Effect.fn("SandboxSDK.listExecutions")(function*(input) {
      const id = yield* Effect.flatMap(requireId("listExecutions", input), Segment.sandbox)
      return yield* request(
        { operation: "listExecutions", effect: "none" },
        (api) => api.executions.list({ path: { id } })
      )
    }, metrics.track("listExecutions")),
    getExecution: Effect.fn("SandboxSDK.getExecution")(function*(input) {
      return yield* get("getExecution", yield* requireExecution("getExecution", input))
    }, metrics.track("getExecution")),
    cancelExecution: Effect.fn("SandboxSDK.cancelExecution")(function*(input) {
      const executionId = yield* requireExecution("cancelExecution", input)
      return yield* request(
        { operation: "cancelExecution", effect: "repeatable" },
        (api) => api.executions.cancel({ path: { executionId } })
      )
    }, metrics.track("cancelExecution"))
  }
}

const notOf = (operation: string, problem: string) => invalidArgument(operation, "executionId", problem)
