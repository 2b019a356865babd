import { Effect, Layer, Redacted } from "effect"
import { layerE2B } from "../../src/e2b.js"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { conformance } from "./suite.js"

const apiKey = "e2b_0123456789abcdef0123456789abcdef01234567"

const server = layerServer({ port: 0, apiKeys: [Redacted.make(apiKey)], e2b: true }).pipe(
  Layer.provide(layerLocal({ network: "any" }))
)

conformance(
  "E2B's protocol over the embedded engine",
  Layer.unwrapEffect(
    Effect.map(ServerAddress, ({ url }) => layerE2B({ apiKey, apiUrl: url, sandboxUrl: url, home: "/workspace" }))
  ).pipe(Layer.provide(server)),
  {
    unsupported: {
      operations: [
        "startSandbox",
        "stopSandbox",
        "getUsage",
        "listSnapshots",
        "attachBatch",
        "listExecutions",
        "getExecution",
        "cancelExecution",
        "getTemplates",
        "getTemplate",
        "createTemplate",
        "getTemplateBuilds",
        "streamTemplateBuild",
        "deleteTemplate",
        // With one URL for all sandboxes.
        "getPort",
        "getHost",
        "waitForPort",
        "closePort"
      ],
      fields: ["attach", "autoStart", "detached", "detachGraceMs", "envVars", "network", "resources", "signal"],
      untold: {}
    }
  }
)
