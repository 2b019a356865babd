/**
 * Operations on files.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Stream from "effect/Stream"
import { BYTES, NDJSON } from "../../api/Streams.js"
import type { SandboxSDKError } from "../../Errors.js"
import { decodeArguments, invalidArgument, normalizePath, requireId, WORKSPACE } from "../../internal/arguments.js"
import { call } from "../../internal/callbacks.js"
import type { FileOperations } from "../../internal/groups.js"
import { MakeDirectoryOptions, ReadFileOptions, WatchFilesOptions, WriteFileOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { decodeFileRecord } from "../Decoders.js"
import { decodeRecords } from "../Records.js"
import * as Segment from "../Segment.js"
import { upload } from "../Upload.js"
import { manyFileOperations } from "./ManyFiles.js"

const decodeRead = decodeArguments(ReadFileOptions, "readFile")
const decodeWrite = decodeArguments(WriteFileOptions, "writeFile")
const decodeWriteStream = decodeArguments(WriteFileOptions, "writeFileStream")
const decodeMakeDirectory = decodeArguments(MakeDirectoryOptions, "makeDirectory")
const decodeWatch = decodeArguments(WatchFilesOptions, "watchFiles")

const contentBytes = (content: unknown): Effect.Effect<Uint8Array, SandboxSDKError> =>
  typeof content === "string"
    ? Effect.succeed(new TextEncoder().encode(content))
    : content instanceof Uint8Array
    ? Effect.succeed(content)
    : Effect.fail(invalidArgument("writeFile", "content", "content must be a string or a Uint8Array."))

const decodeText = (bytes: Uint8Array): Either.Either<string, unknown> =>
  Either.try(() => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))

/** The path and the id, both checked: the path first, as everywhere. */
const at = Effect.fnUntraced(function*(operation: string, input: unknown, path: unknown, field?: string) {
  const absolute = yield* normalizePath(operation, path, field)
  const id = yield* Effect.flatMap(requireId(operation, input), (known) => Segment.sandbox(known))
  return { id, path: absolute }
})

/**
 * Makes the operations.
 */
export const fileOperations = (client: Client): FileOperations => {
  const { download, metrics, peer, request, stream } = client

  const read = Effect.fnUntraced(function*(operation: string, input: string, file: string) {
    const { id, path } = yield* at(operation, input, file)
    const bytes = yield* download(
      { operation, effect: "none" },
      (api) => api.files.download({ path: { id }, urlParams: { path } })
    )
    yield* metrics.bytes("out", bytes.length)
    return bytes
  })

  return {
    readFile: Effect.fn("SandboxSDK.readFile")(function*(id, path, input) {
      const { encoding = "utf-8" } = yield* decodeRead(input)
      const bytes = yield* read("readFile", id, path)
      return encoding === "base64"
        ? Encoding.encodeBase64(bytes)
        : yield* Either.mapLeft(decodeText(bytes), () =>
          invalidArgument(
            "readFile",
            "encoding",
            `encoding is "utf-8", but ${path} is no UTF-8 text; use { encoding: "base64" } or readFileBytes.`
          ))
    }, metrics.track("readFile")),
    readFileBytes: Effect.fn("SandboxSDK.readFileBytes")(function*(id, path) {
      return yield* read("readFileBytes", id, path)
    }, metrics.track("readFileBytes")),
    readFileStream: (input, file) =>
      Stream.unwrap(Effect.map(at("readFileStream", input, file), ({ id, path }) =>
        stream(
          { operation: "readFileStream", effect: "none" },
          (api) => api.files.download({ path: { id }, urlParams: { path } })
        ))).pipe(
          metrics.trackBytes("out"),
          metrics.trackStream("readFileStream"),
          Stream.withSpan("SandboxSDK.readFileStream")
        ),
    writeFile: Effect.fn("SandboxSDK.writeFile")(function*(input, file, content, options) {
      const { createParents = true } = yield* decodeWrite(options)
      const bytes = yield* contentBytes(content)
      const { id, path } = yield* at("writeFile", input, file)
      const written = yield* request(
        { operation: "writeFile", effect: "repeatable", body: HttpBody.uint8Array(bytes, BYTES) },
        (api) => api.files.upload({ path: { id }, urlParams: { path, createParents } })
      )
      yield* metrics.bytes("in", bytes.length)
      return written.path
    }, metrics.track("writeFile")),
    writeFileStream: Effect.fn("SandboxSDK.writeFileStream")(function*(input, file, content, options) {
      const { createParents = true } = yield* decodeWriteStream(options)
      const { id, path } = yield* at("writeFileStream", input, file)
      const written = yield* upload(
        client,
        "writeFileStream",
        metrics.trackBytes("in")(content),
        (api) => api.files.upload({ path: { id }, urlParams: { path, createParents } })
      )
      return written.path
    }, metrics.track("writeFileStream")),
    ...manyFileOperations(client),
    deleteFile: Effect.fn("SandboxSDK.deleteFile")(function*(input, file) {
      const { id, path } = yield* at("deleteFile", input, file)
      yield* request(
        { operation: "deleteFile", effect: "once" },
        (api) => api.files.remove({ path: { id }, urlParams: { path } })
      )
    }, metrics.track("deleteFile")),
    listFiles: Effect.fn("SandboxSDK.listFiles")(function*(input, directory = WORKSPACE) {
      const { id, path } = yield* at("listFiles", input, directory, "directory")
      return yield* request(
        { operation: "listFiles", effect: "none" },
        (api) => api.files.list({ path: { id }, urlParams: { path } })
      )
    }, metrics.track("listFiles")),
    statFile: Effect.fn("SandboxSDK.statFile")(function*(input, file) {
      const { id, path } = yield* at("statFile", input, file)
      return yield* request(
        { operation: "statFile", effect: "none" },
        (api) => api.files.stat({ path: { id }, urlParams: { path } })
      )
    }, metrics.track("statFile")),
    makeDirectory: Effect.fn("SandboxSDK.makeDirectory")(function*(input, directory, options) {
      const { parents = true } = yield* decodeMakeDirectory(options)
      const { id, path } = yield* at("makeDirectory", input, directory)
      return yield* request(
        { operation: "makeDirectory", effect: parents ? "repeatable" : "once" },
        (api) => api.files.makeDirectory({ path: { id }, urlParams: { path }, payload: { parents } })
      )
    }, metrics.track("makeDirectory")),
    moveFile: Effect.fn("SandboxSDK.moveFile")(function*(input, from, target) {
      const to = yield* normalizePath("moveFile", target, "to")
      const { id, path } = yield* at("moveFile", input, from)
      return yield* request(
        { operation: "moveFile", effect: "once" },
        (api) => api.files.move({ path: { id }, payload: { path, to } })
      )
    }, metrics.track("moveFile")),
    watchFiles: (input, directory = WORKSPACE, options) =>
      Stream.unwrap(Effect.gen(function*() {
        const { onStart, recursive = false } = yield* decodeWatch(options)
        const { id, path } = yield* at("watchFiles", input, directory, "directory")
        return stream(
          { operation: "watchFiles", effect: "none", accept: NDJSON },
          (api) => api.files.watch({ path: { id }, urlParams: { path, recursive } }),
          call(onStart, [undefined])
        )
      })).pipe(
        decodeRecords(decodeFileRecord, { peer, isLast: () => false }),
        metrics.trackStream("watchFiles"),
        Stream.withSpan("SandboxSDK.watchFiles")
      )
  }
}
