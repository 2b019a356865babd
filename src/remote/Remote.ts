/**
 * The service over HTTP.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { makeRunCodeAs } from "../internal/runCodeAs.js"
import * as Metrics from "../Metrics.js"
import { SandboxConfig } from "../SandboxConfig.js"
import type { Service } from "../SandboxSDK.js"
import * as Client from "./Client.js"
import { batchOperations } from "./operations/Batches.js"
import { contextOperations } from "./operations/Contexts.js"
import { executionOperations } from "./operations/Executions.js"
import { fileOperations } from "./operations/Files.js"
import { portOperations } from "./operations/Ports.js"
import { processOperations } from "./operations/Processes.js"
import { runOperations } from "./operations/Runs.js"
import { sandboxOperations } from "./operations/Sandboxes.js"
import { snapshotOperations } from "./operations/Snapshots.js"
import { templateOperations } from "./operations/Templates.js"

/**
 * Makes the service.
 */
export const make: Effect.Effect<Service, never, SandboxConfig | HttpClient.HttpClient | Scope.Scope> = Effect.gen(
  function*() {
    const { enableMetrics, metricsInterval } = yield* SandboxConfig
    const client = yield* Client.make
    const runs = runOperations(client)
    if (enableMetrics) {
      yield* Effect.forkScoped(Metrics.reporter(client.metrics.snapshot, { interval: metricsInterval }))
    }
    return {
      ...sandboxOperations(client),
      ...runs,
      // Counted as the `runCode` that it is made of.
      runCodeAs: makeRunCodeAs(runs.runCode),
      ...batchOperations(client),
      ...executionOperations(client),
      ...processOperations(client),
      ...fileOperations(client),
      ...contextOperations(client),
      ...portOperations(client),
      ...templateOperations(client),
      ...snapshotOperations(client),
      getMetrics: client.metrics.snapshot
    }
  }
)

/** `fetch`, which every runtime has. */
export const http: Layer.Layer<HttpClient.HttpClient> = FetchHttpClient.layer
