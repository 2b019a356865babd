/**
 * Routes that run something.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { BatchExecutionResult } from "../Batch.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { streamsRecords } from "./Streams.js"
import { BatchRequest, ExecuteRequest, ExecuteResponse, TerminalRequest, TerminalResponse } from "./Wire.js"

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
  .annotate(OpenApi.Description, "Run code and commands.")
  .middleware(Authorization)
{}
