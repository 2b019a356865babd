import { Effect, Layer } from "effect"
import { Bubblewrap, layerEngine } from "../../src/local.js"
import { withoutPython } from "../conformance/withoutPython.js"
import { guarantees, softHere } from "./soft.js"
import { escapes } from "./suite.js"

escapes(
  "out of the embedded engine, with the agent in Node",
  withoutPython(Layer.provide(layerEngine(), Bubblewrap.layer({ agent: "node" }))),
  { soft: Effect.flatMap(guarantees, softHere), pythonAsCommand: true }
)
