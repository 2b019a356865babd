/**
 * Fetches an image from its registry, telling how far that is.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { type Connection, DockerFailure } from "./Connection.js"

/** One line of the engine's report (Docker Engine API, "Create an image"). */
const Line = Schema.parseJson(Schema.Struct({
  status: Schema.optional(Schema.String),
  id: Schema.optional(Schema.String),
  progressDetail: Schema.optional(Schema.NullOr(Schema.Struct({
    current: Schema.optional(Schema.Number),
    total: Schema.optional(Schema.Number)
  }))),
  error: Schema.optional(Schema.String)
}))

/**
 * How far a pull is: layers that are complete, of those that are known so far, and bytes that have come of those layers.
 */
export interface Progress {
  readonly layers: number
  readonly complete: number
  readonly bytes: number
  readonly totalBytes: number
}

interface Layer {
  readonly current: number
  readonly total: number
  readonly complete: boolean
}

const COMPLETE = /^(Pull complete|Already exists)/

/**
 * The name with the tag that is meant when there is none: without one the engine would fetch all that there are.
 */
export const withTag = (name: string): string => name.includes("@") || /:[^/]*$/.test(name) ? name : `${name}:latest`

const progressOf = (layers: ReadonlyMap<string, Layer>): Progress => {
  const all = [...layers.values()]
  return {
    layers: all.length,
    complete: all.filter(({ complete }) => complete).length,
    bytes: all.reduce((sum, { current }) => sum + current, 0),
    totalBytes: all.reduce((sum, { total }) => sum + total, 0)
  }
}

/**
 * Fetches it. The stream ends when the image is there, and fails with what the registry said.
 */
export const pull = (connection: Connection, name: string): Stream.Stream<Progress, DockerFailure> =>
  Stream.unwrap(Effect.gen(function*() {
    const answer = yield* connection.ask(
      `pull ${name}`,
      (docker, abortSignal) => docker.pull(withTag(name), { abortSignal })
    )
    const layers = new Map<string, Layer>()
    const broken = (cause: unknown) =>
      new DockerFailure({
        message: `it could not pull ${name}: ${cause instanceof Error ? cause.message : String(cause)}`
      })
    return Stream.fromAsyncIterable(answer, broken).pipe(
      Stream.map((chunk) => typeof chunk === "string" ? Buffer.from(chunk) : chunk),
      Stream.decodeText(),
      Stream.splitLines,
      Stream.filter((line) => line.trim() !== ""),
      Stream.mapEffect((line) => Effect.mapError(Schema.decodeUnknown(Line)(line), broken)),
      Stream.mapEffect((line) => line.error === undefined ? Effect.succeed(line) : Effect.fail(broken(line.error))),
      Stream.filterMap(({ id, progressDetail, status = "" }) => {
        if (id === undefined || /^Pulling from/.test(status)) return Option.none()
        const before = layers.get(id)
        const complete = COMPLETE.test(status)
        const total = progressDetail?.total ?? before?.total ?? 0
        const isDownload = status === "Downloading"
        layers.set(id, {
          total: isDownload ? total : before?.total ?? 0,
          current: complete ? before?.total ?? 0 : isDownload ? progressDetail?.current ?? 0 : before?.current ?? 0,
          complete
        })
        return Option.some(progressOf(layers))
      })
    )
  }))
