/**
 * Operations on what has been run, or runs.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CurrentUser } from "../../CurrentUser.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { ExecutionOperations } from "../../internal/groups.js"
import { AttachOptions } from "../../Options.js"
import type { Parts } from "./Parts.js"

const decodeAttach = decodeArguments(AttachOptions, "attach")
const decodeAttachBatch = decodeArguments(AttachOptions, "attachBatch")

/**
 * Makes the operations.
 */
export const executionOperations = ({ executions, registry }: Parts): ExecutionOperations => ({
  attach: (input, options) =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const from = yield* decodeAttach(options)
      const id = yield* requireId("attach", input, "executionId")
      return yield* executions.attach(yield* CurrentUser, id, from)
    })).pipe(Stream.withSpan("SandboxSDK.attach")),
  attachBatch: (input, options) =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const from = yield* decodeAttachBatch(options)
      const id = yield* requireId("attachBatch", input, "executionId")
      return yield* executions.attachBatch(yield* CurrentUser, id, from)
    })).pipe(Stream.withSpan("SandboxSDK.attachBatch")),
  listExecutions: Effect.fn("SandboxSDK.listExecutions")(function*(input) {
    const id = yield* requireId("listExecutions", input)
    const userId = yield* CurrentUser
    yield* registry.get(userId, id)
    return yield* executions.list(userId, id)
  }),
  getExecution: Effect.fn("SandboxSDK.getExecution")(function*(input) {
    const id = yield* requireId("getExecution", input, "executionId")
    return yield* executions.get(yield* CurrentUser, id)
  }),
  cancelExecution: Effect.fn("SandboxSDK.cancelExecution")(function*(input) {
    const id = yield* requireId("cancelExecution", input, "executionId")
    return yield* executions.cancel(yield* CurrentUser, id)
  })
})
