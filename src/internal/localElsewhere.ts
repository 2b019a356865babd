/**
 * Stands in for the embedded engine in bundles for browsers and edge workers, where Node's modules do not resolve: the
 * `browser` field of package.json puts it there.
 */
import * as Layer from "effect/Layer"
import { SandboxSDKError } from "../Errors.js"

/** Fails with `SandboxSDKError` `unsupported`. */
export const layerLocal = () =>
  Layer.fail(
    new SandboxSDKError({
      code: "unsupported",
      message: "The embedded engine starts processes on its machine, so it runs in Node only, not in this bundle."
    })
  )
