/**
 * Answers requests about contexts.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api } from "../../Api.js"
import { SandboxError } from "../../Errors.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, asCaller, done } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "contexts", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK

    /** Refuses a context that is not of this sandbox, whoever's it is. */
    const ofSandbox = (id: string, contextId: string) =>
      Effect.filterOrFail(
        sdk.listCodeContexts(id),
        (contexts) => contexts.some((context) => context.id === contextId),
        () =>
          new SandboxError({
            code: "context_not_found",
            sandboxId: id,
            field: "contextId",
            message: "The sandbox has no context with this id."
          })
      )

    return handlers
      .handle("create", ({ path, payload }) => about(path.id)(sdk.createCodeContext(path.id, payload)))
      .handle("list", ({ path }) => about(path.id)(sdk.listCodeContexts(path.id)))
      .handle("removeOf", ({ path: { contextId, id } }) =>
        about(id)(Effect.as(Effect.zipRight(ofSandbox(id, contextId), sdk.deleteCodeContext(contextId)), done)))
      .handle("restartOf", ({ path: { contextId, id } }) =>
        about(id)(Effect.zipRight(ofSandbox(id, contextId), sdk.restartCodeContext(contextId))))
      .handle("remove", ({ path: { contextId } }) =>
        asCaller(Effect.as(sdk.deleteCodeContext(contextId), done)))
      .handle("restart", ({ path: { contextId } }) =>
        asCaller(sdk.restartCodeContext(contextId)))
  }))
