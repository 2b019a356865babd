/**
 * A directory of a sandbox, copied to this machine. What the sandbox says is not believed: a name may be made up to land
 * elsewhere, a link may lead out, a size may be any.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError } from "../Errors.js"
import type { FileContent, FileInfo } from "../File.js"
import { decodeArguments } from "../internal/arguments.js"
import { withField } from "../internal/manyFiles.js"
import { normalizePath } from "../internal/paths.js"
import * as Reusing from "../internal/reusing.js"
import { DownloadDirectoryOptions } from "../Options.js"
import type { Sandbox } from "../Sandbox.js"
import { inPlace } from "./InPlace.js"
import { localError, requireLocal } from "./LocalFiles.js"
import { isPlain, staysBelow } from "./Names.js"
import { type DirectoryProgress, type Place, progress } from "./Progress.js"
import { CONCURRENCY, DEFAULT_BYTES, makeBatch, SMALL_BYTES, tooMuch } from "./Sizes.js"

/** What of a sandbox is used. */
export type Downloading = Pick<Sandbox, "listFiles" | "readFiles" | "readFileStream">

interface Entry extends Place {
  readonly info: FileInfo
  /** How many directories below the top it is in. */
  readonly depth: number
}

const OPERATION = "downloadDirectory"

const DEFAULT_ENTRIES = 1_000_000

const decodeOptions = decodeArguments(DownloadDirectoryOptions, OPERATION)

const unwritable = (path: string) => localError(OPERATION, "to", path, "written")

const refuse = (code: "protocol_violation" | "file_error", path: string, why: string) =>
  new SandboxError({ code, field: "from", message: `${OPERATION}: ${JSON.stringify(path)} in the sandbox ${why}.` })

const sizeOf = ({ info }: Entry): number => Math.max(0, info.size)

/** Gives the entries below a directory; a directory comes before what is in it. */
const walk = (
  sandbox: Downloading,
  path: Path.Path,
  top: Place,
  visit: (entry: Entry) => Effect.Effect<void, RequestError>
): Effect.Effect<void, RequestError> => {
  const below = (here: Place, depth: number): Effect.Effect<void, RequestError> =>
    Effect.gen(function*() {
      const { files } = yield* Effect.mapError(sandbox.listFiles(here.path), withField(() => "from"))
      const names = new Set<string>()
      for (const info of files) {
        const { name } = info
        const place = { path: `${here.path}/${name}`, local: path.join(here.local, name) }
        if (!isPlain(name, path.sep)) {
          return yield* refuse("protocol_violation", place.path, "has a name that no file here can have")
        }
        if (names.has(name)) {
          return yield* refuse("file_error", place.path, "is there twice: names that are no UTF-8 look alike")
        }
        names.add(name)
        yield* visit({ ...place, info, depth })
        if (info.type === "directory") {
          yield* below(place, depth + 1)
        }
      }
    })
  return below(top, 0)
}

/** Whether a path of this machine is a symbolic link. */
const isLink = (fs: FileSystem.FileSystem, local: string) => Effect.isSuccess(fs.readLink(local))

/** Makes a directory, or finds it; never what a symbolic link leads to. */
const enter = (fs: FileSystem.FileSystem, { info, local }: Entry): Effect.Effect<void, SandboxError> =>
  fs.makeDirectory(local, { mode: (info.mode | 0o700) & 0o777 }).pipe(
    Effect.catchIf(
      (error) => error._tag === "SystemError" && error.reason === "AlreadyExists",
      (error) =>
        Effect.gen(function*() {
          const { type } = yield* fs.stat(local)
          if (type !== "Directory" || (yield* isLink(fs, local))) {
            return yield* error
          }
        })
    ),
    Effect.mapError(unwritable(local))
  )

/**
 * The copying; see `downloadDirectory` of the module above.
 */
