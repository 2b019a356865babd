import { layerLocal } from "../../src/local.js"
import { conformance } from "./suite.js"

conformance("the embedded engine", layerLocal({ network: "any" }))
