/**
 * Answers requests about files.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { Api, BYTES, Caller, NDJSON } from "../../Api.js"
import { FILE_SIZE } from "../../api/Headers.js"
import type { SandboxSDKError } from "../../Errors.js"
import type { FileToWrite } from "../../File.js"
import { invalidArgument } from "../../internal/arguments.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { Active } from "../Active.js"
import * as Body from "../Body.js"
import { about, done, openStream, storedBytes, streamAsCaller } from "../Handlers.js"
import { metered } from "../Metered.js"
import { Settings } from "../Settings.js"
import * as Streams from "../Streams.js"

interface EncodedFile {
  readonly path: string
  readonly content: string
  readonly encoding?: "utf-8" | "base64" | undefined
}

/** What is to be written, bytes as bytes. */
const decodeContents = (
  files: ReadonlyArray<EncodedFile>
): Effect.Effect<ReadonlyArray<FileToWrite>, SandboxSDKError> =>
  Effect.suspend(() => {
    const decoded: Array<FileToWrite> = []
    for (const [index, { content, encoding, path }] of files.entries()) {
      const bytes: Either.Either<string | Uint8Array, unknown> = encoding === "base64"
        ? Encoding.decodeBase64(content)
        : Either.right(content)
      if (Either.isLeft(bytes)) {
        return invalidArgument("writeFiles", `files.${index}.content`, `files.${index}.content is not base64.`)
      }
      decoded.push({ path, content: bytes.right })
    }
    return Effect.succeed(decoded)
  })

const base64Of = ({ buffer, byteLength, byteOffset }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString("base64")

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "files", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const active = yield* Active
    const { bodies } = yield* Settings
    const quotas = yield* Quotas.Quotas

    /** Writes, if the user may store so many bytes more. */
    const storing = (more: number) => <A, E, R>(write: Effect.Effect<A, E, R>) =>
      Effect.flatMap(Caller, ({ userId }) => Effect.zipRight(quotas.storage(userId, storedBytes(sdk), more), write))

    /** What lets the bytes of an upload through, as far as the user may store them. */
    const admission = Effect.flatMap(Caller, (caller) =>
      metered(quotas, caller.userId, Effect.provideService(storedBytes(sdk), Caller, caller)))
    return handlers
      .handle("read", ({ path: { id }, urlParams: { path, ...options } }) =>
        about(id)(Effect.map(sdk.readFile(id, path, options), (content) => ({ content }))))
      .handle("write", ({ path: { id }, payload: { content, ...options }, urlParams: { path } }) =>
        about(id)(
          storing(Buffer.byteLength(content))(
            Effect.map(sdk.writeFile(id, path, content, options), (written) => ({ path: written }))
          )
        ))
      .handle("writeMany", ({ path: { id }, payload: { files, ...options } }) =>
        about(id)(Effect.gen(function*() {
          const wanted = yield* decodeContents(files)
          const size = wanted.reduce((sum, { content }) =>
            sum + Buffer.byteLength(content), 0)
          return { paths: yield* storing(size)(sdk.writeFiles(id, wanted, options)) }
        })))
      .handle("readMany", ({ path: { id }, payload: { paths } }) =>
        about(id)(Effect.map(sdk.readFiles(id, paths), (files) => ({
          files: files.map(({ content, path }) => ({ path, content: base64Of(content) }))
        }))))
      .handle("remove", ({ path: { id }, urlParams: { path } }) =>
        about(id)(Effect.as(sdk.deleteFile(id, path), done)))
      .handle("list", ({ path: { id }, urlParams: { path } }) =>
        about(id)(sdk.listFiles(id, path)))
      .handle("stat", ({ path: { id }, urlParams: { path } }) =>
        about(id)(sdk.statFile(id, path)))
      .handle("makeDirectory", ({ path: { id }, payload, urlParams: { path } }) =>
        about(id)(sdk.makeDirectory(id, path, payload)))
      .handle("move", ({ path: { id }, payload: { path, to } }) =>
        about(id)(sdk.moveFile(id, path, to)))
      .handle("watch", ({ path: { id }, request, urlParams: { path, recursive } }) =>
        about(id)(Effect.gen(function*() {
          yield* active.endless
          yield* openStream
          const started = yield* Deferred.make<void>()
          const onStart = () =>
            Deferred.unsafeDone(started, Effect.void)
          const events = yield* streamAsCaller(sdk.watchFiles(id, path, { recursive, onStart }))
          return yield* Streams.records(request, Stream.zipWithIndex(events), {
            format: Streams.formatOf(request) ?? NDJSON,
            encode: ([event]) =>
              JSON.stringify(event),
            id: ([_, index]) =>
              index,
            opened: Deferred.await(started)
          })
        })))
      .handle("download", ({ path: { id }, request, urlParams: { path } }) =>
        about(id)(Effect.gen(function*() {
          yield* openStream
          const { size, type } = yield* sdk.statFile(id, path)
          return yield* Streams.bytes(request, yield* streamAsCaller(sdk.readFileStream(id, path)), BYTES, {
            // The size of a link is not that of what it leads to.
            ...(type === "file" ? { [FILE_SIZE]: String(size) } : {})
          })
        })))
      .handle("upload", ({ path: { id }, request, urlParams: { createParents, path } }) =>
        about(id)(
          storing(Number(request.headers["content-length"] ?? 0))(
            Effect.flatMap(admission, (admit) =>
              sdk.writeFileStream(id, path, admit(Body.bytes(request, bodies)), { createParents }))
          ).pipe(
            Effect.map((written) => ({ path: written })),
            Effect.catchTag("Problem", (problem) =>
              Effect.die(problem))
          )
        ))
  }))
