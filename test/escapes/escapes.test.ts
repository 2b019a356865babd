import { layerLocal } from "../../src/local.js"
import { escapes } from "./suite.js"

escapes("out of the embedded engine", layerLocal())
