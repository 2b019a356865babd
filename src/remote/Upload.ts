/**
 * Sends a stream as the body of a request.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { BYTES } from "../api/Streams.js"
import type { RequestError } from "../Errors.js"
import type { Client, Unary } from "./Client.js"
import { type Peer, tooSlow, type Trouble } from "./Failures.js"

/** How many chunks of the source are read ahead of what is sent. */
const AHEAD = 2

/** How many bytes are gathered before a browser is given them to keep. */
const GATHERED_BYTES = 1024 * 1024

/**
 * A browser sends no body piece by piece over HTTP/1.1: Chromium refuses to, the others have no such bodies at all
 * (https://fetch.spec.whatwg.org/#request-class, `duplex`).
 */
const isBrowser = (scope: unknown = globalThis): boolean =>
  Predicate.hasProperty(scope, "document") ||
  (Predicate.hasProperty(scope, "importScripts") && typeof scope.importScripts === "function")

/** All of a stream, as a `Blob`: a browser keeps a large one on disk. */
const gather = <E>(content: Stream.Stream<Uint8Array, E>): Effect.Effect<Blob, E> =>
  Effect.suspend(() => {
    const blobs: Array<Blob> = []
    let pieces: Array<BlobPart> = []
    let gathered = 0
    const put = () => {
      blobs.push(new Blob(pieces))
      pieces = []
      gathered = 0
    }
    return content.pipe(
      Stream.runForEach((piece) =>
        Effect.sync(() => {
          pieces.push(piece.slice())
          gathered += piece.length
          if (gathered >= GATHERED_BYTES) {
            put()
          }
        })
      ),
      Effect.map(() => {
        put()
        return new Blob(blobs)
      })
    )
  })

/**
 * Node's `fetch` keeps a second copy of a body for a redirect, all of it, unless it is told that there will be none
 * (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch, step 8.1). A stream could not be sent again anyway.
 */
const withoutCopy = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.serviceOption(FetchHttpClient.RequestInit),
    (init) =>
      Effect.provideService(effect, FetchHttpClient.RequestInit, {
        ...Option.getOrElse(init, () => ({})),
        redirect: "error",
        window: null
      })
  )

/**
 * Limits the time in which the server takes nothing: a large file may take long, and so may where it comes from.
 */
const makeWatch = (peer: Peer) => {
  let waitingSince: number | undefined
  const begin = Effect.map(Clock.currentTimeMillis, (now) => {
    waitingSince = now
  })
  const watch: Effect.Effect<never, RequestError> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const left = waitingSince === undefined ? peer.timeout : waitingSince + peer.timeout - now
    return left <= 0 ? Effect.fail(tooSlow(peer)) : Effect.zipRight(Effect.sleep(Duration.millis(left)), watch)
  })
  return {
    /** The stream; while a piece of it is being made, it is not the server that is waited for. */
    measured: <A, E>(content: Stream.Stream<A, E>): Stream.Stream<A, E> =>
      Stream.fromPull(Effect.map(Stream.toPull(content), (pull) =>
        Effect.suspend(() => {
          waitingSince = undefined
          return Effect.ensuring(pull, begin)
        }))),
    limitTime: <A>(request: Effect.Effect<A, RequestError>): Effect.Effect<A, RequestError> =>
      Effect.zipRight(begin, Effect.raceFirst(request, watch))
  }
}

/**
 * Makes a request with this body, once: nobody knows whether the stream can be read again. `send` gets the body, and what
 * limits the time in which nothing of it is taken.
 *
 * Fails with what the stream fails with, also when the connection breaks because of that.
 */
export const sendBody = <A, E>(
  peer: Peer,
  content: Stream.Stream<Uint8Array, E>,
  send: (
    body: HttpBody.HttpBody,
    limitTime?: <B>(request: Effect.Effect<B, RequestError>) => Effect.Effect<B, RequestError>
  ) => Effect.Effect<A, RequestError>
): Effect.Effect<A, RequestError | E> =>
  Effect.suspend(() => {
    if (isBrowser()) {
      return Effect.flatMap(gather(content), (blob) => send(HttpBody.raw(blob, { contentType: BYTES })))
    }
    let failed: Option.Option<Cause.Cause<E>> = Option.none()
    const { limitTime, measured } = makeWatch(peer)
    return Effect.scoped(Effect.gen(function*() {
      // A fiber of its own reads the source, so that it ends with the request: who sends a body stops reading it when
      // the connection breaks, and never says so.
      const takes = yield* Stream.toQueue(
        Stream.tapErrorCause(content, (cause) =>
          Effect.sync(() => {
            failed = Option.some(cause)
          })),
        { capacity: AHEAD }
      )
      const body = measured(Stream.flattenTake(Stream.fromQueue(takes)))
      return yield* withoutCopy(send(HttpBody.stream(body, BYTES), limitTime))
    })).pipe(
      Effect.catchAllCause((cause): Effect.Effect<A, RequestError | E> =>
        Option.isSome(failed) && !Cause.isInterruptedOnly(cause)
          ? Effect.failCause(failed.value)
          : Effect.failCause(cause)
      )
    )
  })

/**
 * The same as a request of the interface.
 */
export const upload = <A, E>(
  client: Client,
  operation: string,
  content: Stream.Stream<Uint8Array, E>,
  send: (api: Unary) => Effect.Effect<A, Trouble>
): Effect.Effect<A, RequestError | E> =>
  sendBody(
    client.peer,
    content,
    (body, limitTime) => client.request({ operation, effect: "once", onlyOnce: true, body, limitTime }, send)
  )
