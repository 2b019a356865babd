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
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"
import { EVENT_STREAM, NDJSON } from "../Api.js"
import { HEARTBEAT } from "../api/Headers.js"
import { type BatchEvent, JobEnded } from "../Batch.js"
import type { RequestError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import * as Pulls from "../internal/pulls.js"
import { LONGEST_MS, makeTimedPull, type TimedPull } from "../internal/timedPull.js"
import { Active, type ActiveService, serverEnds } from "./Active.js"
import { encodeError, errorOf } from "./Answer.js"
import type { Segment } from "./Segments.js"
import { type Complete, Settings } from "./Settings.js"

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

type Pulled<A> = Pulls.Pull<A, RequestError>

/** What is left of a stream, and whether there is an element, or the end, already. */
interface Begun<A> {
  readonly rest: TimedPull<Chunk.Chunk<A>, Option.Option<RequestError>>
  readonly isReady: boolean
}

/**
 * A stream that has begun: it fails now with what it fails with before its first element.
 *
 * @param opened for how many milliseconds it is waited for that; or what, when it has been run, says that it has begun.
 */
const begin = <A>(
  stream: Stream.Stream<A, RequestError>,
  opened: number | Effect.Effect<void>,
  watch: (pull: Pulled<A>) => Pulled<A> = (pull) => pull
): Effect.Effect<Begun<A>, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    // In the scope of the request, which closes with its connection.
    const { finish, next, within } = yield* makeTimedPull(watch(yield* Pulls.toPull(stream)))
    const early = yield* Effect.exit(
      typeof opened === "number"
        ? within(opened)
        // A wait that is interrupted loses nothing.
        : Effect.raceFirst(within(LONGEST_MS), Effect.as(opened, undefined))
    )
    if (Exit.isFailure(early)) {
      const failure = Cause.failureOption(early.cause)
      if (Option.isNone(failure)) {
        return yield* Effect.failCause(Cause.map(early.cause, () => serverEnds))
      }
      if (Option.isSome(failure.value)) {
        return yield* Effect.fail(failure.value.value)
      }
    }
    let first = Exit.isSuccess(early) ? early.value : undefined
    const isReady = Exit.isFailure(early) || first !== undefined
    const orFirst = <B>(later: Effect.Effect<B, Option.Option<RequestError>>) =>
      Effect.suspend((): Effect.Effect<B | Chunk.Chunk<A>, Option.Option<RequestError>> => {
        const taken = first
        first = undefined
        return taken === undefined ? later : Effect.succeed(taken)
      })
    return { isReady, rest: { next: orFirst(next), within: (ms) => orFirst(within(ms)), finish } }
  })

const encoder = new TextEncoder()

/**
 * Text as UTF-8. Where all of it is ASCII, which is what most output is, it is encoded straight into memory of that size: the
 * other way takes four times as long.
 */
export const utf8 = (text: string): Uint8Array => {
  const memory = Buffer.allocUnsafeSlow(text.length)
  const { read, written } = encoder.encodeInto(text, memory)
  return read === text.length ? memory.subarray(0, written) : encoder.encode(text)
}

const frames: Readonly<Record<Format, (json: string, id: number | undefined) => string>> = {
  [EVENT_STREAM]: (json, id) => id === undefined ? `data: ${json}\n\n` : `id: ${id}\ndata: ${json}\n\n`,
  [NDJSON]: (json) => `${json}\n`
}

/** A comment (WHATWG HTML, 9.2.6), and a blank line: readers skip both. */
const signsOfLife: Readonly<Record<Format, string>> = { [EVENT_STREAM]: ": alive\n\n", [NDJSON]: "\n" }

const failed = (error: RequestError): string => JSON.stringify({ _tag: "Failed", error: encodeError(error) })

const continues = (after: number, over: boolean): string =>
  JSON.stringify({ _tag: "Continues", after, ...(over ? { over } : {}) })

/**
 * How the records of a stream are written.
 */
