/**
 * Routes of processes: programs that run beside whoever started them, and are spoken to.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { ProcessInfo, Signal, TerminalSize } from "../Process.js"
import { executionId } from "./Executions.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { takesBytes } from "./Streams.js"
import { Done, ProcessRequest } from "./Wire.js"

/**
 * @category groups
 */
export class Processes extends HttpApiGroup.make("processes")
  .add(
    HttpApiEndpoint.post("start")`/api/sandboxes/${sandboxId}/processes`
      .setPayload(ProcessRequest)
      .addSuccess(ProcessInfo)
      .annotate(
        OpenApi.Description,
        "Starts a program, and answers when it runs; it goes on until it ends or is stopped. Its output is the events of " +
          "the execution `executionId`."
      )
  )
  .add(
    HttpApiEndpoint.get("list")`/api/sandboxes/${sandboxId}/processes`
      .addSuccess(Schema.Array(ProcessInfo))
      .annotate(OpenApi.Description, "The processes of a sandbox that run, oldest first.")
  )
  .add(
    HttpApiEndpoint.post("writeStdin")`/api/executions/${executionId}/stdin`
      .addSuccess(Done)
      .annotateContext(takesBytes(
        "Writes the bytes of the body to the input of a process, and answers when its pipe has taken them."
      ))
  )
  .add(
    HttpApiEndpoint.del("closeStdin")`/api/executions/${executionId}/stdin`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Ends the input of a process once all that was written has been taken.")
  )
  .add(
    HttpApiEndpoint.post("signal")`/api/executions/${executionId}/signal`
      .setPayload(Schema.Struct({ signal: Signal }))
      .addSuccess(Done)
      .annotate(
        OpenApi.Description,
        "Sends a signal to a process and its process group, `SIGKILL` to all that it has started."
      )
  )
  .add(
    HttpApiEndpoint.put("resize")`/api/executions/${executionId}/terminal`
      .setPayload(TerminalSize)
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Sets the size of the terminal of a process.")
  )
  .annotate(OpenApi.Description, "Processes: programs that run beside whoever started them, and are spoken to.")
  .middleware(Authorization)
{}
