/**
 * Directories copied between this machine and a sandbox, as streams that tell how far they are.
 *
 * Small files go together, some hundred of them in one round trip; large ones go in pieces, so that no more than a few
 * megabytes are in memory. It works over every layer. The files of this machine are those of the `FileSystem` that the
 * program provides.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Stream from "effect/Stream"
import { download, type Downloading } from "./directory/Download.js"
import type { DirectoryProgress } from "./directory/Progress.js"
import { upload, type Uploading } from "./directory/Upload.js"
import type { RequestError } from "./Errors.js"
import type { DownloadDirectoryOptions, UploadDirectoryOptions } from "./Options.js"

export type { DirectoryProgress } from "./directory/Progress.js"

/**
 * Copies a directory of this machine, with all that is in it, into a directory of the sandbox, which is made when there is
 * none. Files that are there are replaced, others stay. Permissions and symbolic links are kept as they are, links not
 * followed; owners and times are not kept. What is neither file, directory nor link is left out, and told (`Skipped`).
 *
 * When it fails or is left, it stops. What was copied before stays, and each file is there whole or not at all.
 *
 * Fails as `writeFiles`, `writeFileStream` and `runTerminalStream` do. What cannot be read on this machine is a `SandboxError`
 * (`file_not_found`, `not_a_directory`, `permission_denied`, `file_error`) whose `field` is `from`; so is a name that is no
 * UTF-8. `file_error` with the `field` `to`: `chmod` or `ln` in the sandbox could not do it.
 *
 * @param from a directory of this machine.
 * @param to where it goes in the sandbox; `/workspace` by default.
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Console, Effect, Stream } from "effect"
 * import { Sandbox, uploadDirectory } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   yield* Stream.runForEach(
 *     uploadDirectory(sandbox, "./src", "src"),
 *     ({ bytes, path, totalBytes }) => Console.log(`${bytes} of ${totalBytes} bytes: ${path}`)
 *   )
 *   return yield* sandbox.runTerminal("find src -type f | wc -l")
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([layerLocal(), NodeContext.layer])))
 * ```
 *
 * @category directories
 */
export const uploadDirectory: (
  sandbox: Uploading,
  from: string,
  to?: string,
  options?: UploadDirectoryOptions
) => Stream.Stream<DirectoryProgress, RequestError, FileSystem.FileSystem | Path.Path> = upload

/**
 * Copies a directory of the sandbox, with all that is in it, into a directory of this machine, which is made when there is
 * none. Files that are there are replaced, others stay. Permissions are kept as far as the umask allows, owners and times are
 * not.
 *
 * Nothing is written outside of `to`, whatever the sandbox says: a name that is more than a name is refused, a directory is
 * never entered by a symbolic link that is there, and a link that may lead out is left out and told (`Skipped`), as is what
 * is neither file, directory nor link.
 *
 * When it fails or is left, it stops. What was copied before stays, and each file is there whole or not at all.
 *
 * Fails as `listFiles`, `readFiles` and `readFileStream` do: also with `file_not_found` for a file that code removes
 * meanwhile. `SandboxError` `quota_exceeded` with the `field` `maxBytes` or `maxEntries`: there is more than that;
 * `protocol_violation`: a name that no file can have; `file_error` with the `field` `from`: names that cannot be told apart,
 * as they are no UTF-8. What cannot be written on this machine is a `SandboxError` (`file_exists`, `permission_denied`,
 * `disk_full`, `file_error` and others) whose `field` is `to`.
 *
 * @param from a directory of the sandbox.
 * @param to where it goes on this machine.
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Stream } from "effect"
 * import { downloadDirectory, Sandbox } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   yield* sandbox.runTerminal("mkdir -p out && date > out/now")
 *   yield* Stream.runDrain(downloadDirectory(sandbox, "out", "./out"))
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([layerLocal(), NodeContext.layer])))
 * ```
 *
 * @category directories
 */
export const downloadDirectory: (
  sandbox: Downloading,
  from: string,
  to: string,
  options?: DownloadDirectoryOptions
) => Stream.Stream<DirectoryProgress, RequestError, FileSystem.FileSystem | Path.Path> = download
