/**
 * The service over E2B's protocol.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeRunCodeAs } from "../internal/runCodeAs.js"
import type { Service } from "../SandboxSDK.js"
import * as Client from "./Client.js"
import { batchOperations } from "./operations/Batches.js"
import { contextOperations } from "./operations/Contexts.js"
import { fileOperations } from "./operations/Files.js"
import { portOperations } from "./operations/Ports.js"
import { processOperations } from "./operations/Processes.js"
import { runOperations } from "./operations/Runs.js"
import { sandboxOperations } from "./operations/Sandboxes.js"
import { executionOperations, templateOperations } from "./operations/Unsupported.js"
import * as Programs from "./Programs.js"
import type { Settings } from "./Settings.js"

/**
 * Makes the service.
 */
export const make = (
  settings: Settings
): Effect.Effect<Service, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* Client.make(settings)
    const programs = yield* Programs.make(client.peer.url)
    const { runJob, ...runs } = runOperations(client)
    const sandboxes = sandboxOperations(client)
    const contexts = contextOperations(client)
    return {
      ...sandboxes,
      ...runs,
      runCodeAs: makeRunCodeAs(runs.runCode),
      ...batchOperations(client, {
        getSandbox: sandboxes.getSandbox,
        createCodeContext: contexts.createCodeContext,
        deleteCodeContext: contexts.deleteCodeContext,
        runJob
      }),
      ...executionOperations,
      ...processOperations(client, programs),
      ...fileOperations(client),
      ...contexts,
      ...portOperations(client),
      ...templateOperations,
      getMetrics: client.metrics.snapshot
    }
  })
