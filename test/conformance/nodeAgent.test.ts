import { Layer } from "effect"
import { Bubblewrap, layerEngine } from "../../src/local.js"
import { conformance } from "./suite.js"

conformance(
  "the embedded engine, with the agent in Node",
  layerEngine({ network: "any" }).pipe(Layer.provide(Bubblewrap.layer({ agent: "node" }))),
  { python: true }
)
