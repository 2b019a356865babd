/**
 * Operations on contexts.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import { decodeArguments, normalizeDirectory, requireId } from "../../internal/arguments.js"
import type { ContextOperations } from "../../internal/groups.js"
import { CreateCodeContextOptions } from "../../Options.js"
import { WORKSPACE } from "../Environment.js"
import { type Parts, runningSandbox } from "./Parts.js"

const decodeCreate = decodeArguments(CreateCodeContextOptions, "createCodeContext")

/**
 * Makes the operations.
 */
export const contextOperations = ({ registry }: Parts): ContextOperations => ({
  createCodeContext: Effect.fn("SandboxSDK.createCodeContext")(function*(id, input) {
    const options = yield* decodeCreate(input)
    const cwd = yield* normalizeDirectory("createCodeContext", options.cwd ?? WORKSPACE)
    const { live, template, used } = yield* runningSandbox(registry, "createCodeContext", id)
    return yield* Effect.scoped(Effect.zipRight(
      used,
      live.contexts.create({
        language: options.language ?? template.config.language,
        cwd,
        env: options.envVars ?? {}
      })
    ))
  }),
  listCodeContexts: Effect.fn("SandboxSDK.listCodeContexts")(function*(id) {
    const { live } = yield* runningSandbox(registry, "listCodeContexts", id)
    return yield* live.contexts.list
  }),
  deleteCodeContext: Effect.fn("SandboxSDK.deleteCodeContext")(function*(input) {
    const contextId = yield* requireId("deleteCodeContext", input, "contextId")
    const { live, used } = yield* registry.ofContext(yield* CurrentUser, contextId)
    yield* Effect.scoped(Effect.zipRight(used, live.contexts.remove(contextId)))
  }),
  restartCodeContext: Effect.fn("SandboxSDK.restartCodeContext")(function*(input) {
    const contextId = yield* requireId("restartCodeContext", input, "contextId")
    const { live, used } = yield* registry.ofContext(yield* CurrentUser, contextId)
    return yield* Effect.scoped(Effect.zipRight(used, live.contexts.restart(contextId)))
  })
})
