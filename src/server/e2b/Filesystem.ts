/**
 * envd's service `filesystem.Filesystem`.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Take from "effect/Take"
import { posix } from "node:path"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { FileEvent, FileInfo } from "../../File.js"
import * as Connect from "./Connect.js"
import { entryOf } from "./Entries.js"
import { unsupported } from "./Failures.js"
import { toService } from "./Paths.js"

const Path = Schema.Struct({ path: Schema.optionalWith(Schema.String, { default: () => "" }) })

const List = Schema.Struct({
  ...Path.fields,
  depth: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 1 })
})

const Move = Schema.Struct({ source: Schema.String, destination: Schema.String })

const Watch = Schema.Struct({
  ...Path.fields,
  recursive: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  includeEntry: Schema.optionalWith(Schema.Boolean, { default: () => false })
})

/** How many entries a listing has at most: what is beyond is refused, not left out. */
const MAX_ENTRIES = 100_000

const eventTypes: Readonly<Record<FileEvent["type"], string>> = {
  created: "EVENT_TYPE_CREATE",
  modified: "EVENT_TYPE_WRITE",
  deleted: "EVENT_TYPE_REMOVE",
  renamed: "EVENT_TYPE_RENAME",
  attributes: "EVENT_TYPE_CHMOD"
}

const json = (body: unknown) => HttpServerResponse.unsafeJson(body)

const isMissing = (error: RequestError): boolean => error._tag === "SandboxError" && error.code === "file_not_found"

/** A folder below that went away meanwhile, or that the code could not look into either. */
const isClosed = (error: RequestError): boolean =>
  isMissing(error) ||
  error._tag === "SandboxError" && (error.code === "permission_denied" || error.code === "not_a_directory")

/**
 * Answers a call of the service.
 */
export const answer: Connect.Answerer = (sdk, id, method, request, limits) => {
  /** All entries below a folder, down to a depth; links are not followed. */
  const walk = (path: string, depth: number): Effect.Effect<ReadonlyArray<FileInfo>, RequestError> =>
    Effect.gen(function*() {
      const found: Array<FileInfo> = []
      let level = [path]
      for (let left = depth; left > 0 && level.length > 0; left--) {
        const below: Array<string> = []
        for (const folder of level) {
          const { files } = yield* Effect.catchIf(
            sdk.listFiles(id, folder),
            (error) => folder !== path && isClosed(error),
            () => Effect.succeed({ files: [] })
          )
          found.push(...files)
          below.push(...files.filter(({ isDirectory }) => isDirectory).map((file) => file.path))
          if (found.length > MAX_ENTRIES) {
            return yield* new SandboxError({
              code: "quota_exceeded",
              message: `${path} has more than ${MAX_ENTRIES} entries at this depth; list a part of it.`,
              sandboxId: id
            })
          }
        }
        level = below
      }
      return found
    })

  const events = (asked: string, path: string, includeEntry: boolean) => (event: FileEvent) => {
    const named = (at: string, type: string, entry?: FileInfo) => ({
      filesystem: {
        name: posix.relative(path, at),
        type,
        ...entry === undefined ? {} : { entry: entryOf(entry, asked) }
      }
    })
    const entry = includeEntry && event.type !== "deleted"
      ? Effect.orElseSucceed(sdk.statFile(id, event.path), () => undefined)
      : Effect.succeed(undefined)
    return Effect.map(entry, (info) =>
      // A move is told of the old name, and then the new one has come to be.
      event.type === "renamed" && event.from !== undefined
        ? [named(event.from, "EVENT_TYPE_RENAME"), named(event.path, "EVENT_TYPE_CREATE", info)]
        : [named(event.path, eventTypes[event.type], info)])
  }

  switch (method) {
    case "Stat":
      return Effect.gen(function*() {
        const { path } = yield* Connect.message(request, Path)
        return json({ entry: entryOf(yield* sdk.statFile(id, toService(path)), path) })
      })
    case "ListDir":
      return Effect.gen(function*() {
        const { depth, path } = yield* Connect.message(request, List)
        const entries = yield* walk(toService(path), Math.max(1, depth))
        return json({ entries: entries.map((entry) => entryOf(entry, path)) })
      })
    case "MakeDir":
      return Effect.gen(function*() {
        const { path } = yield* Connect.message(request, Path)
        const there = yield* Effect.catchIf(
          sdk.statFile(id, toService(path)),
          isMissing,
          () => Effect.succeed(undefined)
        )
        if (there !== undefined) {
          return yield* new SandboxError({ code: "file_exists", message: `${path} exists already.`, sandboxId: id })
        }
        return json({ entry: entryOf(yield* sdk.makeDirectory(id, toService(path)), path) })
      })
    case "Move":
      return Effect.gen(function*() {
        const { destination, source } = yield* Connect.message(request, Move)
        const to = toService(destination)
        yield* sdk.statFile(id, toService(source))
        yield* sdk.makeDirectory(id, posix.dirname(to))
        return json({ entry: entryOf(yield* sdk.moveFile(id, toService(source), to), destination) })
      })
    case "Remove":
      return Effect.gen(function*() {
        const { path } = yield* Connect.message(request, Path)
        yield* Effect.catchIf(sdk.deleteFile(id, toService(path)), isMissing, () => Effect.void)
        return json({})
      })
    case "WatchDir":
      return Effect.gen(function*() {
        const { includeEntry, path, recursive } = yield* Connect.opening(request, limits, Watch)
        const folder = toService(path)
        const info = yield* sdk.statFile(id, folder)
        if (!info.isDirectory) {
          return yield* new SandboxError({
            code: "not_a_directory",
            message: `${path} is not a directory.`,
            sandboxId: id
          })
        }
        // Who has its first message counts on being told of all that happens from then on.
        const messages = Stream.unwrapScoped(Effect.gen(function*() {
          const queue = yield* Queue.bounded<Take.Take<unknown, RequestError>>(1)
          const onStart = () => Effect.asVoid(Queue.offer(queue, Take.of({ start: {} })))
          const found = sdk.watchFiles(id, folder, { recursive, onStart }).pipe(
            Stream.mapEffect(events(path, folder, includeEntry)),
            Stream.flattenIterables
          )
          yield* Effect.forkScoped(Stream.runIntoQueue(found, queue))
          return Stream.flattenTake(Stream.fromQueue(queue))
        }))
        return Connect.stream(request, messages, { keepalive: {} })
      })
    case "CreateWatcher":
    case "GetWatcherEvents":
    case "RemoveWatcher":
      return Effect.fail(unsupported(`filesystem.Filesystem/${method}`))
    default:
      return undefined
  }
}
