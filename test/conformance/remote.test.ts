import { Effect, Layer, Redacted } from "effect"
import { layerLocal } from "../../src/local.js"
import { SandboxConfig } from "../../src/SandboxConfig.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { conformance } from "./suite.js"

const apiKey = Redacted.make("the-key-of-the-conformance-suite")

const server = layerServer({ port: 0, apiKeys: [apiKey] }).pipe(Layer.provide(layerLocal({ network: "any" })))

const settings = Layer.unwrapEffect(
  Effect.map(ServerAddress, ({ url }) => SandboxConfig.layer({ apiKey, serverUrl: url }))
)

conformance("HTTP over the embedded engine", SandboxSDK.layerFetch.pipe(Layer.provide(settings), Layer.provide(server)))
