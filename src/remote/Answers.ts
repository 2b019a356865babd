/**
 * What a server answers in place of a success: an error of ours, or something that is none of our server's.
 */
import * as Headers from "@effect/platform/Headers"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ConnectionError, RateLimitError, RequestError, SandboxSDKError } from "../Errors.js"
import { quote } from "../internal/issue.js"
import { parseRetryAfter } from "../Retry.js"
import { brokenAnswer, orAbsent, type Peer, undecodable } from "./Failures.js"

/** No error is longer; what stands in for one (a page of a proxy) need not be read to its end. */
const MAX_ERROR_BYTES = 1024 * 1024

/** When a limiter on the way does not say when to come back. */
const DEFAULT_RETRY_AFTER = 1_000

const decodeError = Schema.decodeOption(Schema.parseJson(RequestError))

/**
 * The text of an answer that is an error, as far as one is that long.
 */
export const readText = (
  response: HttpClientResponse.HttpClientResponse,
  peer: Peer
): Effect.Effect<string, ConnectionError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let length = 0
    return response.stream.pipe(
      Stream.takeUntil((piece) => {
        length += piece.length
        return length > MAX_ERROR_BYTES
      }),
      Stream.runFold("", (text, piece) => text + decoder.decode(piece, { stream: true })),
      Effect.catchAll((error) =>
        error.reason === "EmptyBody" ? Effect.succeed("") : Effect.fail(brokenAnswer(peer, error.cause))
      )
    )
  })

/** A page without its markup, in one line. */
const inOneLine = (body: string): string =>
  body.slice(0, 4_096).replace(/<(style|script)[\s\S]*?<\/\1>/gi, " ").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ")
    .trim()

const foreign = (
  response: HttpClientResponse.HttpClientResponse,
  body: string,
  peer: Peer,
  retryAfter: Option.Option<number>
): RequestError => {
  const { status } = response
  const page = inOneLine(body)
  const said = page === "" ? "with nothing" : `with ${quote(page)}`
  switch (status) {
    case 502:
    case 503:
    case 504:
      return new ConnectionError({
        message: `What stands before ${peer.url} answered ${status} in place of the server, ${said}.`,
        url: peer.url,
        status,
        ...orAbsent(retryAfter)
      })
    case 429:
      return new RateLimitError({
        message: `What stands before ${peer.url} answered 429: too many requests.`,
        retryAfter: Option.getOrElse(retryAfter, () => DEFAULT_RETRY_AFTER)
      })
    case 401:
    case 403:
      return new SandboxSDKError({
        code: status === 401 ? "unauthorized" : "forbidden",
        message: `${peer.url} answered ${status}, ${said}; it was not a sandbox server that said so.`
      })
    default:
      return undecodable(peer, `answered ${status}, ${said}.`)
  }
}

/**
 * Lets a success pass. Fails with the error that the server encoded, or with one for what somebody else answered: a
 * gateway, a proxy, a server of another kind.
 */
export const requireSuccess = (peer: Peer) =>
(
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError> =>
  response.status >= 200 && response.status < 300
    ? Effect.succeed(response)
    : Effect.gen(function*() {
      const body = yield* readText(response, peer)
      const now = yield* Clock.currentTimeMillis
      const retryAfter = Option.flatMap(
        Headers.get(response.headers, "retry-after"),
        (value) => parseRetryAfter(value, now)
      )
      return yield* Option.getOrElse(decodeError(body), () => foreign(response, body, peer, retryAfter))
    })
