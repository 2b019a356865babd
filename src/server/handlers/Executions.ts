/**
 * Answers requests about executions.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api, NDJSON } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, asCaller, openStream, streamAsCaller } from "../Handlers.js"
import * as Streams from "../Streams.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "executions", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    return handlers
      .handle("list", ({ path: { id } }) => about(id)(sdk.listExecutions(id)))
      .handle("get", ({ path: { executionId } }) => asCaller(sdk.getExecution(executionId)))
      .handle("cancel", ({ path: { executionId } }) => asCaller(sdk.cancelExecution(executionId)))
      .handle("events", ({ path: { executionId }, request, urlParams }) =>
        asCaller(Effect.gen(function*() {
          const { kind } = yield* sdk.getExecution(executionId)
          yield* openStream
          const format = Streams.formatOf(request) ?? NDJSON
          return kind === "batch"
            ? yield* Streams.records(request, yield* streamAsCaller(sdk.attachBatch(executionId, urlParams)), {
              ...Streams.batchEvents,
              format
            })
            : yield* Streams.records(request, yield* streamAsCaller(sdk.attach(executionId, urlParams)), {
              ...Streams.executionEvents,
              format
            })
        })))
  }))
