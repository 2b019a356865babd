import { Effect } from "effect"
import { layerLocal } from "../../src/local.js"
import { guarantees, softHere } from "./soft.js"
import { escapes } from "./suite.js"

escapes("out of the embedded engine", layerLocal(), { soft: Effect.flatMap(guarantees, softHere) })
