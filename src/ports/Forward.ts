/**
 * Passes a request on and its answer back, both as they arrive and no faster than they are taken: Node's HTTP on either
 * side, and nothing of a message is read here that Node has not parsed.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { IncomingMessage, RequestOptions, ServerResponse } from "node:http"
import * as Http from "node:http"
import * as Https from "node:https"
import type { Duplex } from "node:stream"
import { endToEnd, type Fields, fieldsOf, flat, valuesOf } from "./Fields.js"

/**
 * There was no answer, or none that is HTTP. Nothing has been answered yet.
 */
export class Unanswered extends Data.TaggedError("Unanswered")<{ readonly cause: unknown }> {}

/**
 * Where a request goes.
 */
export interface Upstream {
  /** How it is connected to: a host and a port, or `createConnection`. */
  readonly connection: RequestOptions
  readonly isSecure?: boolean | undefined
  /** Path and query. */
  readonly path: string
  /** The fields of the request as it is sent, `Host` among them. */
  readonly fields: Fields
  /** The fields of the answer as it is given, from those that came. */
  readonly answer: (fields: Fields) => Fields
}

/** How long an upgraded connection lives on without a byte when its client has ended its half, in milliseconds. */
const HALF_OPEN = 120_000

/** How long what is left may take to be taken when the other side has closed, in milliseconds. */
const LINGER = 10_000

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

/**
 * Whether a request wants its connection for another protocol, and has no body before that.
 */
export const wantsUpgrade = (incoming: IncomingMessage): boolean =>
  incoming.headers.upgrade !== undefined && /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(incoming.headers.connection ?? "") &&
  !hasBody(incoming)

const requestFields = (incoming: IncomingMessage, fields: Fields, isUpgrade: boolean): Fields => [
  ...fields,
  ...(incoming.headers["transfer-encoding"] === undefined ? [] : [["Transfer-Encoding", "chunked"] as const]),
  // One request a connection: what one leaves behind on it is never the answer to another's.
  ...(isUpgrade
    ? [["Connection", "Upgrade"] as const, ["Upgrade", incoming.headers.upgrade ?? ""] as const]
    : [["Connection", "close"] as const])
]

/** Carries bytes both ways until both sides have ended or one has broken. */
const splice = (client: Duplex, server: Duplex, done: () => void): () => void => {
  let limit: ReturnType<typeof setTimeout> | undefined
  let left = 2

  const stop = (): void => {
    client.destroy()
    server.destroy()
  }
  const within = (ms: number): void => {
    clearTimeout(limit)
    limit = setTimeout(stop, ms)
  }
  const closed = (side: Duplex, other: Duplex): void => {
    left -= 1
    if (left === 0) {
      clearTimeout(limit)
      done()
    } else if (side.readableEnded && side.errored === null) {
      // All that it had to say is on its way.
      within(LINGER)
    } else {
      other.destroy()
    }
  }
  for (const [side, other] of [[client, server], [server, client]] as const) {
    side.on("error", () => {})
    side.once("close", () => closed(side, other))
  }
  client.once("end", () => {
    within(HALF_OPEN)
    server.on("data", () => limit?.refresh())
  })
  client.pipe(server)
  server.pipe(client)
  return stop
}

/**
 * Passes a request on. Succeeds when it has been answered, whole or not: an answer that breaks off in the middle breaks the
 * connection of the client off too, so that nobody takes a part for the whole. Interrupting it does the same. The client's
 * connection has to be that of `response`; for {@link wantsUpgrade} it must have been taken from its server.
 *
 * Fails with `Unanswered` when there was no answer.
 */
export const forward = (
  incoming: IncomingMessage,
  response: ServerResponse,
  upstream: Upstream
): Effect.Effect<void, Unanswered> =>
  Effect.async((resume) => {
    const isUpgrade = wantsUpgrade(incoming)
    let stop = (): void => {}
    const sent = Either.try(() =>
      (upstream.isSecure === true ? Https : Http).request({
        ...upstream.connection,
        method: incoming.method,
        path: upstream.path,
        headers: flat(requestFields(incoming, upstream.fields, isUpgrade)),
        setHost: false
      })
    )
    if (Either.isLeft(sent)) {
      return resume(new Unanswered({ cause: sent.left }))
    }
    const request = sent.right

    /** Ends what cannot be ended properly any more. */
    const breakOff = (): void => {
      response.destroy()
      response.end()
    }
    const finish = (): void => {
      request.destroy()
      if (response.headersSent && !response.writableEnded) breakOff()
      resume(Effect.void)
    }
    const fail = (cause: unknown): void => {
      request.destroy()
      if (response.headersSent) {
        finish()
      } else {
        incoming.unpipe()
        resume(new Unanswered({ cause }))
      }
    }

    /** There are fields that Node reads but does not write. */
    const begin = (status: number, fields: Fields, more: Fields = []) =>
      Either.try(() => response.writeHead(status, flat([...upstream.answer(endToEnd(fields)), ...more])))

    if (isUpgrade) response.shouldKeepAlive = false
    request.on("error", fail)

    request.on("response", (answer: IncomingMessage) => {
      const begun = begin(answer.statusCode ?? 502, fieldsOf(answer.rawHeaders))
      if (Either.isLeft(begun)) {
        return fail(begun.left)
      }
      response.flushHeaders()
      answer.on("error", finish)
      response.on("error", finish)
      response.on("close", finish)
      response.on("finish", () => {
        // What the client still sends is for nobody.
        incoming.unpipe()
        incoming.resume()
        finish()
      })
      answer.pipe(response)
    })

    request.on("upgrade", (answer: IncomingMessage, server: Duplex, head: Uint8Array) => {
      const { socket } = response
      // Nobody has asked for another protocol, and the connection still is its server's.
      if (!isUpgrade || socket === null) {
        server.destroy()
        return fail(new Error("The answer is in a protocol that was not asked for."))
      }
      const fields = fieldsOf(answer.rawHeaders)
      const begun = begin(101, fields, [["Connection", "Upgrade"], ["Upgrade", valuesOf(fields, "upgrade").join(", ")]])
      if (Either.isLeft(begun)) {
        server.destroy()
        return fail(begun.left)
      }
      response.flushHeaders()
      response.detachSocket(socket)
      socket.setTimeout(0)
      if (head.length > 0) server.unshift(head)
      // Only now: the end of an answer would be that of its connection.
      stop = splice(socket, server, () => {
        response.end()
        resume(Effect.void)
      })
    })

    incoming.on("error", fail)
    response.once("close", () => {
      if (!response.writableEnded) fail(new Error("The client has gone."))
    })
    if (hasBody(incoming)) {
      incoming.pipe(request)
    } else {
      request.end()
    }
    return Effect.sync(() => {
      stop()
      request.destroy()
      if (response.headersSent && !response.writableEnded) breakOff()
    })
  })
