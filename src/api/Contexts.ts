/**
 * Routes of contexts.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { CodeContext } from "../CodeContext.js"
import { CreateCodeContextOptions } from "../Options.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { Done } from "./Wire.js"

const contextId = HttpApiSchema.param("contextId", Schema.String)

const fresh = "Gives a context a fresh interpreter, once what runs in it has been stopped."
const ends = "Ends a context, and what runs in it."

/**
 * @category groups
 */
export class Contexts extends HttpApiGroup.make("contexts")
  .add(
    HttpApiEndpoint.post("create")`/api/sandboxes/${sandboxId}/contexts`
      .setPayload(CreateCodeContextOptions)
      .addSuccess(CodeContext)
      .annotate(OpenApi.Description, "A new context: an interpreter of its own.")
  )
  .add(
    HttpApiEndpoint.get("list")`/api/sandboxes/${sandboxId}/contexts`
      .addSuccess(Schema.Array(CodeContext))
      .annotate(OpenApi.Description, "The contexts of a sandbox, oldest first, those made on demand included.")
  )
  .add(
    HttpApiEndpoint.del("removeOf")`/api/sandboxes/${sandboxId}/contexts/${contextId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, ends)
  )
  .add(
    HttpApiEndpoint.post("restartOf")`/api/sandboxes/${sandboxId}/contexts/${contextId}/restart`
      .addSuccess(CodeContext)
      .annotate(OpenApi.Description, fresh)
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/contexts/${contextId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, ends)
  )
  .add(
    HttpApiEndpoint.post("restart")`/api/contexts/${contextId}/restart`
      .addSuccess(CodeContext)
      .annotate(OpenApi.Description, fresh)
  )
  .annotate(OpenApi.Description, "Contexts: interpreters with variables of their own.")
  .middleware(Authorization)
{}
