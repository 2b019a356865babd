/**
 * Routes of snapshots and forks.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { ForkSandboxOptions, ListSnapshotsOptions, SnapshotSandboxOptions } from "../Options.js"
import { SandboxInfo } from "../SandboxInfo.js"
import { Snapshot } from "../Snapshot.js"
import { sandboxId } from "./Sandboxes.js"
import { Authorization } from "./Security.js"
import { Done } from "./Wire.js"

const snapshotId = HttpApiSchema.param("id", Schema.String)

/**
 * @category groups
 */
export class Snapshots extends HttpApiGroup.make("snapshots")
  .add(
    HttpApiEndpoint.post("create")`/api/sandboxes/${sandboxId}/snapshots`
      .setPayload(SnapshotSandboxOptions)
      .addSuccess(Snapshot)
      .annotate(
        OpenApi.Description,
        "Keeps the files of a sandbox as they are at one moment, and what it was made with."
      )
  )
  .add(
    HttpApiEndpoint.post("fork")`/api/sandboxes/${sandboxId}/fork`
      .setPayload(ForkSandboxOptions)
      .addSuccess(Schema.Array(SandboxInfo))
      .annotate(OpenApi.Description, "Makes sandboxes with the files that one has at one moment: all of them, or none.")
  )
  .add(
    HttpApiEndpoint.get("list", "/api/snapshots")
      .setUrlParams(ListSnapshotsOptions)
      .addSuccess(Schema.Array(Snapshot))
      .annotate(OpenApi.Description, "The snapshots, oldest first.")
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/snapshots/${snapshotId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Removes a snapshot; sandboxes that were made from it stay.")
  )
  .annotate(OpenApi.Description, "Snapshots of sandboxes, and forks.")
  .middleware(Authorization)
{}
