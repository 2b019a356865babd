/**
 * Routes that run something.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { BatchExecutionResult } from "../Batch.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { streamsRecords } from "./Streams.js"
import { BatchRequest, ExecuteRequest, ExecuteResponse, TerminalRequest, TerminalResponse } from "./Wire.js"

const requestKey = HttpApiSchema.param("key", Schema.String)

/**
 * Whether there was something to stop: `false` when the request has ended by itself, or was never seen.
 *
 * @category answers
 */
export const Stopped = Schema.Struct({ stopped: Schema.Boolean })

/**
 * @category groups
 */
export class Code extends HttpApiGroup.make("code")
  .add(
    HttpApiEndpoint.post("execute")`/api/sandboxes/${sandboxId}/execute`
      .setPayload(ExecuteRequest)
      .addSuccess(ExecuteResponse)
      .annotateContext(streamsRecords(
        "ExecutionRecord",
        "Runs code, and answers at its end; with `Accept: text/event-stream` or `application/x-ndjson`, with each event " +
          "as it happens. What the code raises is part of the answer. Whoever leaves early stops the code."
      ))
  )
  .add(
    HttpApiEndpoint.post("terminal")`/api/sandboxes/${sandboxId}/terminal`
      .setPayload(TerminalRequest)
      .addSuccess(TerminalResponse)
      .annotateContext(streamsRecords(
        "TerminalRecord",
        "Runs a shell command, and answers at its end; with `Accept: text/event-stream` or `application/x-ndjson`, with " +
          "each event as it happens. Whoever leaves early stops the command."
      ))
  )
  .add(
    HttpApiEndpoint.post("batch")`/api/sandboxes/${sandboxId}/batch`
      .setPayload(BatchRequest)
      .addSuccess(Schema.Array(BatchExecutionResult))
      .annotateContext(streamsRecords(
        "BatchRecord",
        "Runs jobs, those of a higher priority first, and answers with their results in the order given; with `Accept: " +
          "text/event-stream` or `application/x-ndjson`, with the progress as it happens."
      ))
  )
  .add(
    HttpApiEndpoint.post("stop")`/api/requests/${requestKey}/stop`
      .addSuccess(Stopped)
      .annotate(
        OpenApi.Description,
        "Stops what a request with that `Idempotency-Key` runs, and answers once all of it has stopped: who has left a " +
          "request makes sure by this that nothing of it goes on."
      )
  )
  .annotate(OpenApi.Description, "Run code and commands.")
  .middleware(Authorization)
{}
