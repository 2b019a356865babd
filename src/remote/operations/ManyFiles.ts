/**
 * Operations on many files: small ones go together, in as many requests as their bytes take; a large one by itself.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import { BYTES } from "../../api/Streams.js"
import { SandboxSDKError } from "../../Errors.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { FileOperations } from "../../internal/groups.js"
import { fileField, requireFiles, requirePaths, type WantedFile, withField } from "../../internal/manyFiles.js"
import { WriteFileOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import * as Segment from "../Segment.js"

const decodeWrite = decodeArguments(WriteFileOptions, "writeFiles")

/** Characters of the contents and paths of one request; a server takes 32 MiB of JSON, if it is not told otherwise. */
const REQUEST_SIZE = 8 * 1024 * 1024

/** A file that is larger goes by itself, as it is. */
const LARGE_SIZE = 1024 * 1024

const encoded = ({ content, path }: WantedFile) =>
  typeof content === "string"
    ? { path, content }
    : { path, content: Encoding.encodeBase64(content), encoding: "base64" } as const

/** What the files of a request are called of all the files: those begin at `start`. */
const shifted = (start: number) =>
  withField((field) =>
    field === "path" ? fileField(start) : field.replace(
      /^files\.(\d+)/,
      (_, index: string) => fileField(start + Number(index))
    )
  )

/** The files that go together, from the first on. */
const takeBatch = (files: ReadonlyArray<WantedFile>, start: number): ReadonlyArray<WantedFile> => {
  let end = start
  for (let size = 0; end < files.length; end++) {
    const file = files[end]
    if (file === undefined || (end > start && file.content.length > LARGE_SIZE)) {
      break
    }
    size += file.content.length + file.path.length
    if (end > start && (size > REQUEST_SIZE || (files[start]?.content.length ?? 0) > LARGE_SIZE)) {
      break
    }
  }
  return files.slice(start, end)
}

/**
 * Makes the operations.
 */
export const manyFileOperations = (
  { metrics, peer, request }: Client
): Pick<FileOperations, "writeFiles" | "readFiles"> => {
  const write = (id: string, batch: ReadonlyArray<WantedFile>, createParents: boolean) => {
    const [first] = batch
    return first !== undefined && first.content.length > LARGE_SIZE
      ? Effect.map(
        request(
          {
            operation: "writeFiles",
            effect: "repeatable",
            body: HttpBody.uint8Array(
              typeof first.content === "string" ? new TextEncoder().encode(first.content) : first.content,
              BYTES
            )
          },
          (api) => api.files.upload({ path: { id }, urlParams: { path: first.path, createParents } })
        ),
        ({ path }): ReadonlyArray<string> => [path]
      )
      : Effect.map(
        request(
          { operation: "writeFiles", effect: "repeatable" },
          (api) => api.files.writeMany({ path: { id }, payload: { files: batch.map(encoded), createParents } })
        ),
        ({ paths }) => paths
      )
  }

  const undecodable = new SandboxSDKError({
    code: "decode_error",
    message: `readFiles: ${peer.url} has answered with contents that are not base64, or not those that were asked for.`
  })

  return {
    writeFiles: Effect.fn("SandboxSDK.writeFiles")(function*(input, files, options) {
      const { createParents = true } = yield* decodeWrite(options)
      const wanted = yield* requireFiles(files)
      const id = yield* Effect.flatMap(requireId("writeFiles", input), (known) => Segment.sandbox(known))
      const written: Array<string> = []
      do {
        const start = written.length
        const batch = takeBatch(wanted, start)
        const paths = yield* Effect.mapError(write(id, batch, createParents), shifted(start))
        yield* metrics.bytes("in", batch.reduce((sum, { content }) => sum + content.length, 0))
        written.push(...paths)
      } while (written.length < wanted.length)
      return written
    }, metrics.track("writeFiles")),
    readFiles: Effect.fn("SandboxSDK.readFiles")(function*(input, wanted) {
      const paths = yield* requirePaths(wanted)
      const id = yield* Effect.flatMap(requireId("readFiles", input), (known) => Segment.sandbox(known))
      const { files } = yield* request(
        { operation: "readFiles", effect: "none" },
        (api) => api.files.readMany({ path: { id }, payload: { paths } })
      )
      const contents = yield* Either.mapLeft(
        Either.all(files.map(({ content }) => Encoding.decodeBase64(content))),
        () => undecodable
      )
      if (contents.length !== paths.length) {
        return yield* undecodable
      }
      yield* metrics.bytes("out", contents.reduce((sum, { length }) => sum + length, 0))
      return contents.map((content, index) => ({ path: wanted[index] ?? "", content }))
    }, metrics.track("readFiles"))
  }
}
