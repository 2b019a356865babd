/**
 * Reads the bodies of requests: never more than a limit, never for ever, and never anything but what was asked for.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { IncomingMessage } from "node:http"
import { LONGEST_MS } from "../internal/timedPull.js"
import { type Problem, problem } from "./Problem.js"

/**
 * Limits of bodies.
 */
export interface BodyLimits {
  /** Bytes of a body of JSON. */
  readonly maxJsonBytes: number
  /** Bytes of a file that is uploaded. */
  readonly maxUploadBytes: number
  /** Milliseconds in which a body of JSON has to arrive, and in which more of an upload has to. */
  readonly timeoutMs: number
}

/** How long the rest of a body that nobody wants is read and thrown away, so that the client gets to read the answer. */
const DRAIN_MS = 5_000

/**
 * Lets what is left of a body go by, for a while.
 */
export const drain = (request: HttpServerRequest.HttpServerRequest): void => {
  const source = NodeHttpServerRequest.toIncomingMessage(request)
  if (!source.complete) {
    const timer = setTimeout(() => source.destroy(), DRAIN_MS)
    timer.unref()
    source.once("close", () => clearTimeout(timer))
    source.resume()
  }
}

const tooLarge = (limit: number): Problem =>
  problem(413, `The body is larger than ${limit} bytes, the most that is taken here.`, { field: "body" })

const tooSlow = (timeoutMs: number): Problem =>
  problem(408, `No more of the body has arrived for ${timeoutMs} ms.`, {
    field: "body",
    headers: { connection: "close" }
  })

const brokenOff = problem(400, "The body broke off.", { field: "body", headers: { connection: "close" } })

const announced = (source: IncomingMessage): number => Number(source.headers["content-length"] ?? 0)

/** A timer of its own and no race: that would cost every request two fibers. */
const readAll = (source: IncomingMessage, limit: number, timeoutMs: number): Effect.Effect<Uint8Array, Problem> =>
  Effect.async<Uint8Array, Problem>((resume) => {
    if (announced(source) > limit) {
      return resume(Effect.fail(tooLarge(limit)))
    }
    const pieces: Array<Buffer> = []
    let size = 0
    const stop = () => {
      clearTimeout(timer)
      source.off("data", onData).off("end", onEnd).off("close", onClose)
    }
    const timer = setTimeout(() => {
      stop()
      resume(Effect.fail(tooSlow(timeoutMs)))
    }, Math.min(timeoutMs, LONGEST_MS))
    const onData = (piece: Buffer) => {
      size += piece.length
      pieces.push(piece)
      if (size > limit) {
        stop()
        resume(Effect.fail(tooLarge(limit)))
      }
    }
    const onEnd = () => {
      stop()
      resume(Effect.succeed(Buffer.concat(pieces, size)))
    }
    const onClose = () => {
      stop()
      resume(Effect.fail(brokenOff))
    }
    source.on("data", onData).on("end", onEnd).on("close", onClose)
    return Effect.sync(stop)
  })

/** `application/json`, in UTF-8, which is all that JSON is (RFC 8259, 8.1). */
const isJson = (type: string): boolean => {
  if (type === "application/json") {
    return true
  }
  const [essence = "", ...parameters] = type.split(";").map((part) => part.trim().toLowerCase())
  return essence === "application/json" &&
    parameters.every((one) => !one.startsWith("charset") || /^charset\s*=\s*"?utf-?8"?$/.test(one))
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/**
 * What a body of JSON says; an empty one is an object without properties.
 */
export const parse = (bytes: Uint8Array): Either.Either<unknown, Problem> =>
  bytes.length === 0
    ? Either.right({})
    : Either.flatMap(
      Either.try({
        try: () => utf8.decode(bytes),
        catch: () => problem(400, "The body is not UTF-8, which JSON is to be.", { field: "body" })
      }),
      (text) =>
        Either.try({
          try: (): unknown => JSON.parse(text),
          catch: () =>
            problem(400, "The body is not JSON: it ends too early, or something in it is malformed.", { field: "body" })
        })
    )

/**
 * Makes what decodes a body as the router does, with the same words for what does not fit.
 */
export const decoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(schema)
  return (input: unknown): Effect.Effect<A, HttpApiError.HttpApiDecodeError> =>
    Either.match(decode(input), {
      onLeft: (issue) => HttpApiError.HttpApiDecodeError.refailParseError(ParseResult.parseError(issue)),
      onRight: (decoded) => Effect.succeed(decoded)
    })
}

/** What goes to the input of a process are bytes of any kind. */
const TAKES_BYTES = /^\/api\/executions\/[^/?]+\/stdin\/?(?:\?|$)/

