/**
 * Answers requests about executions.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { Api, NDJSON } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, asCaller, openStream, streamAsCaller } from "../Handlers.js"
import { problem } from "../Problem.js"
import { segmentOf } from "../Segments.js"
import * as Streams from "../Streams.js"

/** Where a reader of server-sent events goes on that comes back by itself (WHATWG HTML, 9.2.4). */
const lastEventId = ({ headers }: HttpServerRequest.HttpServerRequest) => {
  const id = headers["last-event-id"]
  return id === undefined || id === ""
    ? Effect.succeed(undefined)
    : /^\d{1,15}$/.test(id)
    ? Effect.succeed(Number(id))
    : Effect.fail(problem(400, "Last-Event-ID must be the number of an event.", { field: "last-event-id" }))
}

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
          const segment = yield* Effect.orDie(segmentOf(request))
          const after = urlParams.after ?? (yield* Effect.orDie(lastEventId(request)))
          yield* openStream
          const from = { after, hold: segment?.reader }
          const shape = { format: Streams.formatOf(request) ?? NDJSON, segment, after, quiet: true }
          return kind === "batch"
            ? yield* Streams.records(request, yield* streamAsCaller(sdk.attachBatch(executionId, from)), {
              ...Streams.batchEvents,
              ...shape
            })
            : yield* Streams.records(request, yield* streamAsCaller(sdk.attach(executionId, from)), {
              ...Streams.executionEvents,
              ...shape
            })
        })))
  }))
