/**
 * Operations on what has been run, or runs.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BatchRecord, ExecutionRecord, NDJSON } from "../../api/Streams.js"
import type { BatchEvent } from "../../Batch.js"
import type { ExecutionEvent } from "../../Execution.js"
import type { ExecutionInfo } from "../../ExecutionInfo.js"
import { decodeArguments, invalidArgument, requireId } from "../../internal/arguments.js"
import type { ExecutionOperations } from "../../internal/groups.js"
import { AttachOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { decodeRecords } from "../Records.js"
import * as Segment from "../Segment.js"

const decodeAttach = decodeArguments(AttachOptions, "attach")
const decodeAttachBatch = decodeArguments(AttachOptions, "attachBatch")

const requireExecution = (operation: string, executionId: unknown) =>
  Effect.flatMap(requireId(operation, executionId, "executionId"), Segment.execution)

const isEnd = (event: ExecutionEvent): boolean => event._tag === "Ended"
const isBatchEnd = (event: BatchEvent): boolean => event._tag === "BatchEnded"

/** Whether the event that it came to its end with has been had: an answer would tell nothing. */
const isOver = ({ lastSeq, status }: ExecutionInfo, { after }: AttachOptions): boolean =>
  status === "ended" && after === lastSeq

/**
 * Makes the operations.
 */
export const executionOperations = ({ metrics, peer, request, stream }: Client): ExecutionOperations => {
  const get = (operation: string, executionId: string) =>
    request({ operation, effect: "none" }, (api) => api.executions.get({ path: { executionId } }))

  const events = (operation: string, executionId: string, { after }: AttachOptions) =>
    stream(
      { operation, effect: "none", accept: NDJSON },
      (api) => api.executions.events({ path: { executionId }, urlParams: after === undefined ? {} : { after } })
    ).pipe(metrics.trackBytes("out"))

  return {
    attach: (input, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const from = yield* decodeAttach(options)
        const executionId = yield* requireExecution("attach", input)
        const info = yield* get("attach", executionId)
        if (info.kind === "batch") {
          return yield* notOf("attach", `the execution "${input}" is a batch; use attachBatch.`)
        }
        return isOver(info, from)
          ? Stream.empty
          : decodeRecords(ExecutionRecord, { peer, isLast: isEnd })(events("attach", executionId, from))
      })).pipe(metrics.trackStream("attach"), Stream.withSpan("SandboxSDK.attach")),
    attachBatch: (input, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const from = yield* decodeAttachBatch(options)
        const executionId = yield* requireExecution("attachBatch", input)
        const info = yield* get("attachBatch", executionId)
        if (info.kind !== "batch") {
          return yield* notOf("attachBatch", `the execution "${input}" is no batch; use attach.`)
        }
        return isOver(info, from)
          ? Stream.empty
          : decodeRecords(BatchRecord, { peer, isLast: isBatchEnd })(events("attachBatch", executionId, from))
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
