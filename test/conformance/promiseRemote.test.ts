import { Effect, Layer, Redacted } from "effect"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/promise.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { layerPromise } from "./promise.js"
import { conformance } from "./suite.js"

const apiKey = "sk-conformance-of-promises"

const server = layerServer({ port: 0, apiKeys: [Redacted.make(apiKey)] }).pipe(
  Layer.provide(layerLocal({ network: "any" }))
)

conformance(
  "the Promise facade over a server",
  Layer.unwrapEffect(Effect.map(
    ServerAddress,
    ({ url }) => layerPromise(async () => new SandboxSDK({ apiKey, serverUrl: url }))
  )).pipe(Layer.provide(server))
)
