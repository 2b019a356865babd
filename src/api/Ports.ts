/**
 * Routes of the ports of a sandbox.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { PortAddress, PortNumber, WaitForPortOptions } from "../Port.js"
import * as Query from "./Query.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { Done } from "./Wire.js"

const port = HttpApiSchema.param("port", Query.number(PortNumber, 1, 65_535))

/**
 * Where a port is reached. `path` is the path of `url` where that is one of this server's: who knows the server by another
 * name than the server itself does puts it together with that.
 *
 * @category answers
 */
export const PortAnswer = Schema.Struct({ ...PortAddress.fields, path: Schema.optional(Schema.String) }).annotations({
  identifier: "PortAnswer"
})

/**
 * @category answers
 */
export type PortAnswer = typeof PortAnswer.Type

/**
 * @category groups
 */
export class Ports extends HttpApiGroup.make("ports")
  .add(
    HttpApiEndpoint.get("address")`/api/sandboxes/${sandboxId}/ports/${port}`
      .addSuccess(PortAnswer)
      .annotate(
        OpenApi.Description,
        "Where a TCP port of the sandbox is reached. What is below this path (`/ports/8000/…`) is what listens there: " +
          "any method, streams in both directions, and WebSockets; with the API key, or by the token in `url`."
      )
  )
  .add(
    HttpApiEndpoint.post("wait")`/api/sandboxes/${sandboxId}/ports/${port}`
      .setPayload(WaitForPortOptions)
      .addSuccess(PortAnswer)
      .annotate(OpenApi.Description, "Waits until something listens at a port, and answers where it is reached.")
  )
  .add(
    HttpApiEndpoint.del("close")`/api/sandboxes/${sandboxId}/ports/${port}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Makes the URL of a port worthless and breaks its connections.")
  )
  .annotate(OpenApi.Description, "The TCP ports of a sandbox, reached from outside.")
  .middleware(Authorization)
{}
