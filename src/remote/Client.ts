/**
 * Makes requests: derived from the interface, authenticated, limited in time and number, repeated where that helps,
 * counted, traced, and failing with nothing but the errors of the SDK.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Api } from "../Api.js"
import { type RequestError, SandboxSDKError } from "../Errors.js"
import * as Logging from "../Logging.js"
import * as Metrics from "../Metrics.js"
import * as RateLimit from "../RateLimit.js"
import * as Retry from "../Retry.js"
import { SandboxConfig } from "../SandboxConfig.js"
import { requireSuccess } from "./Answers.js"
import { brokenAnswer, fold, type Peer, tooSlow, type Trouble } from "./Failures.js"
import { randomKey } from "./Key.js"

/** What one request has beside what the interface says. */
interface Extras {
  readonly headers?: Headers.Input | undefined
  readonly body?: HttpBody.HttpBody | undefined
}

class CurrentExtras extends Context.Reference<CurrentExtras>()("sandbox-sdk/remote/CurrentExtras", {
  defaultValue: (): Extras => ({})
}) {}

/** An answer that has begun, on its way out of the derived client, which would read it to its end. */
class Opened extends Data.TaggedError("sandbox-sdk/remote/Opened")<{
  readonly response: HttpClientResponse.HttpClientResponse
}> {}

const addExtras = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.map(CurrentExtras, ({ body, headers }) => {
    const withHeaders = headers === undefined ? request : HttpClientRequest.setHeaders(request, headers)
    return body === undefined ? withHeaders : HttpClientRequest.setBody(withHeaders, body)
  })

const prepare = (http: HttpClient.HttpClient, settings: typeof SandboxConfig.Service) =>
  http.pipe(
    HttpClient.mapRequest(HttpClientRequest.bearerToken(settings.apiKey)),
    HttpClient.mapRequestEffect(addExtras)
  )

/** The whole answer, decoded. */
const deriveUnary = (http: HttpClient.HttpClient, settings: typeof SandboxConfig.Service, peer: Peer) =>
  HttpApiClient.makeWith(Api, {
    baseUrl: peer.url,
    httpClient: HttpClient.transformResponse(prepare(http, settings), Effect.flatMap(requireSuccess(peer)))
  })

/** The answer as soon as it begins. The connection is closed with the scope. */
const deriveStreaming = (http: HttpClient.HttpClient, settings: typeof SandboxConfig.Service, peer: Peer) =>
  HttpApiClient.makeWith(Api, {
    baseUrl: peer.url,
    httpClient: prepare(http, settings).pipe(
      HttpClient.withScope,
      HttpClient.transformResponse((answer) =>
        answer.pipe(
          Effect.flatMap(requireSuccess(peer)),
          Effect.flatMap((response) => new Opened({ response }))
        )
      )
    )
  })

/** The requests that are answered as a whole. */
export type Unary = Effect.Effect.Success<ReturnType<typeof deriveUnary>>

/** The requests whose answer is a stream. */
export type Streaming = Effect.Effect.Success<ReturnType<typeof deriveStreaming>>

/** What the answer to one of {@link Streaming} is: nothing that the derived client has decoded. */
type Opening = Effect.Effect<unknown, Trouble | Opened, Scope.Scope>

/**
 * What is known of a request.
 */
export interface RequestKind {
  /** The operation that it is made for. */
  readonly operation: string
  /**
   * What carrying it out does: nothing (`none`), the same however often it is done (`repeatable`), or something each time
   * (`once`).
   */
  readonly effect: "none" | "repeatable" | "once"
  /** Its body, in place of what the interface says. */
  readonly body?: HttpBody.HttpBody | undefined
  /** Which kind of answer is asked for. */
  readonly accept?: string | undefined
  /** How its time is limited: `timeout` of the settings for the whole of it, unless this says otherwise. */
  readonly limitTime?: (<A>(request: Effect.Effect<A, RequestError>) => Effect.Effect<A, RequestError>) | undefined
  /** By which key the server is to know it: a random one, unless this is given. */
  readonly key?: string | undefined
  /** Whether the limits that the client sets itself do not hold for it. */
  readonly unlimited?: boolean | undefined
  /** Whether it is never made again, whatever went wrong. */
  readonly onlyOnce?: boolean | undefined
}

/**
 * Makes requests.
 */
export interface Client {
  readonly peer: Peer
  readonly metrics: Metrics.Service
  /** Makes a request and gives its answer. */
  readonly request: <A>(
    kind: RequestKind,
    send: (api: Unary) => Effect.Effect<A, Trouble>
  ) => Effect.Effect<A, RequestError>
  /**
   * Makes a request and gives the bytes of its answer as they arrive. The time until the answer begins is limited, its
   * length is not. Ending the stream closes the connection.
   */
  readonly stream: (
    kind: RequestKind,
    send: (api: Streaming) => Opening
  ) => Stream.Stream<Uint8Array, RequestError>
  /** Makes a request and gives the bytes of its answer, all of them; a broken answer is asked for again. */
  readonly download: (kind: RequestKind, send: (api: Streaming) => Opening) => Effect.Effect<Uint8Array, RequestError>
}

