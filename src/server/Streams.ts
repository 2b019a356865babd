/**
 * Answers that are streams: events as they happen, and the bytes of files.
 *
 * What fails before the first record is answered with its status code. The reader's pace is the pace of the stream, and
 * the stream is closed when the reader leaves.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { EVENT_STREAM, NDJSON } from "../Api.js"
import { type BatchEvent, JobEnded } from "../Batch.js"
import type { RequestError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import { Active, serverEnds } from "./Active.js"
import { encodeError, errorOf } from "./Answer.js"

/**
 * How events are written.
 */
export type Format = typeof EVENT_STREAM | typeof NDJSON

/**
 * The format that a request asks for, by `Accept` (RFC 9110, 12.5.1): the first of the two that it names; `undefined` when
 * it names neither.
 */
export const formatOf = (request: HttpServerRequest.HttpServerRequest): Format | undefined => {
  for (const range of (request.headers["accept"] ?? "").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase())
    if ((type === EVENT_STREAM || type === NDJSON) && !parameters.some((one) => /^q=0(?:\.0*)?$/.test(one))) {
      return type
    }
  }
  return undefined
}

/** How long an answer waits for the first record, so that a failure gets its status code. */
const FIRST_RECORD_MS = 2_000

/** The same where there may be no record for hours. */
const QUIET_MS = 250

type Pulled<A> = Effect.Effect<Chunk.Chunk<A>, Option.Option<RequestError>>

/**
 * A stream that has begun: it fails now with what it fails with before its first element, if that happens soon.
 */
const begin = <A>(
  stream: Stream.Stream<A, RequestError>,
  waitMs: number
): Effect.Effect<Stream.Stream<A, RequestError>, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    // In the scope of the request, which closes with its connection.
    const pull: Pulled<A> = yield* Stream.toPull(stream)
    const first = yield* Effect.forkScoped(Effect.exit(pull))
    const early = yield* Effect.timeoutOption(Fiber.join(first), waitMs)
    if (Option.isSome(early) && Exit.isFailure(early.value)) {
      const { cause } = early.value
      const failure = Option.flatten(Cause.failureOption(cause))
      if (Option.isSome(failure)) {
        return yield* Effect.fail(failure.value)
      }
      if (Option.isNone(Cause.failureOption(cause))) {
        return yield* Effect.failCause(Cause.map(cause, () => serverEnds))
      }
    }
    const next = Effect.flatten(Fiber.join(first))
    let isFirst = true
    return Stream.repeatEffectChunkOption(Effect.suspend(() => {
      if (isFirst) {
        isFirst = false
        return next
      }
      return pull
    }))
  })

const encoder = new TextEncoder()

const frames: Readonly<Record<Format, (json: string, id: number | undefined) => string>> = {
  [EVENT_STREAM]: (json, id) => id === undefined ? `data: ${json}\n\n` : `id: ${id}\ndata: ${json}\n\n`,
  [NDJSON]: (json) => `${json}\n`
}

const failed = (error: RequestError): string => JSON.stringify({ _tag: "Failed", error: encodeError(error) })

/**
 * How the records of a stream are written.
 */
export interface RecordOptions<A> {
  readonly format: Format
  /** A record as JSON. */
  readonly encode: (record: A) => string
  /** The number of a record, from 0. */
  readonly id: (record: A) => number
  /** Whether there may be nothing to tell for a long time. */
  readonly quiet?: boolean
}

const encodeJobEnded = Schema.encodeSync(JobEnded)

/**
 * How the events of a run are written: they are built here, and of plain values, so that JSON has what the schema would.
 */
export const executionEvents = {
  encode: (event: ExecutionEvent): string => JSON.stringify(event),
  id: ({ seq }: ExecutionEvent): number => seq
}

/**
 * How the events of a batch are written.
 */
export const batchEvents = {
  encode: (event: BatchEvent): string => JSON.stringify(event._tag === "JobEnded" ? encodeJobEnded(event) : event),
  id: ({ seq }: BatchEvent): number => seq
}

/**
 * Answers with records. A failure after the first of them is the last record.
 */
export const records = <A>(
  request: HttpServerRequest.HttpServerRequest,
  stream: Stream.Stream<A, RequestError>,
  { encode, format, id, quiet = false }: RecordOptions<A>
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope | Active> =>
  Effect.gen(function*() {
    const reason = yield* Effect.flatMap(Active, (active) => active.reason)
    const events = yield* begin(stream, quiet ? QUIET_MS : FIRST_RECORD_MS)
    const response = NodeHttpServerRequest.toServerResponse(request)
    const frame = frames[format]
    const body = Stream.fromEffect(Effect.sync(() => response.flushHeaders())).pipe(
      Stream.drain,
      Stream.concat(events),
      // One buffer for all that has arrived together.
      Stream.mapChunks((chunk) => {
        let text = ""
        for (const event of chunk) {
          text += frame(encode(event), id(event))
        }
        return Chunk.of(encoder.encode(text))
      }),
      Stream.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Stream.failCause(cause)
          : Stream.fromEffect(
            Effect.as(
              Option.isNone(Cause.failureOption(cause)) ? Effect.logError("A stream died.", cause) : Effect.void,
              encoder.encode(frame(failed(errorOf(cause)), undefined))
            )
          )
      ),
      // Interrupted, and perhaps somebody is there to be told.
      Stream.ensuringWith((exit) =>
        Effect.sync(() => {
          const why = Exit.isInterrupted(exit) ? reason() : undefined
          if (why !== undefined && !response.destroyed && !response.writableEnded) {
            response.write(frame(failed(why), undefined))
          }
        })
      )
    )
    return HttpServerResponse.stream(body, {
      contentType: format,
      headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
    })
  })

/**
 * Answers with bytes. A failure after the first of them breaks the connection off: an answer that merely ended would look
 * whole.
 */
export const bytes = (
  request: HttpServerRequest.HttpServerRequest,
  stream: Stream.Stream<Uint8Array, RequestError>,
  contentType: string,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope> =>
  Effect.map(begin(stream, FIRST_RECORD_MS), (pieces) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return HttpServerResponse.stream(
      Stream.ensuringWith(pieces, (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) {
            response.destroy()
          }
        })),
      { contentType, headers: { "cache-control": "no-store", ...headers } }
    )
  })
