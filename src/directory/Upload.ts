/**
 * A directory of this machine, copied into a sandbox.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError, type SandboxSDKError } from "../Errors.js"
import { decodeArguments } from "../internal/arguments.js"
import { withField } from "../internal/manyFiles.js"
import { normalizePath, WORKSPACE } from "../internal/paths.js"
import { UploadDirectoryOptions } from "../Options.js"
import type { Sandbox } from "../Sandbox.js"
import { bytesOf, localError, requireLocal } from "./LocalFiles.js"
import { shellWord } from "./Names.js"
import { type Counter, type DirectoryProgress, type Place, progress } from "./Progress.js"
import { CONCURRENCY, makeBatch, SMALL_BYTES } from "./Sizes.js"

/** What of a sandbox is used. */
export type Uploading = Pick<Sandbox, "makeDirectory" | "writeFiles" | "writeFileStream" | "runTerminalStream">

interface File extends Place {
  readonly _tag: "File"
  readonly size: number
  readonly mode: number
}

type Entry =
  | File
  | Place & { readonly _tag: "Link"; readonly target: string }
  /** Comes after all that is in it. */
  | Place & { readonly _tag: "Directory"; readonly mode: number | undefined; readonly isLeaf: boolean }
  | Place & { readonly _tag: "Other" }

const OPERATION = "uploadDirectory"

const decodeOptions = decodeArguments(UploadDirectoryOptions, OPERATION)

const unreadable = (path: string) => localError(OPERATION, "from", path, "read")

/** Characters of a command: an argument of a program has at most 128 KiB (execve(2)), and a character up to four bytes. */
const COMMAND_SIZE = 30_000

/** What a command says that could not do its work. */
const COMPLAINT_BYTES = 2_000

/** Gives all entries below a directory, one after the other, then the directory itself. */
const walk = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  directory: Place,
  visit: (entry: Entry) => Effect.Effect<void, RequestError>
): Effect.Effect<void, RequestError> => {
  const describe = (directory: Place) =>
    Effect.fnUntraced(function*(name: string): Effect.fn.Return<Entry, SandboxError | SandboxSDKError> {
      const local = path.join(directory.local, name)
      const place = { local, path: yield* normalizePath(OPERATION, `${directory.path}/${name}`, "from") }
      const target = yield* Effect.option(fs.readLink(local))
      if (Option.isSome(target)) {
        return { _tag: "Link", ...place, target: target.value }
      }
      const { mode, size, type } = yield* Effect.mapError(
        fs.stat(local),
        (error) =>
          name.includes("\ufffd") && error._tag === "SystemError" && error.reason === "NotFound"
            ? new SandboxError({
              code: "file_error",
              field: "from",
              message: `${OPERATION}: the name of ${
                JSON.stringify(local)
              } is no UTF-8, so it cannot be said here; give it another.`
            })
            : unreadable(local)(error)
      )
      return type === "File"
        ? { _tag: "File", ...place, size: Number(size), mode: mode & 0o777 }
        : type === "Directory"
        ? { _tag: "Directory", ...place, mode: (mode & 0o777) | 0o700, isLeaf: false }
        : { _tag: "Other", ...place }
    })
  const below = (here: Place, mode?: number): Effect.Effect<void, RequestError> =>
    Effect.gen(function*() {
      const names = yield* Effect.mapError(fs.readDirectory(here.local), unreadable(here.local))
      const entries = yield* Effect.forEach(names.sort(), describe(here), { concurrency: CONCURRENCY })
      for (const entry of entries) {
        yield* entry._tag === "Directory" ? below(entry, entry.mode) : visit(entry)
      }
      const isLeaf = !entries.some(({ _tag }) => _tag === "File" || _tag === "Directory")
      yield* visit({ _tag: "Directory", ...here, mode, isLeaf })
    })
  return below(directory)
}

/** The content of a file, if it is still small: it may grow. */
const readSmall = (fs: FileSystem.FileSystem, { local, size }: File) =>
  Effect.gen(function*() {
    const file = yield* fs.open(local)
    const pieces: Array<Uint8Array> = []
    let length = 0
    while (length <= SMALL_BYTES) {
      const piece = yield* file.readAlloc(Math.max(size - length, 0) + 1)
      if (Option.isNone(piece)) {
        return Option.some(concat(pieces, length))
      }
      pieces.push(piece.value)
      length += piece.value.length
    }
    return Option.none<Uint8Array>()
  }).pipe(Effect.scoped, Effect.mapError(unreadable(local)))

