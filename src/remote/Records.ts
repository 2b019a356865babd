/**
 * Streams of records: one JSON text a line (NDJSON), ended by a record that says that it is the last.
 *
 * The time is linear in the number of bytes however long a line is: pieces of a line are kept as they arrived, and are
 * put together once. Lines are cut as bytes, so a character that came in two pieces is whole when it is decoded.
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Failed } from "../api/Status.js"
import { Continues } from "../api/Streams.js"
import { ConnectionError, type RequestError, type SandboxSDKError } from "../Errors.js"
import { misshapen, type Peer, undecodable } from "./Failures.js"

const NEWLINE = 0x0a

/** How long the end of the answer is waited for after its last record, so that the connection can be used again. */
const SETTLE = Duration.millis(100)

const join = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = pieces
  if (only !== undefined && pieces.length === 1) {
    return only
  }
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let offset = 0
  for (const piece of pieces) {
    whole.set(piece, offset)
    offset += piece.length
  }
  return whole
}

/**
 * Cuts bytes into lines, without their newlines.
 */
export interface LineCutter {
  /** The lines that these bytes complete; they fail when they are no UTF-8. */
  readonly push: (bytes: Uint8Array) => Either.Either<ReadonlyArray<string>, unknown>
  /** Whether the bytes so far end with a newline. */
  readonly atBoundary: () => boolean
}

/**
 * Makes a cutter.
 */
export const makeLineCutter = (): LineCutter => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  let pending: Array<Uint8Array> = []
  return {
    push: (bytes) => {
      const end = bytes.lastIndexOf(NEWLINE)
      if (end < 0) {
        if (bytes.length > 0) {
          pending.push(bytes)
        }
        return Either.right([])
      }
      const complete = join([...pending, bytes.subarray(0, end)])
      pending = end + 1 < bytes.length ? [bytes.subarray(end + 1)] : []
      return Either.map(Either.try(() => decoder.decode(complete)), (text) => text.split("\n"))
    },
    atBoundary: () => pending.length === 0
  }
}

/** Says which record ends a stream, and where its records come from. */
export interface RecordOptions<A> {
  readonly peer: Peer
  /** Whether this record is the last one. */
  readonly isLast: (record: A) => boolean
}

const isTagged = (record: unknown, tag: string): boolean =>
  typeof record === "object" && record !== null && "_tag" in record && record._tag === tag

const isFailed = (record: unknown): record is Failed => isTagged(record, "Failed")

const isContinues = (record: unknown): record is Continues => isTagged(record, "Continues")

const cutOff = (peer: Peer, atBoundary: boolean): ConnectionError =>
  new ConnectionError({
    message:
      `The connection to ${peer.url} ended ${atBoundary ? "before the last record" : "in the middle of a record"}: ` +
      "nobody knows whether what it told of came to its end.",
    url: peer.url
  })

/**
 * What has been found in some bytes: records, and then perhaps the end of them, one way or another. `continues` is the end
 * of a part.
 */
export interface Found<A> {
  readonly records: ReadonlyArray<A>
  readonly end: Either.Either<"complete" | "open" | "continues", RequestError>
}

/**
 * Finds records in bytes, in whatever pieces these come.
 */
export interface RecordReader<A> {
  readonly push: (pieces: Iterable<Uint8Array>) => Found<A>
  /** The error of an answer that ends where it has come to. */
  readonly cutOff: () => ConnectionError
}

/**
 * What a line says.
 */
export type RecordDecoder<A> = (line: string) => Either.Either<A | Failed | Continues, ParseResult.ParseIssue>

/**
 * Makes a decoder of lines, for all answers whose records have that schema: what it takes to make one is done once, at the
 * first line.
 */
export const makeDecoder = <A, I>(schema: Schema.Schema<A | Failed, I>): RecordDecoder<A> => {
  let decode: RecordDecoder<A> | undefined
  return (line) => {
    decode ??= ParseResult.decodeUnknownEither(Schema.parseJson(Schema.Union(schema, Continues)))
    return decode(line)
  }
}

/**
 * Makes a reader of one answer.
 */
export const makeReader = <A>(decode: RecordDecoder<A>, { isLast, peer }: RecordOptions<A>): RecordReader<A> => {
  const cutter = makeLineCutter()

  const read = (lines: ReadonlyArray<string>): Found<A> => {
    const records: Array<A> = []
    for (const line of lines) {
      // A blank line is a sign of life.
      if (line.trim() === "") {
        continue
      }
      const record = decode(line)
      if (Either.isLeft(record)) {
        return { records, end: Either.left(misshapen(peer, record.left, "record")) }
      }
      if (isFailed(record.right)) {
        return { records, end: Either.left(record.right.error) }
      }
      if (isContinues(record.right)) {
        return { records, end: Either.right(record.right.over === true ? "complete" : "continues") }
      }
      records.push(record.right)
      if (isLast(record.right)) {
        return { records, end: Either.right("complete") }
      }
    }
    return { records, end: Either.right("open") }
  }

  return {
    push: (pieces: Iterable<Uint8Array>): Found<A> => {
      const lines: Array<string> = []
      let broken: SandboxSDKError | undefined
      for (const piece of pieces) {
        const cut = cutter.push(piece)
        if (Either.isLeft(cut)) {
          broken = undecodable(peer, "sent bytes that are no UTF-8.")
          break
        }
        for (const line of cut.right) {
          lines.push(line)
        }
      }
      const found = read(lines)
      return broken === undefined || Either.isLeft(found.end) || found.end.right !== "open"
        ? found
        : { records: found.records, end: Either.left(broken) }
    },
    cutOff: () => cutOff(peer, cutter.atBoundary())
  }
}

/**
 * The records of an answer.
 *
 * It ends after the last record, and otherwise it fails: with the error of a `Failed` record, with `ConnectionError` when
 * the answer breaks off or ends before its last record, and with `SandboxSDKError` `decode_error` at what is no record. The
 * records before that are given first.
 */
export const decodeRecords =
  <A>(decode: RecordDecoder<A>, options: RecordOptions<A>) =>
  (body: Stream.Stream<Uint8Array, RequestError>): Stream.Stream<A, RequestError> =>
    Stream.fromPull(Effect.gen(function*() {
      const reader = makeReader(decode, options)
      const pull = yield* Stream.toPull(body)
      let end: Effect.Effect<never, Option.Option<RequestError>> | undefined

      // Nothing is lost when this is cut short: the connection is closed then, and not used again.
      const settle = Effect.forever(pull).pipe(Effect.timeoutOption(SETTLE), Effect.ignore)

      const next: Effect.Effect<Chunk.Chunk<A>, Option.Option<RequestError>> = Effect.suspend(() => {
        if (end !== undefined) {
          return end
        }
        return pull.pipe(
          Effect.mapError(Option.orElseSome(() => reader.cutOff())),
          Effect.flatMap((pieces) => {
            const found = reader.push(pieces)
            if (Either.isLeft(found.end)) {
              end = Effect.fail(Option.some(found.end.left))
            } else if (found.end.right === "continues") {
              end = Effect.fail(Option.some(reader.cutOff()))
            } else if (found.end.right === "complete") {
              end = Effect.zipRight(settle, Effect.fail(Option.none()))
            }
            return found.records.length === 0 ? next : Effect.succeed(Chunk.unsafeFromArray(found.records))
          })
        )
      })
      return next
    }))
