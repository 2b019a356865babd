/**
 * A file of this machine, copied into a sandbox.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { decodeArguments, normalizePath } from "../internal/arguments.js"
import { call, callback } from "../internal/callbacks.js"
import type { FileProgress, UploadFileOptions } from "../Options.js"
import type { Sandbox } from "../Sandbox.js"
import { bytesOf, localError, requireLocal } from "./LocalFiles.js"

/** What of a sandbox is used. */
export type Uploading = Pick<Sandbox, "writeFileStream">

const OPERATION = "uploadFile"

const decodeOptions = decodeArguments(Schema.Struct({ onProgress: callback<FileProgress>() }), OPERATION)

/**
 * The copying; see `uploadFile` of `LocalFile.ts`.
 */
export const uploadFile = Effect.fn("SandboxSDK.uploadFile")(
  function*(sandbox: Uploading, from: string, to: string, options?: UploadFileOptions) {
    const fs = yield* FileSystem.FileSystem
    const { onProgress } = yield* decodeOptions(options)
    const local = yield* requireLocal(OPERATION, "from", from)
    const target = yield* normalizePath(OPERATION, to, "to")
    const unreadable = localError(OPERATION, "from", local, "read")
    const totalBytes = Number((yield* Effect.mapError(fs.stat(local), unreadable)).size)
    const told = (bytes: number) => onProgress === undefined ? Effect.void : call(onProgress, [{ bytes, totalBytes }])
    return yield* sandbox.writeFileStream(target, bytesOf(fs, local, unreadable, told))
  }
)
