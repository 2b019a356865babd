/**
 * Routes of sandboxes as a whole.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { CreateSandboxOptions, ExtendSandboxOptions, Metadata, PageNumber, PageSize } from "../Options.js"
import { SandboxInfo, SandboxStatus } from "../SandboxInfo.js"
import { SandboxMetrics } from "../SandboxMetrics.js"
import * as Query from "./Query.js"
import { Authorization } from "./Security.js"
import { CreatedSandbox, Done, StatusResponse } from "./Wire.js"

/** The id of a sandbox, in a path. */
export const sandboxId = HttpApiSchema.param("id", Schema.String)

/**
 * @category groups
 */
export class Sandboxes extends HttpApiGroup.make("sandboxes")
  .add(
    HttpApiEndpoint.post("create", "/api/sandboxes/create")
      .setPayload(CreateSandboxOptions)
      .addSuccess(CreatedSandbox)
      .annotate(OpenApi.Description, "Makes a sandbox from a template. It can run code when this is answered.")
  )
  .add(
    HttpApiEndpoint.get("list", "/api/sandboxes")
      .setUrlParams(Schema.Struct({
        status: Schema.optional(SandboxStatus),
        metadata: Schema.optional(Schema.parseJson(Metadata)),
        page: Schema.optional(Query.number(PageNumber, 1, 1_000_000)),
        pageSize: Schema.optional(Query.number(PageSize, 1, 1_000))
      }))
      .addSuccess(Schema.Array(SandboxInfo))
      .annotate(
        OpenApi.Description,
        "The sandboxes, oldest first: those with this status, and with all of the labels in `metadata` (JSON). Without " +
          "`page` and `pageSize`, all of them."
      )
  )
  .add(
    HttpApiEndpoint.get("get")`/api/sandboxes/${sandboxId}`
      .addSuccess(SandboxInfo)
      .annotate(OpenApi.Description, "One sandbox, as it is now.")
  )
  .add(
    HttpApiEndpoint.get("status")`/api/sandboxes/${sandboxId}/status`
      .addSuccess(StatusResponse)
      .annotate(OpenApi.Description, "Only its status.")
  )
  .add(
    HttpApiEndpoint.get("metrics")`/api/sandboxes/${sandboxId}/metrics`
      .addSuccess(SandboxMetrics)
      .annotate(
        OpenApi.Description,
        "What a sandbox uses at the moment of processor, memory and disk, and what it may use. The answer takes a fifth of " +
          "a second. A sandbox that is stopped or paused stays so."
      )
  )
  .add(
    HttpApiEndpoint.post("start")`/api/sandboxes/${sandboxId}/start`
      .addSuccess(SandboxInfo)
      .annotate(OpenApi.Description, "Starts a stopped sandbox, with the files that it had.")
  )
  .add(
    HttpApiEndpoint.post("stop")`/api/sandboxes/${sandboxId}/stop`
      .addSuccess(SandboxInfo)
      .annotate(OpenApi.Description, "Ends everything that runs in a sandbox, and keeps its files.")
  )
  .add(
    HttpApiEndpoint.post("pause")`/api/sandboxes/${sandboxId}/pause`
      .addSuccess(SandboxInfo)
      .annotate(
        OpenApi.Description,
        "Stops everything in a sandbox where it is, and keeps its memory. The next request that uses it lets it go on."
      )
  )
  .add(
    HttpApiEndpoint.post("resume")`/api/sandboxes/${sandboxId}/resume`
      .addSuccess(SandboxInfo)
      .annotate(OpenApi.Description, "Lets a paused sandbox go on where it was.")
  )
  .add(
    HttpApiEndpoint.post("extend")`/api/sandboxes/${sandboxId}/extend`
      .setPayload(ExtendSandboxOptions)
      .addSuccess(SandboxInfo)
      .annotate(OpenApi.Description, "Lets a sandbox expire `ms` milliseconds from now.")
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/sandboxes/${sandboxId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Ends a sandbox and removes its files. Deleting one that is gone succeeds too.")
  )
  .annotate(OpenApi.Description, "Sandboxes as a whole: make, find, start, stop and delete them.")
  .middleware(Authorization)
{}