const hasEffect = (kind: RequestKind): boolean => kind.effect !== "none"

const concat = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let offset = 0
  for (const piece of pieces) {
    whole.set(piece, offset)
    offset += piece.length
  }
  return whole
}

const isAuthorization = (name: string | RegExp): boolean => Predicate.isString(name) && name === "authorization"

/** A program may have its own list of what is redacted; the API key is on it in any case. */
const redacting = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locallyWith(
    effect,
    Headers.currentRedactedNames,
    (names) => names.some(isAuthorization) ? names : [...names, "authorization"]
  )

/**
 * Makes a client from the settings.
 */
export const make: Effect.Effect<Client, never, SandboxConfig | HttpClient.HttpClient | Scope.Scope> = Effect.gen(
  function*() {
    const settings = yield* SandboxConfig
    const http = yield* HttpClient.HttpClient
    const peer: Peer = { url: settings.serverUrl, timeout: settings.timeout }
    const unary = yield* deriveUnary(http, settings, peer)
    const streaming = yield* deriveStreaming(http, settings, peer)
    const metrics = yield* Metrics.make({ component: "client" })
    const limiter = yield* RateLimit.make(settings.rateLimit ?? {})
    const policy = (yield* Retry.CurrentPolicy) ?? Retry.policy(settings)
    const log = Logging.log(settings)

    const withinTimeout = <A, R>(request: Effect.Effect<A, RequestError, R>): Effect.Effect<A, RequestError, R> =>
      Effect.timeoutFail(request, { duration: Duration.millis(settings.timeout), onTimeout: () => tooSlow(peer) })

    const withExtras = (kind: RequestKind) =>
      Effect.map(hasEffect(kind) && kind.key === undefined ? randomKey : Effect.succeed(kind.key), (key): Extras => ({
        headers: {
          ...(kind.accept === undefined ? {} : { accept: kind.accept }),
          ...(key === undefined ? {} : { "idempotency-key": key })
        },
        body: kind.body
      }))

    /** Makes the request, and makes it again; each time with the same extras. */
    const attempts = <A, R>(
      kind: RequestKind,
      attempt: Effect.Effect<A, RequestError, R>
    ): Effect.Effect<A, RequestError, R> =>
      Effect.flatMap(withExtras(kind), (extras) => {
        const once = attempt.pipe(
          Effect.provideService(CurrentExtras, extras),
          redacting,
          Effect.tapError((error) => log("debug", `${kind.operation} failed: ${error.message}`, kind))
        )
        return kind.onlyOnce === true ? once : Retry.retry(once, {
          idempotent: kind.effect !== "once",
          policy,
          beforeRetry: (attempt) =>
            log("warn", `${kind.operation} is tried again (${attempt}).`, kind).pipe(
              Effect.zipRight(metrics.retried(kind.operation)),
              Effect.zipRight(limiter.again)
            )
        })
      }).pipe(Effect.tap(() => log("debug", `${kind.operation} was answered.`, kind)))

    const open = (kind: RequestKind, send: (api: Streaming) => Opening) =>
      send(streaming).pipe(
        Effect.matchEffect({
          onFailure: (error) =>
            error._tag === "sandbox-sdk/remote/Opened"
              ? Effect.succeed(error.response)
              : Effect.fail(fold(peer)(error)),
          onSuccess: () =>
            Effect.fail(
              new SandboxSDKError({ code: "internal", message: `${kind.operation}: the answer was not opened.` })
            )
        }),
        withinTimeout
      )

    const bytesOf = (response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, RequestError> =>
      Stream.catchAll(
        response.stream,
        (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(brokenAnswer(peer, error.cause))
      )

    return {
      peer,
      metrics,
      request: (kind, send) => {
        const answered = attempts(kind, (kind.limitTime ?? withinTimeout)(Effect.mapError(send(unary), fold(peer))))
        return kind.unlimited === true ? answered : limiter.limit(answered)
      },
      stream: (kind, send) =>
        limiter.limitStream(Stream.unwrapScoped(Effect.map(attempts(kind, open(kind, send)), bytesOf))),
      download: (kind, send) =>
        limiter.limit(attempts(
          kind,
          Effect.scoped(Effect.flatMap(open(kind, send), (response) => Stream.runCollect(bytesOf(response)))).pipe(
            Effect.map((pieces) => concat([...pieces]))
          )
        ))
    }
  }
)
