/**
 * Operations on files.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { BYTES } from "../../api/Streams.js"
import { type RequestError, SandboxError, SandboxSDKError } from "../../Errors.js"
import type { FileContent, FileEvent, FileInfo } from "../../File.js"
import { decodeArguments, invalidArgument, normalizePath, requireId, WORKSPACE } from "../../internal/arguments.js"
import * as Callbacks from "../../internal/callbacks.js"
import type { FileOperations } from "../../internal/groups.js"
import {
  fileField,
  MAX_READ_BYTES,
  pathField,
  requireFiles,
  requirePaths,
  tooMuchToRead,
  type WantedFile
} from "../../internal/manyFiles.js"
import { MakeDirectoryOptions, ReadFileOptions, WatchFilesOptions, WriteFileOptions } from "../../Options.js"
import { sendBody } from "../../remote/Upload.js"
import * as Calls from "../Calls.js"
import type { Call, Client } from "../Client.js"
import { parentOf, toCaller, toServer } from "../Paths.js"
import { Entries, type Entry, OneEntry, WatchMessage, Written } from "../Protocol.js"

const decodeRead = decodeArguments(ReadFileOptions, "readFile")
const decodeWrite = decodeArguments(WriteFileOptions, "writeFile")
const decodeWriteStream = decodeArguments(WriteFileOptions, "writeFileStream")
const decodeWriteMany = decodeArguments(WriteFileOptions, "writeFiles")
const decodeMakeDirectory = decodeArguments(MakeDirectoryOptions, "makeDirectory")
const decodeWatch = decodeArguments(WatchFilesOptions, "watchFiles")

/** The service of envd. */
const SERVICE = "filesystem.Filesystem"

/** Beside what the protocol knows by name, the first letter of the permissions tells it. */
const typeOf = ({ permissions, type }: typeof Entry.Type): FileInfo["type"] => {
  switch (type) {
    case "FILE_TYPE_FILE":
      return "file"
    case "FILE_TYPE_DIRECTORY":
      return "directory"
    case "FILE_TYPE_SYMLINK":
      return "symlink"
    default:
      return permissions.startsWith("p")
        ? "fifo"
        : permissions.startsWith("S")
        ? "socket"
        : permissions.startsWith("D")
        ? "device"
        : "unknown"
  }
}

const kinds: Readonly<Record<string, FileEvent["type"]>> = {
  EVENT_TYPE_CREATE: "created",
  EVENT_TYPE_WRITE: "modified",
  EVENT_TYPE_REMOVE: "deleted",
  // Of a move, the protocol tells the old name like this, and the new one as an entry that has come to be.
  EVENT_TYPE_RENAME: "deleted",
  EVENT_TYPE_CHMOD: "attributes"
}

const isMissing = (error: RequestError): boolean => error._tag === "SandboxError" && error.code === "file_not_found"

const concat = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const piece of pieces) {
    whole.set(piece, offset)
    offset += piece.length
  }
  return whole
}

/** How many files are read at a time. */
const AT_ONCE = 8

/** How much of many files goes in one request, in characters or bytes; and how many files. */
const BATCH_SIZE = 8 * 1024 * 1024
const BATCH_FILES = 1_000

/** The files that go together, from the first on. */
const takeBatch = (files: ReadonlyArray<WantedFile>, start: number): ReadonlyArray<WantedFile> => {
  let size = 0
  const beyond = files.findIndex((file, index) => {
    if (index < start) return false
    size += file.content.length
    return index > start && (size > BATCH_SIZE || index >= start + BATCH_FILES)
  })
  return files.slice(start, beyond < 0 ? undefined : beyond)
}

/** An error about one of many. */
const about = (field: string) => (error: RequestError): RequestError =>
  error._tag === "SandboxError"
    ? new SandboxError({ ...error, message: error.message, field })
    : error._tag === "SandboxSDKError"
    ? new SandboxSDKError({ ...error, message: error.message, field })
    : error

/**
 * Makes the operations.
 */