export const download = (
  sandbox: Downloading,
  from: string,
  to: string,
  options?: DownloadDirectoryOptions
): Stream.Stream<DirectoryProgress, RequestError, FileSystem.FileSystem | Path.Path> =>
  progress((counterOf) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const { maxBytes = DEFAULT_BYTES, maxEntries = DEFAULT_ENTRIES } = yield* decodeOptions(options)
      const source = yield* normalizePath(OPERATION, from, "from")
      const top = { path: source, local: path.resolve(yield* requireLocal(OPERATION, "to", to)) }

      let files = 0
      let bytes = 0
      let entries = 0
      const seen = Effect.suspend(() =>
        ++entries > maxEntries ? tooMuch(OPERATION, "maxEntries", maxEntries) : Effect.void
      )
      yield* walk(sandbox, path, top, (entry) =>
        Effect.flatMap(seen, () => {
          const { type } = entry.info
          files += type === "file" || type === "symlink" ? 1 : 0
          bytes += type === "file" ? sizeOf(entry) : 0
          return bytes > maxBytes ? tooMuch(OPERATION, "maxBytes", maxBytes) : Effect.void
        }))

      yield* Effect.mapError(fs.makeDirectory(top.local, { recursive: true }), unwritable(top.local))
      const real = yield* Effect.mapError(fs.realPath(top.local), unwritable(top.local))
      const counter = counterOf({ files, bytes })
      let received = 0
      const receive = (length: number) =>
        Effect.suspend(() => {
          received += length
          return received > maxBytes ? tooMuch(OPERATION, "maxBytes", maxBytes) : Effect.void
        })

      /** Writes a file; the permissions are what the umask leaves of those that it has in the sandbox. */
      const write = (
        { info, local }: Entry,
        content: (put: (piece: Uint8Array) => Effect.Effect<void, SandboxError>) => Effect.Effect<void, RequestError>
      ) =>
        inPlace(fs, path, local, unwritable(local), (temporary, begun) =>
          Effect.scoped(Effect.gen(function*() {
            const file = yield* fs.open(temporary, { flag: "wx", mode: info.mode & 0o777 }).pipe(
              Effect.zipLeft(begun),
              Effect.uninterruptible,
              Effect.mapError(unwritable(local))
            )
            yield* content((piece) => Effect.mapError(file.writeAll(piece), unwritable(local)))
          })))

      const large = (entry: Entry) =>
        Effect.gen(function*() {
          let length = 0
          yield* write(entry, (put) =>
            Stream.runForEach(Reusing.reusing(sandbox.readFileStream(entry.path)), (piece) =>
              Effect.gen(function*() {
                yield* receive(piece.length)
                yield* put(piece)
                length += piece.length
                yield* counter.copying(entry, length)
              })))
          yield* counter.copied(entry, length)
        })

      const small = (batch: ReadonlyArray<Entry>) =>
        sandbox.readFiles(batch.map((entry) => entry.path)).pipe(
          Effect.mapError(withField((field) => field.startsWith("paths") ? "from" : field)),
          Effect.map(Option.some),
          // They have grown.
          Effect.catchIf(
            (error) => error._tag === "SandboxError" && error.code === "quota_exceeded",
            () => Effect.succeed(Option.none<ReadonlyArray<FileContent>>())
          ),
          Effect.flatMap(Option.match({
            onNone: () => Effect.forEach(batch, large, { discard: true }),
            onSome: (contents) =>
              Effect.forEach(batch, (entry, index) => {
                const content = contents[index]?.content
                return content === undefined
                  ? refuse("protocol_violation", entry.path, "was not given with the others")
                  : receive(content.length).pipe(
                    Effect.zipRight(write(entry, (put) => put(content))),
                    Effect.zipRight(counter.copied(entry, content.length))
                  )
              }, { concurrency: CONCURRENCY, discard: true })
          }))
        )

      /** Whether a link leads into the directory, also by way of links that were there before. */
      const leadsIn = ({ depth, local }: Entry, target: string) =>
        Effect.suspend(() =>
          !staysBelow(target, depth)
            ? Effect.succeed(false)
            : fs.realPath(path.join(path.dirname(local), target)).pipe(
              Effect.map((place) => place === real || place.startsWith(real + path.sep)),
              // There is nothing yet.
              Effect.catchAll(() => Effect.succeed(true))
            )
        )

      const link = (entry: Entry) =>
        Effect.gen(function*() {
          const { info: { target = "" }, local } = entry
          if (path.sep !== "/" || target.includes("\ufffd")) {
            return yield* counter.skipped(entry, "a symbolic link that cannot be made here")
          }
          if (!(yield* leadsIn(entry, target))) {
            return yield* counter.skipped(entry, "a symbolic link that leads out of the directory")
          }
          yield* inPlace(fs, path, local, unwritable(local), (temporary, begun) =>
            fs.symlink(target, temporary).pipe(
              Effect.zipLeft(begun),
              Effect.uninterruptible,
              Effect.mapError(unwritable(local))
            ))
          yield* counter.copied(entry, 0, "symlink")
        })

      const batch = makeBatch(sizeOf)
      const flush = Effect.suspend(() => {
        const taken = batch.take()
        return taken.length === 0 ? Effect.void : small(taken)
      })
      entries = 0
      yield* walk(sandbox, path, top, (entry) =>
        Effect.gen(function*() {
          yield* seen
          const { type } = entry.info
          yield* type === "directory"
            ? enter(fs, entry)
            : type === "symlink"
            ? link(entry)
            : type !== "file"
            ? counter.skipped(entry, "neither a file nor a directory")
            : sizeOf(entry) > SMALL_BYTES
            ? large(entry)
            : batch.add(entry)
            ? flush
            : Effect.void
        }))
      yield* flush
    })
  ).pipe(Stream.withSpan("SandboxSDK.downloadDirectory"))
