/**
 * A file of a sandbox, copied to this machine.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { decodeArguments, normalizePath } from "../internal/arguments.js"
import { call, callback } from "../internal/callbacks.js"
import * as Reusing from "../internal/reusing.js"
import { type DownloadFileOptions, type FileProgress, Limit } from "../Options.js"
import type { Sandbox } from "../Sandbox.js"
import { inPlace } from "./InPlace.js"
import { localError, requireLocal } from "./LocalFiles.js"
import { DEFAULT_BYTES, tooMuch } from "./Sizes.js"

/** What of a sandbox is used. */
export type Downloading = Pick<Sandbox, "statFile" | "readFileStream">

const OPERATION = "downloadFile"

const decodeOptions = decodeArguments(
  Schema.Struct({ maxBytes: Schema.optional(Limit), onProgress: callback<FileProgress>() }),
  OPERATION
)

/**
 * The copying; see `downloadFile` of `LocalFile.ts`.
 */
export const downloadFile = Effect.fn("SandboxSDK.downloadFile")(
  function*(sandbox: Downloading, from: string, to: string, options?: DownloadFileOptions) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { maxBytes = DEFAULT_BYTES, onProgress } = yield* decodeOptions(options)
    const source = yield* normalizePath(OPERATION, from, "from")
    const local = path.resolve(yield* requireLocal(OPERATION, "to", to))
    const unwritable = localError(OPERATION, "to", local, "written")

    const { size } = yield* sandbox.statFile(source)
    const told = (bytes: number) =>
      onProgress === undefined ? Effect.void : call(onProgress, [{ bytes, totalBytes: size }])
    const copyTo = (place: string, flag: "w" | "wx", begun: Effect.Effect<void>) =>
      Effect.scoped(Effect.gen(function*() {
        const file = yield* fs.open(place, { flag }).pipe(
          Effect.zipLeft(begun),
          Effect.uninterruptible,
          Effect.mapError(unwritable)
        )
        let bytes = 0
        yield* Stream.runForEach(Reusing.reusing(sandbox.readFileStream(source)), (piece) => {
          bytes += piece.length
          return bytes > maxBytes
            ? tooMuch(OPERATION, "maxBytes", maxBytes)
            : Effect.zipRight(Effect.mapError(file.writeAll(piece), unwritable), told(bytes))
        })
      }))

    // Of a link that is there, it is what it leads to that is replaced.
    const real = yield* Effect.option(fs.realPath(local))
    const there = yield* Effect.option(fs.stat(local))
    if (Option.exists(there, ({ type }) => type !== "File" && type !== "Directory")) {
      return yield* copyTo(local, "w", Effect.void)
    }
    yield* Effect.mapError(fs.makeDirectory(path.dirname(local), { recursive: true }), unwritable)
    yield* inPlace(
      fs,
      path,
      Option.getOrElse(real, () => local),
      unwritable,
      (temporary, begun) => copyTo(temporary, "wx", begun)
    )
  }
)
