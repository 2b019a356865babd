/**
 * Answers requests about processes.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Api } from "../../Api.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import * as Body from "../Body.js"
import { about, asCaller, done } from "../Handlers.js"
import { Settings } from "../Settings.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "processes", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const { bodies } = yield* Settings
    return handlers
      .handle("start", ({ path: { id }, payload: { envVars, ...options } }) =>
        about(id)(sdk.startProcess(id, envVars === undefined ? options : { ...options, envs: envVars })))
      .handle("list", ({ path: { id } }) =>
        about(id)(sdk.listProcesses(id)))
      .handle("writeStdin", ({ path: { executionId }, request }) =>
        asCaller(
          // Each piece as it arrives, and the next when that has been taken: none of it piles up here.
          sdk.writeStdin(executionId, new Uint8Array(0)).pipe(
            Effect.zipRight(
              Stream.runForEach(Body.bytes(request, bodies), (piece) =>
                sdk.writeStdin(executionId, piece))
            ),
            Effect.as(done),
            Effect.catchTag("Problem", (problem) => Effect.die(problem))
          )
        ))
      .handle("closeStdin", ({ path: { executionId } }) => asCaller(Effect.as(sdk.closeStdin(executionId), done)))
      .handle("signal", ({ path: { executionId }, payload: { signal } }) =>
        asCaller(Effect.as(sdk.signalProcess(executionId, signal), done)))
      .handle("resize", ({ path: { executionId }, payload }) =>
        asCaller(Effect.as(sdk.resizeTerminal(executionId, payload), done)))
  }))
