/**
 * The Connect protocol with JSON (https://connectrpc.com/docs/protocol): calls with one answer, and calls whose answer is
 * a stream of messages, each in an envelope.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { type RequestError, type SandboxSDKError, TimeoutError } from "../../Errors.js"
import type { Service } from "../../SandboxSDK.js"
import type { BodyLimits } from "../Body.js"
import * as Body from "../Body.js"
import { answerConnect, connectError, malformed } from "./Failures.js"

type Request = HttpServerRequest.HttpServerRequest

/**
 * A service of envd, in the sandbox with this id: answers a call of the method; `undefined` when it has no such method.
 */
export type Answerer = (
  sdk: Service,
  id: string,
  method: string,
  request: Request,
  limits: BodyLimits
) => Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError> | undefined

/** Before each message: a byte of flags and the length. */
const PREFIX_BYTES = 5

/** The last message: it says how the stream has ended. */
const END_OF_STREAM = 2

/** A message that is compressed, which nobody has been told that we understand. */
const COMPRESSED = 1

/**
 * A message in its envelope.
 */
export const envelope = (message: unknown, flags = 0): Buffer => {
  const json = Buffer.from(JSON.stringify(message))
  const whole = Buffer.allocUnsafe(PREFIX_BYTES + json.length)
  whole.writeUInt8(flags, 0)
  whole.writeUInt32BE(json.length, 1)
  json.copy(whole, PREFIX_BYTES)
  return whole
}

/**
 * The JSON of the one message that a body in envelopes has. Fails with `invalid_argument`.
 */
export const opened = (body: Uint8Array): Effect.Effect<string, SandboxSDKError> => {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (bytes.length < PREFIX_BYTES || bytes.readUInt32BE(1) !== bytes.length - PREFIX_BYTES) {
    return Effect.fail(malformed("body", "it must be one message in an envelope of the Connect protocol."))
  }
  return (bytes.readUInt8(0) & COMPRESSED) !== 0
    ? Effect.fail(malformed("body", "messages must not be compressed."))
    : Effect.succeed(bytes.toString("utf8", PREFIX_BYTES))
}

const fits = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknown(schema)
  return (value: unknown) => Effect.mapError(decode(value), (error) => malformed("body", error.message))
}

/**
 * The message of a call with one answer.
 */
export const message = <A, I>(request: Request, schema: Schema.Schema<A, I>): Effect.Effect<A, SandboxSDKError> =>
  Effect.flatMap(Effect.mapError(request.json, () => malformed("body", "it must be JSON.")), fits(schema))

/**
 * The message that begins a stream.
 */
export const opening = <A, I>(
  request: Request,
  limits: BodyLimits,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, SandboxSDKError> =>
  Body.bytes(request, { ...limits, maxUploadBytes: limits.maxJsonBytes }).pipe(
    Stream.runCollect,
    Effect.mapError(({ error }) => error),
    Effect.flatMap((pieces) => opened(Buffer.concat([...pieces]))),
    Effect.flatMap((json) =>
      Effect.mapError(
        Schema.decode(Schema.parseJson(schema))(json),
        (error) => malformed("body", error.message)
      )
    )
  )

const CONTENT_TYPE = "application/connect+json"

const ended = (error?: RequestError): Buffer =>
  envelope(error === undefined ? {} : { error: connectError(error) }, END_OF_STREAM)

/**
 * Answers a call that failed. The end of a stream is its last message, also of one that has never begun.
 */
export const failed = (error: RequestError, request: Request): HttpServerResponse.HttpServerResponse =>
  (request.headers["content-type"] ?? "").startsWith(CONTENT_TYPE)
    ? HttpServerResponse.uint8Array(ended(error), { contentType: CONTENT_TYPE })
    : answerConnect(error)

const header = (request: Request, name: string): number | undefined => {
  const value = Number(request.headers[name])
  return Number.isFinite(value) && value > 0 ? value : undefined
}

/**
 * How long the call may take, in milliseconds; without a limit when the client says none.
 */
export const timeoutMs = (request: Request): number | undefined => header(request, "connect-timeout-ms")

/** How often a stream shows that it lives when there is nothing to tell, where the client does not say. */
const KEEPALIVE_SECONDS = 50

const tooLong = (limit: number) =>
  Effect.delay(
    Effect.fail(
      new TimeoutError({
        message: `The call took longer than the ${limit} ms that its client gave it.`,
        timeoutMs: limit,
        operation: "request"
      })
    ),
    Duration.millis(limit)
  )

/**
 * Answers with a stream of messages. How it ends, well or not, is its last message; one that stops without it is broken.
 * `keepAlive` is sent while there is nothing else.
 */
export const stream = (
  request: Request,
  messages: Stream.Stream<unknown, RequestError>,
  keepAlive: unknown
): HttpServerResponse.HttpServerResponse => {
  const interval = Duration.seconds(header(request, "keepalive-ping-interval") ?? KEEPALIVE_SECONDS)
  const signs = Stream.as(Stream.fromSchedule(Schedule.spaced(interval)), keepAlive)
  const limit = timeoutMs(request)
  const body = (limit === undefined ? messages : Stream.interruptWhen(messages, tooLong(limit))).pipe(
    Stream.merge(signs, { haltStrategy: "left" }),
    // One buffer for all that has arrived together.
    Stream.mapChunks((chunk) => Chunk.of(Buffer.concat([...chunk].map((one) => envelope(one))))),
    Stream.concat(Stream.sync(() => ended())),
    Stream.catchAll((error) => Stream.succeed(ended(error)))
  )
  return HttpServerResponse.stream(body, {
    contentType: CONTENT_TYPE,
    headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
  })
}
