/**
 * Calls of envd, the service of a sandbox for its processes and files, by the Connect protocol.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ConnectionError, type RequestError } from "../Errors.js"
import { misshapen, undecodable } from "../remote/Failures.js"
import type { Call, Client } from "./Client.js"
import { PING } from "./Client.js"
import { type Envelope, makeOpener, seal } from "./Envelopes.js"
import { ofConnect } from "./Failures.js"
import { EndOfStream } from "./Protocol.js"

type InSandbox = Call & { readonly sandboxId: string }

/**
 * A call with one answer.
 */
export const unary = <A, I>(
  client: Client,
  call: InSandbox,
  method: string,
  message: unknown,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, RequestError> =>
  client.json(
    call,
    "envd",
    HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(`/${method}`), message),
    schema
  )

/** The end of a call that answers nothing. */
export const Nothing = Schema.Struct({})

/**
 * A call that is answered by a stream of messages. It ends when its last message says that it has; a stream that stops
 * without one fails with `ConnectionError`.
 */
export const streaming = <A, I>(
  client: Client,
  call: InSandbox,
  method: string,
  message: unknown,
  schema: Schema.Schema<A, I>
): Stream.Stream<A, RequestError> => {
  const { peer } = client
  const decode = Schema.decodeEither(Schema.parseJson(schema))
  const decodeEnd = Schema.decodeEither(Schema.parseJson(EndOfStream))
  const request = HttpClientRequest.post(`/${method}`).pipe(
    HttpClientRequest.bodyUint8Array(seal(message), "application/connect+json"),
    HttpClientRequest.setHeaders(PING)
  )

  const ended = ({ json }: Envelope): Option.Option<RequestError> =>
    Either.match(decodeEnd(json), {
      onLeft: ({ issue }) => Option.some(misshapen(peer, issue, "record")),
      onRight: ({ error }) => Option.map(Option.fromNullable(error), (error) => ofConnect(peer, error, call))
    })

  return Stream.fromPull(Effect.gen(function*() {
    const opener = makeOpener()
    const pull = yield* Stream.toPull(client.stream(call, "envd", request, true))
    let end: Option.Option<RequestError> | undefined

    const cutOff = () =>
      new ConnectionError({
        message: `The connection to ${peer.url} ended ${
          opener.atBoundary() ? "before the last message" : "in the middle of a message"
        }: nobody knows whether what it told of came to its end.`,
        url: peer.url
      })

    const next: Effect.Effect<Chunk.Chunk<A>, Option.Option<RequestError>> = Effect.suspend(() =>
      end !== undefined ? Effect.fail(end) : pull.pipe(
        Effect.mapError(Option.orElseSome(cutOff)),
        Effect.flatMap((pieces) => {
          const found: Array<A> = []
          for (const piece of pieces) {
            const envelopes = opener.push(piece)
            if (Either.isLeft(envelopes)) {
              end = Option.some(undecodable(peer, envelopes.left))
              break
            }
            for (const envelope of envelopes.right) {
              if (end !== undefined) break
              if (envelope.isLast) {
                end = ended(envelope)
                break
              }
              const one = decode(envelope.json)
              if (Either.isLeft(one)) {
                end = Option.some(misshapen(peer, one.left.issue, "record"))
              } else {
                found.push(one.right)
              }
            }
            if (end !== undefined) break
          }
          return found.length === 0 ? next : Effect.succeed(Chunk.unsafeFromArray(found))
        })
      )
    )
    return next
  }))
}
