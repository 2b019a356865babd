/**
 * One file copied between this machine and a sandbox.
 *
 * It works over every layer, in pieces, so that no more than a few megabytes are in memory, which are used again where the
 * engine is in this process. The files of this machine are those of the `FileSystem` that the program provides. Whole
 * directories: `uploadDirectory` and `downloadDirectory`.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Effect from "effect/Effect"
import * as Download from "./directory/DownloadFile.js"
import * as Upload from "./directory/UploadFile.js"
import type { RequestError } from "./Errors.js"
import type { DownloadFileOptions, UploadFileOptions } from "./Options.js"

/**
 * Copies a file of this machine into the sandbox, and gives its absolute path there. Folders above it are made. It is
 * written as by `writeFileStream`: a reader sees the old file or the new one, and when the copying fails or is interrupted,
 * nothing has changed. Neither owner, permissions nor times are kept: a new file gets 0644, one that is replaced keeps its
 * permissions.
 *
 * Fails as `writeFileStream` does. What cannot be read on this machine is a `SandboxError` (`file_not_found`,
 * `not_a_file`, `permission_denied`, `file_error`) whose `field` is `from`.
 *
 * @param from a file of this machine.
 * @param to where it goes in the sandbox, as the path of a file; relative ones lie in `/workspace`.
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Console, Effect } from "effect"
 * import { Sandbox, uploadFile } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   yield* uploadFile(sandbox, "package.json", "in/package.json", {
 *     onProgress: ({ bytes, totalBytes }) => Console.log(`${bytes} of ${totalBytes} bytes`)
 *   })
 *   return yield* sandbox.runTerminal("wc -c in/package.json")
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([layerLocal(), NodeContext.layer])))
 * ```
 *
 * @category files
 */
export const uploadFile: (
  sandbox: Upload.Uploading,
  from: string,
  to: string,
  options?: UploadFileOptions
) => Effect.Effect<string, RequestError, FileSystem.FileSystem> = Upload.uploadFile

/**
 * Copies a file of the sandbox to this machine. Folders above it are made. The file appears when it is whole: until then,
 * and when the copying fails or is interrupted, what was there stays. Where a symbolic link is, what it leads to is replaced;
 * a device or a pipe is written to. Neither owner, permissions nor times are kept.
 *
 * Fails as `statFile` and `readFileStream` do. `SandboxError` `quota_exceeded` with the `field` `maxBytes`: it has more than
 * that. What cannot be written on this machine is a `SandboxError` (`not_a_file`, `permission_denied`, `disk_full`,
 * `file_error` and others) whose `field` is `to`.
 *
 * @param from a file of the sandbox.
 * @param to where it goes on this machine, as the path of a file.
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { downloadFile, Sandbox } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   yield* sandbox.runTerminal("seq 1000000 > numbers")
 *   yield* downloadFile(sandbox, "numbers", "./out/numbers")
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([layerLocal(), NodeContext.layer])))
 * ```
 *
 * @category files
 */
export const downloadFile: (
  sandbox: Download.Downloading,
  from: string,
  to: string,
  options?: DownloadFileOptions
) => Effect.Effect<void, RequestError, FileSystem.FileSystem | Path.Path> = Download.downloadFile