const readBytes = (
  source: IncomingMessage,
  takesBytes: boolean,
  { maxJsonBytes, timeoutMs }: BodyLimits
): Effect.Effect<Uint8Array, Problem> =>
  Effect.suspend(() => {
    const type = source.headers["content-type"]
    return !takesBytes && type !== undefined && !isJson(type)
      ? Effect.fail(
        problem(415, "The body must be JSON: send it with `Content-Type: application/json`.", {
          field: "content-type",
          headers: { accept: "application/json" }
        })
      )
      : readAll(source, maxJsonBytes, timeoutMs)
  })

/**
 * A request whose body is read within the limits: as JSON, whatever its type says that it is, unless its path takes bytes.
 */
export interface Limited {
  readonly request: HttpServerRequest.HttpServerRequest
  /** The bytes of that body. They are kept until the body is read. */
  readonly bytes: Effect.Effect<Uint8Array, Problem>
}

/**
 * The request, limited.
 */
export const limited = (request: HttpServerRequest.HttpServerRequest, limits: BodyLimits): Limited => {
  const takesBytes = TAKES_BYTES.test(request.url)
  let kept: Uint8Array | undefined
  const bytes = Effect.suspend(() =>
    kept === undefined
      ? readBytes(NodeHttpServerRequest.toIncomingMessage(request), takesBytes, limits)
      : Effect.succeed(kept)
  )
  const body: Effect.Effect<unknown> = Effect.orDie(Effect.flatMap(bytes, (read) => {
    kept = undefined
    return takesBytes ? Effect.succeed(Uint8Array.from(read).buffer) : parse(read)
  }))
  const bodies = new Set<PropertyKey>(["json", "text", "arrayBuffer", "urlParamsBody", "multipart"])
  return {
    request: new Proxy(request, {
      get: (target, key): unknown => bodies.has(key) ? body : Reflect.get(target, key, target)
    }),
    bytes: Effect.tap(bytes, (body) =>
      Effect.sync(() => {
        kept = body
      }))
  }
}

type Arrival = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<Problem>>

/** What has arrived of a body by now, or its end; undefined when that is to be waited for. */
const arrived = (source: IncomingMessage): Arrival | undefined => {
  const pieces: Array<Uint8Array> = []
  for (let piece: unknown = source.read(); piece instanceof Uint8Array; piece = source.read()) pieces.push(piece)
  return pieces.length > 0
    ? Effect.succeed(Chunk.unsafeFromArray(pieces))
    : source.readableEnded
    ? Effect.fail(Option.none())
    : source.destroyed
    ? Effect.fail(Option.some(brokenOff))
    : undefined
}

/** The same, waited for. It costs a timer and no fiber, for there may be thousands of these in a second. */
const arrival = (source: IncomingMessage, timeoutMs: number): Arrival =>
  Effect.async((resume) => {
    // Here, and not before: between a look and this the fiber could give way, and miss what comes.
    const here = arrived(source)
    if (here !== undefined) return resume(here)
    const stop = () => {
      clearTimeout(timer)
      for (const event of ["readable", "end", "close"]) source.off(event, look)
    }
    const settle = (outcome: Arrival) => {
      stop()
      resume(outcome)
    }
    const look = () => {
      const outcome = arrived(source)
      if (outcome !== undefined) settle(outcome)
    }
    const timer = setTimeout(() => settle(Effect.fail(Option.some(tooSlow(timeoutMs)))), timeoutMs)
    for (const event of ["readable", "end", "close"]) source.on(event, look)
    return Effect.sync(stop)
  })

/**
 * The bytes of the body as they arrive. Not read faster than they are taken.
 */
export const bytes = (
  request: HttpServerRequest.HttpServerRequest,
  { maxUploadBytes, timeoutMs }: BodyLimits
): Stream.Stream<Uint8Array, Problem> => {
  const source = NodeHttpServerRequest.toIncomingMessage(request)
  const refuse = Effect.fail(tooLarge(maxUploadBytes))
  // Its `close` tells enough; without a listener an error would end the server.
  source.on("error", () => {})
  let size = 0
  return announced(source) > maxUploadBytes
    ? Stream.fromEffect(refuse)
    // Not closed with the stream: the answer goes out by the same socket.
    : Stream.mapChunksEffect(Stream.repeatEffectChunkOption(arrival(source, timeoutMs)), (chunk) => {
      for (const piece of chunk) {
        size += piece.length
      }
      return size > maxUploadBytes ? refuse : Effect.succeed(chunk)
    })
}
