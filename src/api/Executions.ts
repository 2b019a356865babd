/**
 * Routes of executions: what has been run, or runs.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { ExecutionInfo } from "../ExecutionInfo.js"
import * as Query from "./Query.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { NDJSON, streamsRecords } from "./Streams.js"

/** The id of an execution, in a path. */
export const executionId = HttpApiSchema.param("executionId", Schema.String)

const EventNumber = Schema.Int.pipe(Schema.between(-1, Number.MAX_SAFE_INTEGER))

/**
 * @category groups
 */
export class Executions extends HttpApiGroup.make("executions")
  .add(
    HttpApiEndpoint.get("list")`/api/sandboxes/${sandboxId}/executions`
      .addSuccess(Schema.Array(ExecutionInfo))
      .annotate(
        OpenApi.Description,
        "What runs in a sandbox, or waits for its turn there, and what has ended in the last minutes; oldest first."
      )
  )
  .add(
    HttpApiEndpoint.get("get")`/api/executions/${executionId}`
      .addSuccess(ExecutionInfo)
      .annotate(OpenApi.Description, "An execution as it is now.")
  )
  .add(
    HttpApiEndpoint.del("cancel")`/api/executions/${executionId}`
      .addSuccess(ExecutionInfo)
      .annotate(
        OpenApi.Description,
        "Stops an execution, and answers when its processes are gone. One that has ended stays as it is."
      )
  )
  .add(
    HttpApiEndpoint.get("events")`/api/executions/${executionId}/events`
      .setUrlParams(Schema.Struct({
        after: Schema.optional(Query.number(EventNumber, -1, Number.MAX_SAFE_INTEGER))
      }))
      .addSuccess(HttpApiSchema.Text({ contentType: NDJSON }))
      .annotateContext(streamsRecords(
        "EventRecord",
        "The events of an execution after the number `after`, or from the first one on, and those that follow as they " +
          "happen, to its end. Without `Accept: text/event-stream` it is `application/x-ndjson`."
      ))
  )
  .annotate(OpenApi.Description, "Executions: what has been run, or runs.")
  .middleware(Authorization)
{}