export const fileOperations = (client: Client): FileOperations => {
  const { metrics, settings } = client
  const { home } = settings

  const infoOf = (entry: typeof Entry.Type): FileInfo => {
    const type = typeOf(entry)
    const modifiedAt = entry.modifiedTime === undefined ? 0 : Date.parse(entry.modifiedTime)
    return {
      path: toCaller(home, entry.path),
      name: entry.name,
      type,
      isDirectory: type === "directory",
      size: entry.size,
      mode: entry.mode & 0o7777,
      createdAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
      modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
      ...typeof entry.symlinkTarget === "string" ? { target: entry.symlinkTarget } : {}
    }
  }

  /** The path and the id, both checked: the path first, as everywhere. */
  const at = Effect.fnUntraced(function*(operation: string, id: unknown, path: unknown, field?: string) {
    const absolute = yield* normalizePath(operation, path, field)
    return { sandboxId: yield* requireId(operation, id), path: absolute }
  })

  const call = (operation: string, sandboxId: string, effect: Call["effect"] = "none") => ({
    operation,
    effect,
    sandboxId,
    missing: "file_not_found" as const,
    refused: "file_error" as const
  })

  const stat = (operation: string, sandboxId: string, path: string): Effect.Effect<FileInfo, RequestError> =>
    Effect.map(
      Calls.unary(client, call(operation, sandboxId), `${SERVICE}/Stat`, { path: toServer(home, path) }, OneEntry),
      ({ entry }) => infoOf(entry)
    )

  /** The protocol has one word for what is wrong with a path: a look says which it is. */
  const explained =
    (operation: string, sandboxId: string, path: string, asDirectory = false) => (error: RequestError) =>
      error._tag !== "SandboxError" || error.code !== "file_error"
        ? Effect.fail(error)
        : Effect.flatMap(Effect.option(stat(operation, sandboxId, path)), (found) =>
          Effect.fail(
            new SandboxError({
              code: Option.isNone(found) || asDirectory
                ? "not_a_directory"
                : found.value.type === "file"
                ? "file_error"
                : "not_a_file",
              sandboxId,
              message: error.message
            })
          ))

  const read = (operation: string, sandboxId: string, path: string): Stream.Stream<Uint8Array, RequestError> =>
    Stream.catchAll(
      client.stream(
        call(operation, sandboxId),
        "envd",
        HttpClientRequest.setUrlParams(HttpClientRequest.get("/files"), {
          path: toServer(home, path),
          username: "user"
        }),
        false
      ),
      (error) => Stream.fromEffect(explained(operation, sandboxId, path)(error))
    )

  const readAll = Effect.fnUntraced(function*(operation: string, id: unknown, file: unknown) {
    const { path, sandboxId } = yield* at(operation, id, file)
    const pieces = yield* Stream.runCollect(read(operation, sandboxId, path))
    const bytes = concat([...pieces])
    yield* metrics.bytes("out", bytes.length)
    return bytes
  })

  const put = (
    operation: string,
    sandboxId: string,
    path: string,
    body: HttpBody.HttpBody,
    limitTime?: Call["limitTime"]
  ): Effect.Effect<string, RequestError> =>
    client.json(
      { ...call(operation, sandboxId, limitTime === undefined ? "repeatable" : "once"), limitTime },
      "envd",
      HttpClientRequest.post("/files").pipe(
        HttpClientRequest.setUrlParams({ path: toServer(home, path), username: "user" }),
        HttpClientRequest.setBody(body)
      ),
      Written
    ).pipe(
      Effect.map(([written]) => written === undefined ? path : toCaller(home, written.path)),
      Effect.catchAll(explained(operation, sandboxId, path))
    )

  /** Several in one form, whose files have their paths as names. */
  const putMany = (
    sandboxId: string,
    files: ReadonlyArray<WantedFile>
  ): Effect.Effect<ReadonlyArray<string>, RequestError> =>
    Effect.suspend(() => {
      const form = new FormData()
      for (const { content, path } of files) {
        form.append(
          "file",
          new Blob([typeof content === "string" ? content : content.slice()]),
          toServer(home, path)
        )
      }
      return Effect.map(
        client.json(
          call("writeFiles", sandboxId, "repeatable"),
          "envd",
          HttpClientRequest.post("/files").pipe(
            HttpClientRequest.setUrlParams({ username: "user" }),
            HttpClientRequest.setBody(HttpBody.formData(form))
          ),
          Written
        ),
        (written) => written.map(({ path }) => toCaller(home, path))
      )
    })

  /** The folder of a path has to be there already, where it is not to be made. */
  const requireParent = (operation: string, sandboxId: string, path: string, create: boolean) =>
    create ? Effect.void : Effect.asVoid(stat(operation, sandboxId, parentOf(path)))

  const contentBytes = (operation: string, content: unknown) =>
    typeof content === "string"
      ? Effect.succeed(new TextEncoder().encode(content))
      : content instanceof Uint8Array
      ? Effect.succeed(content)
      : Effect.fail(invalidArgument(operation, "content", "content must be a string or a Uint8Array."))

  return {
    readFile: Effect.fn("SandboxSDK.readFile")(function*(id, path, input) {
      const { encoding = "utf-8" } = yield* decodeRead(input)
      const bytes = yield* readAll("readFile", id, path)
      return encoding === "base64"
        ? Encoding.encodeBase64(bytes)
        : yield* Either.mapLeft(
          Either.try(() => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)),
          () =>
            invalidArgument(
              "readFile",
              "encoding",
              `encoding is "utf-8", but ${path} is no UTF-8 text; use { encoding: "base64" } or readFileBytes.`
            )
        )
    }, metrics.track("readFile")),
    readFileBytes: Effect.fn("SandboxSDK.readFileBytes")(function*(id, path) {
      return yield* readAll("readFileBytes", id, path)
    }, metrics.track("readFileBytes")),
    readFileStream: (id, file) =>
      Stream.unwrap(Effect.map(
        at("readFileStream", id, file),
        ({ path, sandboxId }) => read("readFileStream", sandboxId, path)
      )).pipe(
        metrics.trackBytes("out"),
        metrics.trackStream("readFileStream"),
        Stream.withSpan("SandboxSDK.readFileStream")
      ),
    writeFile: Effect.fn("SandboxSDK.writeFile")(function*(id, file, content, options) {
      const { createParents = true } = yield* decodeWrite(options)
      const bytes = yield* contentBytes("writeFile", content)
      const { path, sandboxId } = yield* at("writeFile", id, file)
      yield* requireParent("writeFile", sandboxId, path, createParents)
      const written = yield* put("writeFile", sandboxId, path, HttpBody.uint8Array(bytes, BYTES))
      yield* metrics.bytes("in", bytes.length)
      return written
    }, metrics.track("writeFile")),
    writeFileStream: Effect.fn("SandboxSDK.writeFileStream")(function*(id, file, content, options) {
      const { createParents = true } = yield* decodeWriteStream(options)
      const { path, sandboxId } = yield* at("writeFileStream", id, file)
      yield* requireParent("writeFileStream", sandboxId, path, createParents)
      return yield* sendBody(
        client.peer,
        metrics.trackBytes("in")(content),
        (body, limitTime) => put("writeFileStream", sandboxId, path, body, limitTime ?? ((request) => request))
      )
    }, metrics.track("writeFileStream")),
    writeFiles: Effect.fn("SandboxSDK.writeFiles")(function*(id, files, options) {
      const { createParents = true } = yield* decodeWriteMany(options)
      const wanted = yield* requireFiles(files)
      const sandboxId = yield* requireId("writeFiles", id)
      const one = ({ content, path }: WantedFile, index: number) =>
        Effect.gen(function*() {
          yield* requireParent("writeFiles", sandboxId, path, createParents)
          const bytes = yield* contentBytes("writeFiles", content)
          return yield* put("writeFiles", sandboxId, path, HttpBody.uint8Array(bytes, BYTES))
        }).pipe(Effect.mapError(about(fileField(index))))
      const written: Array<string> = []
      while (written.length < wanted.length) {
        const start = written.length
        const batch = takeBatch(wanted, start)
        const [first] = batch
        const paths = first === undefined || batch.length === 1 || !createParents
          ? yield* Effect.forEach(batch, (file, index) => one(file, start + index))
          // Of several the answer does not say which it was: one by one they do, and those before it are as they would be.
          : yield* Effect.catchTag(
            putMany(sandboxId, batch),
            "SandboxError",
            () => Effect.forEach(batch, (file, index) => one(file, start + index))
          )
        yield* metrics.bytes("in", batch.reduce((sum, { content }) => sum + content.length, 0))
        written.push(...paths)
      }
      return written
    }, metrics.track("writeFiles")),
    readFiles: Effect.fn("SandboxSDK.readFiles")(function*(id, wanted) {
      const paths = yield* requirePaths(wanted)
      yield* requireId("readFiles", id)
      let total = 0
      return yield* Effect.forEach(paths, (path, index) =>
        Effect.gen(function*() {
          const pieces: Array<Uint8Array> = []
          yield* Stream.runForEach(read("readFiles", id, path), (piece) => {
            pieces.push(piece)
            total += piece.length
            return total > MAX_READ_BYTES ? Effect.fail(tooMuchToRead(index, path)) : Effect.void
          })
          const content = concat(pieces)
          yield* metrics.bytes("out", content.length)
          return { path: wanted[index] ?? path, content } satisfies FileContent
        }).pipe(Effect.mapError(about(pathField(index)))), { concurrency: AT_ONCE })
    }, metrics.track("readFiles")),
    deleteFile: Effect.fn("SandboxSDK.deleteFile")(function*(id, file) {
      const { path, sandboxId } = yield* at("deleteFile", id, file)
      // There, one that is not there is removed with success.
      const { entries } = yield* Calls.unary(
        client,
        call("deleteFile", sandboxId),
        `${SERVICE}/ListDir`,
        { path: toServer(home, parentOf(path)), depth: 1 },
        Entries
      )
      if (!entries.some(({ name }) => name === path.slice(path.lastIndexOf("/") + 1))) {
        return yield* new SandboxError({ code: "file_not_found", sandboxId, message: `There is no ${path}.` })
      }
      yield* Calls.unary(
        client,
        call("deleteFile", sandboxId, "once"),
        `${SERVICE}/Remove`,
        { path: toServer(home, path) },
        Calls.Nothing
      )
    }, metrics.track("deleteFile")),
    listFiles: Effect.fn("SandboxSDK.listFiles")(function*(id, directory = WORKSPACE) {
      const { path, sandboxId } = yield* at("listFiles", id, directory, "directory")
      const { entries } = yield* Calls.unary(
        client,
        call("listFiles", sandboxId),
        `${SERVICE}/ListDir`,
        { path: toServer(home, path), depth: 1 },
        Entries
      ).pipe(Effect.catchAll(explained("listFiles", sandboxId, path, true)))
      return {
        directory: path,
        files: entries.map(infoOf).sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
      }
    }, metrics.track("listFiles")),
    statFile: Effect.fn("SandboxSDK.statFile")(function*(id, file) {
      const { path, sandboxId } = yield* at("statFile", id, file)
      return yield* stat("statFile", sandboxId, path)
    }, metrics.track("statFile")),
    makeDirectory: Effect.fn("SandboxSDK.makeDirectory")(function*(id, directory, options) {
      const { parents = true } = yield* decodeMakeDirectory(options)
      const { path, sandboxId } = yield* at("makeDirectory", id, directory)
      yield* requireParent("makeDirectory", sandboxId, path, parents)
      return yield* Calls.unary(
        client,
        call("makeDirectory", sandboxId, "once"),
        `${SERVICE}/MakeDir`,
        { path: toServer(home, path) },
        OneEntry
      ).pipe(
        Effect.map(({ entry }) => infoOf(entry)),
        Effect.catchIf(
          (error) => parents && error._tag === "SandboxError" && error.code === "file_exists",
          (error) =>
            Effect.filterOrFail(stat("makeDirectory", sandboxId, path), ({ isDirectory }) => isDirectory, () => error)
        )
      )
    }, metrics.track("makeDirectory")),
    moveFile: Effect.fn("SandboxSDK.moveFile")(function*(id, from, target) {
      const to = yield* normalizePath("moveFile", target, "to")
      const { path, sandboxId } = yield* at("moveFile", id, from)
      const { entry } = yield* Calls.unary(
        client,
        call("moveFile", sandboxId, "once"),
        `${SERVICE}/Move`,
        { source: toServer(home, path), destination: toServer(home, to) },
        OneEntry
      )
      return infoOf(entry)
    }, metrics.track("moveFile")),
    watchFiles: (id, directory = WORKSPACE, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const { onStart, recursive = false } = yield* decodeWatch(options)
        const { path, sandboxId } = yield* at("watchFiles", id, directory, "directory")
        const folders = new Set<string>()
        return Calls.streaming(
          client,
          call("watchFiles", sandboxId),
          `${SERVICE}/WatchDir`,
          { path: toServer(home, path), recursive },
          WatchMessage
        ).pipe(
          Stream.tap(({ start }) => start === undefined ? Effect.void : Callbacks.call(onStart, [undefined])),
          Stream.filterMap(({ filesystem }) => Option.fromNullable(filesystem)),
          Stream.mapEffect(({ name, type }): Effect.Effect<FileEvent, RequestError> => {
            const entry = `${path}/${name}`
            const kind = kinds[type] ?? "modified"
            // What is gone cannot be looked at: it is remembered.
            return kind === "deleted"
              ? Effect.sync(() => ({ type: kind, path: entry, isDirectory: folders.delete(entry) }))
              : stat("watchFiles", sandboxId, entry).pipe(
                Effect.map(({ isDirectory }) => isDirectory),
                Effect.catchIf(isMissing, () => Effect.succeed(false)),
                Effect.map((isDirectory) => {
                  if (isDirectory) folders.add(entry)
                  return { type: kind, path: entry, isDirectory }
                })
              )
          })
        )
      })).pipe(metrics.trackStream("watchFiles"), Stream.withSpan("SandboxSDK.watchFiles"))
  }
}
