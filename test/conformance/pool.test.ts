import { layerLocal } from "../../src/local.js"
import { conformance } from "./suite.js"

conformance("the embedded engine with sandboxes started ahead", layerLocal({ network: "any", pool: { size: 2 } }))