export interface RecordOptions<A> {
  readonly format: Format
  /** A record as JSON. */
  readonly encode: (record: A) => string
  /** The number of a record, from 0. */
  readonly id: (record: A) => number
  /** Whether a record is the last one, so that nothing needs to say that more follows. */
  readonly isLast?: (record: A) => boolean
  /** Whether there may be nothing to tell for a long time. */
  readonly quiet?: boolean
  /** Where that can be known: when the stream has begun, though there is nothing to tell yet. */
  readonly opened?: Effect.Effect<void>
  /** How much of the stream the answer is to have; all of it without. */
  readonly segment?: Segment | undefined
  /** The number of the record before the first; -1 without. */
  readonly after?: number | undefined
  /** Sees each pull of the stream. */
  readonly watch?: ((pull: Pulled<A>) => Pulled<A>) | undefined
}

const encodeJobEnded = Schema.encodeSync(JobEnded)

/**
 * How the events of a run are written: they are built here, and of plain values, so that JSON has what the schema would.
 */
export const executionEvents = {
  encode: (event: ExecutionEvent): string => JSON.stringify(event),
  id: ({ seq }: ExecutionEvent): number => seq,
  isLast: ({ _tag }: ExecutionEvent): boolean => _tag === "Ended"
}

/**
 * How the events of a batch are written.
 */
export const batchEvents = {
  encode: (event: BatchEvent): string => JSON.stringify(event._tag === "JobEnded" ? encodeJobEnded(event) : event),
  id: ({ seq }: BatchEvent): number => seq,
  isLast: ({ _tag }: BatchEvent): boolean => _tag === "BatchEnded"
}

/** For how many signs of life an answer goes on that is a part of a stream. */
const SEGMENT_BEATS = 6

/** One that has this much ends at the first pause: what it has sent may be all that is kept until it has arrived. */
const WORTHWHILE_BYTES = 256 * 1024
const PAUSE_MS = 50

/** How long one that asks for nothing waits to learn whether there is such a stream at all. */
const GLANCE_MS = 20

/** What a record takes where it is kept, beside its text. */
const RECORD_COST = 256

/**
 * Text of this length becomes bytes of its own: memory for more than some ten kB is had from the system and given back to it
 * each time, which costs more than what is done with it.
 */
const PIECE_LENGTH = 32 * 1024

/** Bytes that are written together. */
type Pieces = ReadonlyArray<Uint8Array>

const bytesIn = (pieces: Pieces): number => pieces.reduce((sum, { length }) => sum + length, 0)

/** The records as bytes, all that has arrived together; or a part of them, and then where it ends. */
interface Encoded {
  readonly next: Effect.Effect<Pieces, Option.Option<RequestError>>
  /** What comes within so many milliseconds, of which no part ends; `undefined` when nothing does. */
  readonly within: (milliseconds: number) => Effect.Effect<Pieces | undefined, Option.Option<RequestError>>
  /** Whether the last one is among those that were given. */
  readonly isComplete: () => boolean
}

const encodeRecords = <A>(
  { next, within }: Begun<A>["rest"],
  { after = -1, encode, format, id, isLast = () => false, segment }: RecordOptions<A>,
  clock: Clock.Clock,
  heartbeatMs: number
): Encoded => {
  const frame = frames[format]
  const end = clock.unsafeCurrentTimeMillis() + SEGMENT_BEATS * heartbeatMs
  let last = after
  let size = 0
  let isComplete = false
  let hasEnded = false

  const write = (chunk: Chunk.Chunk<A>): Pieces => {
    const pieces: Array<Uint8Array> = []
    let text = ""
    for (const record of chunk) {
      last = id(record)
      isComplete ||= isLast(record)
      text += frame(encode(record), last)
      if (text.length >= PIECE_LENGTH) {
        pieces.push(utf8(text))
        text = ""
      }
    }
    if (text !== "") {
      pieces.push(utf8(text))
    }
    size += bytesIn(pieces) + RECORD_COST * chunk.length
    return pieces
  }

  const written = Effect.map(next, write)
  const common = {
    isComplete: () => isComplete,
    within: (milliseconds: number) =>
      Effect.map(within(milliseconds), (taken) => taken === undefined ? undefined : write(taken))
  }
  if (segment === undefined) {
    return { ...common, next: written }
  }

  const conclude = (over: boolean): Pieces => {
    hasEnded = true
    return [encoder.encode(frame(continues(last, over), undefined))]
  }

  // What is taken and not written, because the time was over, can be had again: its number is not reached.
  const part = Effect.suspend((): Encoded["next"] => {
    if (hasEnded) {
      return Effect.fail(Option.none())
    }
    if (isComplete) {
      return written
    }
    if (size >= segment.bytes && segment.bytes > 0) {
      return Effect.succeed(conclude(false))
    }
    const left = segment.bytes === 0
      ? GLANCE_MS
      : size >= WORTHWHILE_BYTES
      ? PAUSE_MS
      : end - clock.unsafeCurrentTimeMillis()
    return Effect.matchEffect(within(Math.max(0, left)), {
      // It had ended before: who asks has had its last event.
      onFailure: (end) => size === 0 && Option.isNone(end) ? Effect.succeed(conclude(true)) : Effect.fail(end),
      onSuccess: (taken) => Effect.succeed(taken === undefined || segment.bytes === 0 ? conclude(false) : write(taken))
    })
  })
  return { ...common, next: part }
}

