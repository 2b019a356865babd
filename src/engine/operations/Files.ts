/**
 * Operations on files.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Buffer, isUtf8 } from "node:buffer"
import type { RequestError, SandboxSDKError } from "../../Errors.js"
import { decodeArguments, invalidArgument, normalizeDirectory, normalizePath } from "../../internal/arguments.js"
import { call } from "../../internal/callbacks.js"
import { FileReach } from "../../internal/fileReach.js"
import type { FileOperations } from "../../internal/groups.js"
import { requireFiles, requirePaths } from "../../internal/manyFiles.js"
import * as Reusing from "../../internal/reusing.js"
import { MakeDirectoryOptions, ReadFileOptions, WatchFilesOptions, WriteFileOptions } from "../../Options.js"
import { WORKSPACE } from "../Environment.js"
import { readMany, writeMany } from "../ManyFiles.js"
import { type Parts, runningSandbox } from "./Parts.js"

const decodeRead = decodeArguments(ReadFileOptions, "readFile")
const decodeWrite = decodeArguments(WriteFileOptions, "writeFile")
const decodeWriteStream = decodeArguments(WriteFileOptions, "writeFileStream")
const decodeWriteMany = decodeArguments(WriteFileOptions, "writeFiles")
const decodeMakeDirectory = decodeArguments(MakeDirectoryOptions, "makeDirectory")
const decodeWatch = decodeArguments(WatchFilesOptions, "watchFiles")

const contentBytes = (content: unknown): Effect.Effect<Uint8Array, SandboxSDKError> =>
  typeof content === "string"
    ? Effect.succeed(Buffer.from(content))
    : content instanceof Uint8Array
    ? Effect.succeed(content)
    : Effect.fail(invalidArgument("writeFile", "content", "content must be a string or a Uint8Array."))

const collectBytes = (stream: Stream.Stream<Uint8Array, RequestError>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Buffer.concat([...chunks]))

/** The absolute path of a file, within what the caller reaches. */
const locate = (operation: string, path: unknown, field: string) =>
  Effect.flatMap(FileReach, (reach) =>
    reach === "sandbox"
      ? normalizeDirectory(operation, path, field)
      : normalizePath(operation, path, field))

/**
 * Makes the operations.
 */
export const fileOperations = ({ registry }: Parts): FileOperations => {
  /** The files of a sandbox, and a path in it, both checked: the path first, because that costs nothing. */
  const at = (operation: string, id: string, path: unknown, field = "path") =>
    Effect.gen(function*() {
      const absolute = yield* locate(operation, path, field)
      const { files } = yield* runningSandbox(registry, operation, id)
      return { absolute, files }
    })

  const read = (operation: string, id: string, path: string) =>
    Reusing.unwrap(Effect.map(at(operation, id, path), ({ absolute, files }) => files.read(absolute)))

  return {
    readFile: Effect.fn("SandboxSDK.readFile")(function*(id, path, input) {
      const { encoding = "utf-8" } = yield* decodeRead(input)
      const bytes = yield* collectBytes(read("readFile", id, path))
      return encoding === "base64" || isUtf8(bytes)
        ? bytes.toString(encoding)
        : yield* invalidArgument(
          "readFile",
          "encoding",
          `encoding is "utf-8", but ${path} is no UTF-8 text; use { encoding: "base64" } or readFileBytes.`
        )
    }),
    readFileBytes: Effect.fn("SandboxSDK.readFileBytes")(function*(id, path) {
      return yield* collectBytes(read("readFileBytes", id, path))
    }),
    readFileStream: (id, path) =>
      Reusing.through(Stream.withSpan("SandboxSDK.readFileStream"))(read("readFileStream", id, path)),
    writeFile: Effect.fn("SandboxSDK.writeFile")(function*(id, path, content, input) {
      const { createParents = true } = yield* decodeWrite(input)
      const bytes = yield* contentBytes(content)
      const { absolute, files } = yield* at("writeFile", id, path)
      const written = yield* files.write(absolute, Stream.succeed(bytes), { createParents })
      return written.path
    }),
    writeFileStream: Effect.fn("SandboxSDK.writeFileStream")(function*(id, path, content, input) {
      const { createParents = true } = yield* decodeWriteStream(input)
      const { absolute, files } = yield* at("writeFileStream", id, path)
      const written = yield* files.write(absolute, content, { createParents })
      return written.path
    }),
    writeFiles: Effect.fn("SandboxSDK.writeFiles")(function*(id, input, options) {
      const { createParents = true } = yield* decodeWriteMany(options)
      const wanted = yield* requireFiles(input)
      const { files } = yield* runningSandbox(registry, "writeFiles", id)
      return yield* writeMany(files, wanted, createParents)
    }),
    readFiles: Effect.fn("SandboxSDK.readFiles")(function*(id, input) {
      const wanted = yield* requirePaths(input)
      const { files } = yield* runningSandbox(registry, "readFiles", id)
      const contents = yield* readMany(files, wanted)
      return contents.map((content, index) => ({ path: input[index] ?? "", content }))
    }),
    deleteFile: Effect.fn("SandboxSDK.deleteFile")(function*(id, path) {
      const { absolute, files } = yield* at("deleteFile", id, path)
      yield* files.remove(absolute)
    }),
    listFiles: Effect.fn("SandboxSDK.listFiles")(function*(id, directory = WORKSPACE) {
      const { absolute, files } = yield* at("listFiles", id, directory, "directory")
      return { files: yield* files.list(absolute), directory: absolute }
    }),
    statFile: Effect.fn("SandboxSDK.statFile")(function*(id, path) {
      const { absolute, files } = yield* at("statFile", id, path)
      return yield* files.stat(absolute)
    }),
    makeDirectory: Effect.fn("SandboxSDK.makeDirectory")(function*(id, path, input) {
      const { parents = true } = yield* decodeMakeDirectory(input)
      const { absolute, files } = yield* at("makeDirectory", id, path)
      return yield* files.makeDirectory(absolute, parents)
    }),
    moveFile: Effect.fn("SandboxSDK.moveFile")(function*(id, path, to) {
      const target = yield* locate("moveFile", to, "to")
      const { absolute, files } = yield* at("moveFile", id, path)
      return yield* files.move(absolute, target)
    }),
    watchFiles: (id, directory = WORKSPACE, input) =>
      Stream.unwrap(Effect.gen(function*() {
        const { onStart, recursive = false } = yield* decodeWatch(input)
        const { absolute, files } = yield* at("watchFiles", id, directory, "directory")
        return files.watch(absolute, recursive, call(onStart, [undefined]))
      })).pipe(Stream.withSpan("SandboxSDK.watchFiles"))
  }
}
