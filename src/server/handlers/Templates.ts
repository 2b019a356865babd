/**
 * Answers requests about templates.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api, Caller, NDJSON } from "../../Api.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { Active } from "../Active.js"
import { asCaller, done, openStream, storedBytes, streamAsCaller } from "../Handlers.js"
import * as Streams from "../Streams.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "templates", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const active = yield* Active
    const quotas = yield* Quotas.Quotas
    return handlers
      .handle("list", ({ urlParams }) => asCaller(sdk.getTemplates(urlParams.page, urlParams.pageSize)))
      .handle("get", ({ path }) => asCaller(sdk.getTemplate(path.id)))
      .handle("create", ({ payload, urlParams }) =>
        asCaller(Effect.flatMap(Caller, ({ userId }) =>
          // What is installed is stored.
          Effect.zipRight(
            quotas.storage(userId, storedBytes(sdk), 0),
            sdk.createTemplate(payload, urlParams)
          ))))
      .handle("builds", ({ path }) => asCaller(sdk.getTemplateBuilds(path.id)))
      .handle("buildLog", ({ path, request, urlParams }) =>
        Effect.gen(function*() {
          yield* active.endless
          yield* openStream
          const events = yield* streamAsCaller(sdk.streamTemplateBuild(path.id, urlParams))
          return yield* Streams.records(request, events, {
            format: Streams.formatOf(request) ?? NDJSON,
            encode: (event) => JSON.stringify(event),
            id: ({ seq }) => seq,
            quiet: true
          })
        }))
      .handle("remove", ({ path }) => asCaller(Effect.as(sdk.deleteTemplate(path.id), done)))
  }))