/**
 * A run that ends this soon is answered as a whole, by one write: a piece of its own for its beginning would cost both sides
 * more than the whole does. Nobody can do anything with that beginning in so short a time.
 */
const SOON_MS = 10

/** What has this much by then is not kept back any longer. */
const WHOLE_BYTES = 16 * 1024

/** The first records of a stream: all that come soon, if its last one can. A failure comes again, after them. */
const gatherFirst = ({ isComplete, within }: Encoded, clock: Clock.Clock): Effect.Effect<Pieces> =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    const end = clock.unsafeCurrentTimeMillis() + SOON_MS
    let size = 0
    const rest: Effect.Effect<Pieces> = Effect.suspend(() => {
      const left = end - clock.unsafeCurrentTimeMillis()
      return isComplete() || size >= WHOLE_BYTES || left <= 0
        ? Effect.succeed(pieces)
        : Effect.matchEffect(within(left), {
          onFailure: () => Effect.succeed(pieces),
          onSuccess: (more) => {
            if (more === undefined) {
              return Effect.succeed(pieces)
            }
            pieces.push(...more)
            size += bytesIn(more)
            return rest
          }
        })
    })
    return rest
  })

/** How often a silent answer is looked at, for each sign of life. */
const LOOKS = 2

/** After so many signs of life for which there was no room, nobody is there any more. */
const PATIENCE = 3

/**
 * Shows that the server is there while there is nothing to tell, until the scope closes. What reads a part of a stream takes
 * it whole: if it takes nothing for long, it is gone.
 */
const showLife = (
  response: ServerResponse,
  { format, segment }: Pick<RecordOptions<never>, "format" | "segment">,
  heartbeatMs: number
): Effect.Effect<void, never, Scope.Scope> => {
  let written = 0
  let waited = 0
  const look = (): void => {
    const bytes = response.socket?.bytesWritten ?? 0
    if (response.destroyed || response.writableEnded || !response.headersSent) {
      return
    }
    if (response.writableNeedDrain) {
      waited = bytes === written ? waited + 1 : 0
      if (segment !== undefined && waited >= PATIENCE * LOOKS) {
        response.destroy()
      }
    } else {
      waited = 0
      if (bytes === written) {
        response.write(signsOfLife[format])
      }
    }
    written = bytes
  }
  // A timer and no fiber: most answers are over before the first look.
  return Effect.flatMap(Effect.scope, (scope) => {
    let timer: ReturnType<typeof setInterval> | undefined
    return Effect.map(Scope.addFinalizer(scope, Effect.sync(() => clearInterval(timer))), () => {
      timer = setInterval(look, Math.min(heartbeatMs / LOOKS, LONGEST_MS))
    })
  })
}

/**
 * What is written in one turn of the event loop leaves in one piece: the head with the first records, the last of them with
 * the end. A piece of its own for each would cost more than what makes it.
 */
