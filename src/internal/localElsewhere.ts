/**
 * Stands in for the embedded engine in bundles for browsers and edge workers, where Node's modules do not resolve: the
 * `browser` field of package.json puts it there.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { SandboxSDKError } from "../Errors.js"

const unsupported = new SandboxSDKError({
  code: "unsupported",
  message: "The embedded engine starts processes on its machine, so it runs in Node only, not in this bundle."
})

/** Fails with `SandboxSDKError` `unsupported`. */
export const layerLocal = () => Layer.fail(unsupported)

/** Fails with `SandboxSDKError` `unsupported`. */
export const inspect = Effect.fail(unsupported)

const noFiles = new SandboxSDKError({
  code: "unsupported",
  message: "Files and directories are copied from and to those of a machine, so only in Node, not in this bundle."
})

/** Fails with `SandboxSDKError` `unsupported`. */
export const uploadFile = () => Effect.fail(noFiles)

/** Fails with `SandboxSDKError` `unsupported`. */
export const downloadFile = () => Effect.fail(noFiles)

/** Fails with `SandboxSDKError` `unsupported`. */
export const uploadDirectory = () => Stream.fail(noFiles)

/** Fails with `SandboxSDKError` `unsupported`. */
export const downloadDirectory = () => Stream.fail(noFiles)
