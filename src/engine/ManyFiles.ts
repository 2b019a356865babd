/**
 * Many files by one call: small ones go together, as many as one message to the agent can hold; large ones as a stream.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import type { FileBytes, Files } from "../agent/Files.js"
import { SandboxError } from "../Errors.js"
import { fileField, MAX_READ_BYTES, pathField, tooMuchToRead, type WantedFile } from "../internal/manyFiles.js"

/** Files of one message. */
const BATCH_FILES = 2_000

/** Bytes of the paths of one message: a header has at most 1 MiB, and a byte takes up to six characters of it. */
const BATCH_PATHS = 128 * 1024

/** Bytes of the contents of one message. */
const BATCH_BYTES = 2 * 1024 * 1024

const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content === "string" ? Buffer.from(content) : content

/** Where the message that begins with this file ends: at least one later. */
const endOfBatch = (start: number, count: number, pathOf: (index: number) => string): number => {
  let end = start
  for (let bytes = 0; end < count && end - start < BATCH_FILES; end++) {
    bytes += Buffer.byteLength(pathOf(end))
    if (bytes > BATCH_PATHS && end > start) {
      break
    }
  }
  return end
}

/** What an error of one file is, of many. */
const about = (field: string) => (error: SandboxError): SandboxError =>
  new SandboxError({
    code: error.code,
    message: error.message,
    field,
    ...(error.sandboxId === undefined ? {} : { sandboxId: error.sandboxId })
  })

/**
 * Writes files in this order; gives the paths that they have got. At the first that cannot be written it stops.
 */
export const writeMany = Effect.fnUntraced(function*(
  files: Files,
  wanted: ReadonlyArray<WantedFile>,
  createParents: boolean
): Effect.fn.Return<ReadonlyArray<string>, SandboxError> {
  const written: Array<string> = []
  while (written.length < wanted.length) {
    const start = written.length
    const end = endOfBatch(start, wanted.length, (index) => wanted[index]?.path ?? "")
    const batch: Array<FileBytes> = []
    let size = 0
    for (const { content, path } of wanted.slice(start, end)) {
      const bytes = bytesOf(content)
      size += bytes.length
      if (size > BATCH_BYTES && batch.length > 0) {
        break
      }
      batch.push({ path, content: bytes })
    }
    const [first] = batch
    if (first !== undefined && first.content.length > BATCH_BYTES) {
      const info = yield* Effect.mapError(
        files.write(first.path, Stream.succeed(first.content), { createParents }),
        about(fileField(start))
      )
      written.push(info.path)
    } else {
      written.push(
        ...(yield* files.writeBatch(batch, { createParents, field: (index) => fileField(start + index) }))
      )
    }
  }
  return written
})

/** All of a file, if there is room for it. */
const readLarge = (files: Files, path: string, index: number, room: number) =>
  files.read(path).pipe(
    Stream.mapError(about(pathField(index))),
    Stream.runFoldEffect({ size: 0, pieces: new Array<Uint8Array>() }, ({ pieces, size }, piece) =>
      size + piece.length > room
        ? Effect.fail(tooMuchToRead(index, path))
        : Effect.sync(() => {
          pieces.push(piece)
          return { size: size + piece.length, pieces }
        })),
    Effect.map(({ pieces }) =>
      Buffer.concat(pieces)
    )
  )

/**
 * The contents of files, in this order.
 */
export const readMany = Effect.fnUntraced(function*(
  files: Files,
  paths: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Uint8Array>, SandboxError> {
  const contents: Array<Uint8Array> = []
  let room = MAX_READ_BYTES
  while (contents.length < paths.length) {
    const start = contents.length
    const batch = paths.slice(start, endOfBatch(start, paths.length, (index) => paths[index] ?? ""))
    const read = yield* files.readBatch(batch, { field: (index) => pathField(start + index) })
    for (const [index, content] of read.entries()) {
      room -= content.length
      if (room < 0) {
        return yield* tooMuchToRead(start + index, batch[index] ?? "")
      }
      contents.push(content)
    }
    const [first] = batch
    if (read.length === 0 && first !== undefined) {
      const large = yield* readLarge(files, first, start, room)
      room -= large.length
      contents.push(large)
    }
  }
  return contents
})
