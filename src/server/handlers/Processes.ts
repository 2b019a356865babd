/**
 * Answers requests about processes.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api, Caller } from "../../Api.js"
import { ExecutionHooks, type Hooks } from "../../internal/executionHooks.js"
import type { StartProcessOptions } from "../../Options.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import * as Admission from "../Admission.js"
import { about, asCaller, done, storedBytes } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "processes", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const quotas = yield* Quotas.Quotas
    const admit = yield* Admission.make

    /** Counts as an execution for as long as it runs, and ends with the key that has asked for it. */
    const start = (id: string, options: StartProcessOptions) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const caller = yield* Caller
          const { userId } = caller
          const { begun, ended } = yield* admit(caller, sdk.cancelExecution)
          let isCreated = false
          const hooks: Hooks = {
            created: (executionId) => {
              isCreated = true
              begun(executionId)
            },
            ended
          }
          // What runs can write: who holds too much may read and delete, but run nothing.
          return yield* restore(Effect.zipRight(
            quotas.storage(userId, storedBytes(sdk), 0),
            asCaller(sdk.startProcess(id, options))
          )).pipe(
            Effect.provideService(ExecutionHooks, hooks),
            Effect.ensuring(Effect.sync(() => {
              if (!isCreated) ended()
            }))
          )
        })
      )

    return handlers
      .handle("start", ({ path: { id }, payload: { envVars, ...options } }) =>
        about(id)(start(id, envVars === undefined ? options : { ...options, envs: envVars })))
      .handle("list", ({ path: { id } }) =>
        about(id)(sdk.listProcesses(id)))
      .handle("writeStdin", ({ path: { executionId }, request }) =>
        asCaller(
          Effect.orDie(request.arrayBuffer).pipe(
            Effect.flatMap((body) =>
              sdk.writeStdin(executionId, new Uint8Array(body))
            ),
            Effect.as(done)
          )
        ))
      .handle("closeStdin", ({ path: { executionId } }) => asCaller(Effect.as(sdk.closeStdin(executionId), done)))
      .handle("signal", ({ path: { executionId }, payload: { signal } }) =>
        asCaller(Effect.as(sdk.signalProcess(executionId, signal), done)))
      .handle("resize", ({ path: { executionId }, payload }) =>
        asCaller(Effect.as(sdk.resizeTerminal(executionId, payload), done)))
  }))
