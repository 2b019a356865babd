/**
 * Operations on contexts.
 */
import * as Effect from "effect/Effect"
import { decodeArguments, normalizeDirectory, requireId, WORKSPACE } from "../../internal/arguments.js"
import type { ContextOperations } from "../../internal/groups.js"
import { CreateCodeContextOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import * as Segment from "../Segment.js"

const decodeCreate = decodeArguments(CreateCodeContextOptions, "createCodeContext")

const requireContext = (operation: string, contextId: unknown) =>
  Effect.flatMap(requireId(operation, contextId, "contextId"), Segment.context)

/**
 * Makes the operations.
 */
export const contextOperations = ({ metrics, request }: Client): ContextOperations => ({
  createCodeContext: Effect.fn("SandboxSDK.createCodeContext")(function*(input, options) {
    const decoded = yield* decodeCreate(options)
    const cwd = yield* normalizeDirectory("createCodeContext", decoded.cwd ?? WORKSPACE)
    const id = yield* Effect.flatMap(requireId("createCodeContext", input), Segment.sandbox)
    return yield* request(
      { operation: "createCodeContext", effect: "once" },
      (api) => api.contexts.create({ path: { id }, payload: { ...decoded, cwd } })
    )
  }, metrics.track("createCodeContext")),
  listCodeContexts: Effect.fn("SandboxSDK.listCodeContexts")(function*(input) {
    const id = yield* Effect.flatMap(requireId("listCodeContexts", input), Segment.sandbox)
    return yield* request(
      { operation: "listCodeContexts", effect: "none" },
      (api) => api.contexts.list({ path: { id } })
    )
  }, metrics.track("listCodeContexts")),
  deleteCodeContext: Effect.fn("SandboxSDK.deleteCodeContext")(function*(input) {
    const contextId = yield* requireContext("deleteCodeContext", input)
    yield* request(
      { operation: "deleteCodeContext", effect: "once" },
      (api) => api.contexts.remove({ path: { contextId } })
    )
  }, metrics.track("deleteCodeContext")),
  restartCodeContext: Effect.fn("SandboxSDK.restartCodeContext")(function*(input) {
    const contextId = yield* requireContext("restartCodeContext", input)
    return yield* request(
      { operation: "restartCodeContext", effect: "once" },
      (api) => api.contexts.restart({ path: { contextId } })
    )
  }, metrics.track("restartCodeContext"))
})