const concat = (pieces: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const [first] = pieces
  if (first !== undefined && pieces.length === 1) {
    return first
  }
  const whole = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** A path as a word of a command that runs in `/workspace`, which another layer may have elsewhere. */
const word = (path: string) => shellWord(path === WORKSPACE ? "." : `./${path.slice(WORKSPACE.length + 1)}`)

/** Runs commands, as many together as one command line takes. */
const runAll = Effect.fnUntraced(function*(sandbox: Uploading, commands: ReadonlyArray<string>) {
  let start = 0
  while (start < commands.length) {
    let end = start
    for (let size = 0; end < commands.length && (end === start || size <= COMMAND_SIZE); end++) {
      size += commands[end]?.length ?? 0
    }
    const script = commands.slice(start, end).join(" &&\n")
    const { complaint, status } = yield* Stream.runFold(
      sandbox.runTerminalStream(script, { mergeOutput: true, maxOutputSize: COMPLAINT_BYTES }),
      { complaint: "", status: 0 },
      (seen, event) =>
        event._tag === "Stdout"
          ? { ...seen, complaint: seen.complaint + event.text }
          : event._tag === "Ended"
          ? { ...seen, status: event.exitCode ?? 0 }
          : seen
    )
    if (status !== 0) {
      return yield* new SandboxError({
        code: "file_error",
        field: "to",
        message: `${OPERATION}: permissions and symbolic links could not be set in the sandbox: ${
          JSON.stringify(complaint.trim())
        }. { permissions: false } leaves permissions out.`
      })
    }
    start = end
  }
})

/** Commands that give files their permissions, some hundred of them each. */
const chmods = (entries: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const byMode = new Map<number, Array<string>>()
  for (const entry of entries) {
    if ((entry._tag === "File" || entry._tag === "Directory") && entry.mode !== undefined) {
      const words = byMode.get(entry.mode) ?? []
      words.push(word(entry.path))
      byMode.set(entry.mode, words)
    }
  }
  return [...byMode].flatMap(([mode, words]) => {
    const commands: Array<string> = []
    let command = ""
    for (const each of words) {
      if (command !== "" && command.length + each.length > COMMAND_SIZE) {
        commands.push(command)
        command = ""
      }
      command = `${command === "" ? `chmod ${mode.toString(8)} --` : command} ${each}`
    }
    return [...commands, command]
  })
}

/** Copies one batch: small files in one round trip, large ones in pieces, then what needs the files. */
const copy = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  sandbox: Uploading,
  counter: Counter,
  entries: ReadonlyArray<Entry>,
  permissions: boolean
): Effect.fn.Return<void, RequestError> {
  const leaves = entries.filter((entry) => entry._tag === "Directory" && entry.isLeaf)
  yield* Effect.forEach(leaves, ({ path }) => sandbox.makeDirectory(path), { concurrency: CONCURRENCY, discard: true })
  const files = entries.filter((entry) => entry._tag === "File")
  const read = yield* Effect.forEach(
    files,
    (file) =>
      Effect.map(
        file.size > SMALL_BYTES ? Effect.succeedNone : readSmall(fs, file),
        (content) => ({ file, content: Option.getOrUndefined(content) })
      ),
    { concurrency: CONCURRENCY }
  )
  const small = read.flatMap(({ content, file }) => content === undefined ? [] : [{ file, content }])
  if (small.length > 0) {
    const contents = small.map(({ content, file: { path } }) => ({ path, content }))
    yield* Effect.mapError(
      sandbox.writeFiles(contents),
      withField((field) => field.startsWith("files.") ? "to" : field)
    )
    for (const { content, file } of small) {
      yield* counter.copied(file, content.length)
    }
  }
  for (const { content, file } of read) {
    if (content === undefined) {
      let length = 0
      const bytes = bytesOf(fs, file.local, unreadable(file.local), (read) => counter.copying(file, length = read))
      yield* sandbox.writeFileStream(file.path, bytes)
      yield* counter.copied(file, length)
    }
  }
  const links = entries.filter((entry) => entry._tag === "Link")
  yield* runAll(sandbox, [
    ...(permissions ? chmods(entries) : []),
    // With -T, a directory that is there is not taken for where the link is to go.
    ...links.map(({ path, target }) => `ln -sfT -- ${shellWord(target)} ${word(path)}`)
  ])
  yield* Effect.forEach(links, (link) => counter.copied(link, 0, "symlink"), { discard: true })
  const others = entries.filter((entry) => entry._tag === "Other")
  yield* Effect.forEach(others, (other) => counter.skipped(other, "neither a file nor a directory"), { discard: true })
})

/**
 * The copying; see `uploadDirectory` of the module above.
 */
export const upload = (
  sandbox: Uploading,
  from: string,
  to: string = WORKSPACE,
  options?: UploadDirectoryOptions
): Stream.Stream<DirectoryProgress, RequestError, FileSystem.FileSystem | Path.Path> =>
  progress((counterOf) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const { permissions = true } = yield* decodeOptions(options)
      const local = path.resolve(yield* requireLocal(OPERATION, "from", from))
      const top = { local, path: yield* normalizePath(OPERATION, to, "to") }
      let files = 0
      let bytes = 0
      yield* walk(fs, path, top, (entry) =>
        Effect.sync(() => {
          files += entry._tag === "File" || entry._tag === "Link" ? 1 : 0
          bytes += entry._tag === "File" ? entry.size : 0
        }))
      const counter = counterOf({ files, bytes })
      const batch = makeBatch<Entry>((entry) => entry._tag === "File" ? entry.size : 0)
      // What Windows calls permissions are none.
      const flush = Effect.suspend(() => copy(fs, sandbox, counter, batch.take(), permissions && path.sep === "/"))
      yield* walk(fs, path, top, (entry) => Effect.suspend(() => batch.add(entry) ? flush : Effect.void))
      yield* flush
    })
  ).pipe(Stream.withSpan("SandboxSDK.uploadDirectory"))
