/**
 * Answers requests about processes.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, asCaller, done } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "processes", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    return handlers
      .handle("start", ({ path: { id }, payload: { envVars, ...options } }) =>
        about(id)(sdk.startProcess(id, envVars === undefined ? options : { ...options, envs: envVars })))
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
