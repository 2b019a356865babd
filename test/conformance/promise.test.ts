import { SandboxSDK } from "../../src/promise.js"
import { layerPromise } from "./promise.js"
import { conformance } from "./suite.js"

conformance("the Promise facade over the embedded engine", layerPromise(() => SandboxSDK.local({ network: "any" })))
