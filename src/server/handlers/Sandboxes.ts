/**
 * Answers requests about sandboxes as a whole.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api, Caller } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import * as Creation from "../Creation.js"
import { about, asCaller, done } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "sandboxes", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const create = yield* Creation.make
    return handlers
      .handle("create", ({ payload }) => asCaller(Effect.flatMap(Caller, ({ userId }) => create(userId, payload))))
      .handle("list", ({ urlParams }) => asCaller(sdk.listSandboxes(urlParams)))
      .handle("get", ({ path }) => about(path.id)(sdk.getSandbox(path.id)))
      .handle(
        "status",
        ({ path }) => about(path.id)(Effect.map(sdk.getSandboxStatus(path.id), (status) => ({ status })))
      )
      .handle("metrics", ({ path }) => about(path.id)(sdk.getSandboxMetrics(path.id)))
      .handle("start", ({ path }) => about(path.id)(sdk.startSandbox(path.id)))
      .handle("stop", ({ path }) => about(path.id)(sdk.stopSandbox(path.id)))
      .handle("pause", ({ path }) => about(path.id)(sdk.pauseSandbox(path.id)))
      .handle("resume", ({ path }) => about(path.id)(sdk.resumeSandbox(path.id)))
      .handle("extend", ({ path, payload }) => about(path.id)(sdk.extendSandbox(path.id, payload.ms)))
      .handle("remove", ({ path }) => about(path.id)(Effect.as(sdk.deleteSandbox(path.id), done)))
  }))
