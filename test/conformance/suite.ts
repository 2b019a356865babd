/**
 * What every layer of `SandboxSDK` must do. A layer is tested by one line:
 *
 * ```ts
 * conformance("the embedded engine", layerLocal({ network: "any" }))
 * ```
 *
 * The servers that sandboxes are to reach are on this machine, which the layer has to allow.
 */
import { layer as describeLayer } from "@effect/vitest"
import type { Layer } from "effect"
import type { SandboxSDK } from "../../src/SandboxSDK.js"
import { badArguments } from "./arguments.js"
import { batch } from "./batch.js"
import { contexts } from "./contexts.js"
import { directories } from "./directories.js"
import { executions } from "./executions.js"
import { files } from "./files.js"
import { javascript } from "./javascript.js"
import { otherLanguages } from "./languages.js"
import { lifecycle } from "./lifecycle.js"
import { network } from "./network.js"
import { output } from "./output.js"
import { pausing } from "./pausing.js"
import { ports } from "./ports.js"
import { processes } from "./processes.js"
import { python } from "./python.js"
import { snapshots } from "./snapshots.js"
import { stopping } from "./stopping.js"
import { templates } from "./templates.js"
import { terminal } from "./terminal.js"
import { says, skippingUnsupported, type Unsupported, watching } from "./unsupported.js"
import { skippingPython, withoutPython } from "./withoutPython.js"

/**
 * What a layer under test has not.
 */
export interface Lacks {
  /** Its sandboxes have no Python: tests that need it are skipped, and say so. */
  readonly python?: boolean
  /** What its protocol has no words for: tests that need it are skipped, and say so. */
  readonly unsupported?: Unsupported
}

/**
 * Runs the whole suite against a layer, which is built once.
 */
export const conformance = <E>(name: string, layer: Layer.Layer<SandboxSDK, E>, lacks: Lacks = {}): void => {
  const { python: hasNoPython, unsupported } = lacks
  const tested = hasNoPython === true
    ? withoutPython(layer)
    : unsupported === undefined
    ? layer
    : watching(layer, unsupported)
  describeLayer(tested, { timeout: "60 seconds", excludeTestServices: true })(name, (methods) => {
    if (unsupported !== undefined) {
      says(unsupported)(methods)
    }
    const it = hasNoPython === true
      ? skippingPython(methods)
      : unsupported === undefined
      ? methods
      : skippingUnsupported(methods, unsupported)
    for (
      const part of [
        lifecycle,
        python,
        output,
        stopping,
        otherLanguages,
        javascript,
        contexts,
        terminal,
        files,
        directories,
        templates,
        snapshots,
        batch,
        executions,
        processes,
        pausing,
        network,
        ports,
        badArguments
      ]
    ) {
      part(it)
    }
  })
}