const gather = (response: ServerResponse): void => {
  response.cork()
  setImmediate(() => response.uncork())
}

/**
 * Answers with records. A failure after the first of them is the last record.
 */
export const records = <A>(
  request: HttpServerRequest.HttpServerRequest,
  stream: Stream.Stream<A, RequestError>,
  options: RecordOptions<A>
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope | Active | Settings> =>
  Effect.flatMap(
    Active,
    (active) => Effect.flatMap(Settings, (settings) => recordsOf(active, settings)(request, stream, options))
  )

/**
 * The same, for who has these at hand.
 */
export const recordsOf = (active: ActiveService, { heartbeatMs }: Pick<Complete, "heartbeatMs">) =>
<A>(
  request: HttpServerRequest.HttpServerRequest,
  stream: Stream.Stream<A, RequestError>,
  options: RecordOptions<A>
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    const { format, quiet = false, segment } = options
    const reason = yield* active.reason
    const { isReady, rest } = yield* begin(
      stream,
      options.opened ?? (segment?.bytes === 0 ? GLANCE_MS : quiet ? QUIET_MS : FIRST_RECORD_MS),
      options.watch
    )
    const response = NodeHttpServerRequest.toServerResponse(request)
    const frame = frames[format]
    const clock = yield* Effect.clock
    const encoded = encodeRecords(rest, options, clock, heartbeatMs)
    const headers = { "cache-control": "no-store", "x-accel-buffering": "no", [HEARTBEAT]: String(heartbeatMs) }
    const gathered = isReady && options.isLast !== undefined && segment?.bytes !== 0
      ? yield* gatherFirst(encoded, clock)
      : []
    if (encoded.isComplete()) {
      rest.finish()
      return HttpServerResponse.uint8Array(Buffer.concat(gathered), { contentType: format, headers })
    }
    yield* showLife(response, { format, segment }, heartbeatMs)
    let first = gathered
    let isHeld = isReady
    let isOver = false

    const next = Effect.suspend((): Pulls.Pull<Uint8Array, never> => {
      if (isOver) {
        return Effect.fail(Option.none())
      }
      // Where there is a record the head goes with it.
      if (!isHeld) {
        isHeld = true
        response.flushHeaders()
      }
      if (first.length > 0) {
        const pieces = first
        first = []
        gather(response)
        return Effect.succeed(Chunk.unsafeFromArray(pieces))
      }
      return Effect.matchCauseEffect(encoded.next, {
        onFailure: (cause): Pulls.Pull<Uint8Array, never> => {
          const failure = Cause.failureOption(cause)
          if (Option.exists(failure, Option.isNone)) {
            return Effect.fail(Option.none())
          }
          if (Cause.isInterruptedOnly(cause)) {
            return Effect.interrupt
          }
          const told = Cause.flatMap(cause, Option.match({ onNone: () => Cause.empty, onSome: Cause.fail }))
          isOver = true
          return Effect.as(
            Option.isNone(failure) ? Effect.logError("A stream died.", cause) : Effect.void,
            Chunk.of(encoder.encode(frame(failed(errorOf(told)), undefined)))
          )
        },
        onSuccess: (pieces) => {
          gather(response)
          return Effect.succeed(Chunk.unsafeFromArray(pieces))
        }
      })
    })

    // Interrupted, and perhaps somebody is there to be told.
    const body = Stream.ensuringWith(Stream.repeatEffectChunkOption(next), (exit) =>
      Effect.sync(() => {
        const why = Exit.isInterrupted(exit) ? reason() : undefined
        if (why !== undefined && !response.destroyed && !response.writableEnded) {
          response.write(frame(failed(why), undefined))
        }
      }))
    return HttpServerResponse.stream(body, { contentType: format, headers })
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
  Effect.map(begin(stream, FIRST_RECORD_MS), ({ rest }) => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    return HttpServerResponse.stream(
      Stream.ensuringWith(Stream.repeatEffectChunkOption(rest.next), (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) {
            response.destroy()
          }
        })),
      { contentType, headers: { "cache-control": "no-store", ...headers } }
    )
  })
