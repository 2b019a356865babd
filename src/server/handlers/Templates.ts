/**
 * Answers requests about templates.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { asCaller, done } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "templates", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    return handlers
      .handle("list", ({ urlParams }) => asCaller(sdk.getTemplates(urlParams.page, urlParams.pageSize)))
      .handle("get", ({ path }) => asCaller(sdk.getTemplate(path.id)))
      .handle("create", ({ payload }) => asCaller(sdk.createTemplate(payload)))
      .handle("remove", ({ path }) => asCaller(Effect.as(sdk.deleteTemplate(path.id), done)))
  }))
