/**
 * Makes requests: derived from the interface, authenticated, limited in time and number, repeated where that helps,
 * counted, traced, and failing with nothing but the errors of the SDK.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Api } from "../Api.js"
import * as Fields from "../api/Headers.js"
import { type RequestError, SandboxSDKError } from "../Errors.js"
import { makeTimedPull, type TimedPull } from "../internal/timedPull.js"
import { within } from "../internal/within.js"
import * as Logging from "../Logging.js"
import * as Metrics from "../Metrics.js"
import * as RateLimit from "../RateLimit.js"
import * as Retry from "../Retry.js"
import { SandboxConfig } from "../SandboxConfig.js"
import { requireSuccess } from "./Answers.js"
import { brokenAnswer, fold, misshapen, type Peer, tooSlow, type Trouble, unforeseen } from "./Failures.js"
import { randomKey } from "./Key.js"
import type { Route } from "./Route.js"
import * as Silence from "./Silence.js"

/** What one request has beside what the interface says. */
interface Extras {
  readonly headers?: Headers.Input | undefined
  readonly body?: HttpBody.HttpBody | undefined
}

/** A request with its key, which it keeps when it is made again. */
interface Prepared {
  readonly key: string | undefined
  readonly extras: Extras
}

class CurrentExtras extends Context.Reference<CurrentExtras>()("sandbox-sdk/remote/CurrentExtras", {
  defaultValue: (): Extras => ({})
}) {}

/**
 * An answer that has begun, on its way out of the derived client, which would read it to its end. No error: nobody asks where
 * it came from.
 */
class Opened extends Data.TaggedClass("sandbox-sdk/remote/Opened")<{
  readonly response: HttpClientResponse.HttpClientResponse
}> {}

const addExtras = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.map(CurrentExtras, ({ body, headers }) => {
    const withHeaders = headers === undefined ? request : HttpClientRequest.setHeaders(request, headers)
    return body === undefined ? withHeaders : HttpClientRequest.setBody(withHeaders, body)
  })

/** What a server has told of itself: whether it knows requests again by their keys. */
interface Manners {
  honoursKeys: boolean | undefined
}

const saysSo = ({ headers }: HttpClientResponse.HttpClientResponse): boolean =>
  headers[Fields.IDEMPOTENCY] === "honoured"

const notice = (response: HttpClientResponse.HttpClientResponse, manners: Manners): void => {
  if (saysSo(response)) {
    manners.honoursKeys = true
  } else if (response.status >= 200 && response.status < 300) {
    manners.honoursKeys ??= false
  }
}

const prepare = (http: HttpClient.HttpClient, settings: typeof SandboxConfig.Service, manners: Manners) =>
  http.pipe(
    HttpClient.mapRequest(HttpClientRequest.bearerToken(settings.apiKey)),
    HttpClient.mapRequestEffect(addExtras),
    // Something else on the way may have answered in its place: that says nothing.
    HttpClient.tap((response) => Effect.sync(() => notice(response, manners)))
  )

/** The whole answer, decoded. */
const deriveUnary = (http: HttpClient.HttpClient, peer: Peer) =>
  HttpApiClient.makeWith(Api, {
    baseUrl: peer.url,
    httpClient: HttpClient.transformResponse(http, Effect.flatMap(requireSuccess(peer)))
  })

/** The answer as soon as it begins. The connection is closed with the scope. */
const deriveStreaming = (http: HttpClient.HttpClient, peer: Peer) =>
  HttpApiClient.makeWith(Api, {
    baseUrl: peer.url,
    httpClient: http.pipe(
      HttpClient.withScope,
      HttpClient.transformResponse((answer) =>
        answer.pipe(
          Effect.flatMap(requireSuccess(peer)),
          Effect.flatMap((response) => Effect.fail(new Opened({ response })))
        )
      )
    )
  })

/** The requests that are answered as a whole. */
export type Unary = Effect.Effect.Success<ReturnType<typeof deriveUnary>>

/** The requests whose answer is a stream. */
export type Streaming = Effect.Effect.Success<ReturnType<typeof deriveStreaming>>

/** What the answer to one of {@link Streaming} is: nothing that the derived client has decoded. */
export type Opening = Effect.Effect<unknown, Trouble | Opened, Scope.Scope>

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
  /** How long its answer may take to begin where that is read by hand, and what it fails with then: `timeout`, without. */
  readonly opening?: { readonly ms: number; readonly late: () => RequestError } | undefined
  /** By which key the server is to know it: a random one, unless this is given. */
  readonly key?: string | undefined
  /** Whether the limits that the client sets itself do not hold for it. */
  readonly unlimited?: boolean | undefined
  /** Header fields beside these. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Whether it is never made again, whatever went wrong. */
  readonly onlyOnce?: boolean | undefined
}

/**
 * An answer that has begun.
 */
export interface Begun {
  readonly bytes: Stream.Stream<Uint8Array, RequestError>
  /** How often something of it comes, where the server says so. */
  readonly heartbeatMs: Option.Option<number>
  /** Whether what it tells of is still known to the server when its connection is gone. */
  readonly isResumable: boolean
}

/**
 * An answer that has begun, read by one fiber beside who reads it: so a wait that has a limit is no race.
 */
export interface Answer extends Omit<Begun, "bytes">, TimedPull<Chunk.Chunk<Uint8Array>, Option.Option<RequestError>> {
  /** Whether it comes in one piece. */
  readonly isWhole: boolean
}

/**
 * Makes requests.
 */
export interface Client {
  readonly peer: Peer
  readonly metrics: Metrics.Service
  /**
   * Has what the request with this key runs stopped. When this ends, all of that is gone; or the server could not be
   * asked for some seconds, and it ends with the time for which it goes on without a client.
   */
  readonly stop: (operation: string, key: string) => Effect.Effect<void>
  /** Does something on the side, as long as the client lives. */
  readonly soon: (effect: Effect.Effect<void>) => Effect.Effect<void>
  /** Makes a request and gives its answer. */
  readonly request: <A>(
    kind: RequestKind,
    send: (api: Unary) => Effect.Effect<A, Trouble>
  ) => Effect.Effect<A, RequestError>
  /**
   * Makes a request and gives the bytes of its answer as they arrive. The time until the answer begins is limited, its
   * length is not; it fails when there is no sign of life any more of a server that gives some. Ending the stream closes
   * the connection.
   *
   * @param begun is run when the answer has begun, before anything of it is given.
   */
  readonly stream: (
    kind: RequestKind,
    send: (api: Streaming) => Opening,
    begun?: Effect.Effect<void>
  ) => Stream.Stream<Uint8Array, RequestError>
  /** Counts a stream among the requests that the client limits, however many it takes. */
  readonly limitStream: <A>(stream: Stream.Stream<A, RequestError>) => Stream.Stream<A, RequestError>
  /**
   * Makes a request, uncounted, and has its answer read. What `read` fails with is a failure of the request, which is then
   * made again where that may help and does no harm.
   */
  readonly read: <A>(
    kind: RequestKind,
    send: (api: Streaming) => Opening,
    read: (answer: Begun) => Effect.Effect<A, RequestError, Scope.Scope>
  ) => Effect.Effect<A, RequestError>
  /**
   * The same for a request that is made by hand.
   *
   * @param inPieces whether an answer that is short is read piece by piece, too: in one, it is less work, but of one that
   * breaks off there is nothing.
   */
  readonly answer: <A>(
    kind: RequestKind,
    route: Route,
    inPieces: boolean,
    read: (answer: Answer) => Effect.Effect<A, RequestError, Scope.Scope>
  ) => Effect.Effect<A, RequestError>
  /** Makes a request by hand, and gives its answer, read as a whole and decoded. The same as `request`, in fewer steps. */
  readonly ask: <A>(
    kind: Omit<RequestKind, "body" | "limitTime" | "opening" | "unlimited">,
    route: Either.Either<Route, ParseResult.ParseError>,
    decode: (text: string) => Either.Either<A, ParseResult.ParseIssue>
  ) => Effect.Effect<A, RequestError>
  /** Makes a request and gives the bytes of its answer, all of them; a broken answer is asked for again. */
  readonly download: (kind: RequestKind, send: (api: Streaming) => Opening) => Effect.Effect<Uint8Array, RequestError>
}

/** How long the answer is waited for: longer than the grace of an interrupt and a kill together. */
const CONFIRMATION_TIMEOUT = Duration.seconds(15)

const isLate = (error: RequestError): boolean => error._tag === "TimeoutError" && error.operation === "request"

/** What is logged of a request. */
const about = ({ effect, key, operation }: RequestKind) => ({
  operation,
  effect,
  ...(key === undefined ? {} : { key })
})

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

/** Answers that say that they are not longer can be read as a whole. */
const SHORT_BYTES = 64 * 1024

const isShort = ({ headers }: HttpClientResponse.HttpClientResponse): boolean => {
  const length = headers["content-length"]
  return length !== undefined && Number(length) <= SHORT_BYTES
}

const isAuthorization = (name: string | RegExp): boolean => Predicate.isString(name) && name === "authorization"

/** A program may have its own list of what is redacted; the API key is on it in any case. */
const redacted = (names: ReadonlyArray<string | RegExp>): ReadonlyArray<string | RegExp> =>
  names.some(isAuthorization) ? names : [...names, "authorization"]

const redacting = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, Headers.currentRedactedNames, redacted)

/**
 * Makes a client from the settings.
 */
export const make: Effect.Effect<Client, never, SandboxConfig | HttpClient.HttpClient | Scope.Scope> = Effect.gen(
  function*() {
    const settings = yield* SandboxConfig
    const manners: Manners = { honoursKeys: undefined }
    const plain = yield* HttpClient.HttpClient
    const byHand = HttpClient.withScope(plain)
    const http = prepare(plain, settings, manners)
    const scope = yield* Effect.scope
    const peer: Peer = { url: settings.serverUrl, timeout: settings.timeout }
    const unary = yield* deriveUnary(http, peer)
    const streaming = yield* deriveStreaming(http, peer)
    const metrics = yield* Metrics.make({ component: "client" })
    const limiter = yield* RateLimit.make(settings.rateLimit ?? {})
    const policy = (yield* Retry.CurrentPolicy) ?? Retry.policy(settings)
    const log = Logging.log(settings)

    const withinTimeout = <A, R>(request: Effect.Effect<A, RequestError, R>): Effect.Effect<A, RequestError, R> =>
      Effect.timeoutFail(request, { duration: Duration.millis(settings.timeout), onTimeout: () => tooSlow(peer) })

    const prepared = (kind: RequestKind): Effect.Effect<Prepared> =>
      Effect.map(hasEffect(kind) && kind.key === undefined ? randomKey : Effect.succeed(kind.key), (key) => ({
        key,
        extras: {
          headers: {
            ...(kind.accept === undefined ? {} : { accept: kind.accept }),
            ...(key === undefined ? {} : { "idempotency-key": key }),
            ...kind.headers
          },
          body: kind.body
        }
      }))

    /** Learns whether the server knows requests again by their keys. */
    const learn = Effect.tap(
      withinTimeout(Effect.mapError(unary.service.health({ withResponse: true }), fold(peer))),
      ([, response]) =>
        Effect.sync(() => {
          manners.honoursKeys = saysSo(response)
        })
    ).pipe(redacting)

    const stop: Client["stop"] = (operation, key) =>
      withinTimeout(Effect.mapError(unary.code.stop({ path: { key } }), fold(peer))).pipe(
        redacting,
        Effect.tapError((error) => log("debug", `${operation} may not have been stopped: ${error.message}`)),
        // A finalizer cannot be interrupted, but what cannot be interrupted cannot time out either.
        Effect.interruptible,
        Effect.timeoutOption(CONFIRMATION_TIMEOUT),
        Effect.ignore
      )

    /**
     * Who no longer waits for what a request does wants it stopped: it would go on without its connection. A server that
     * has not answered in time is told so in passing. (What can be repeated need not be, and an upload ends by itself.)
     */
    const abandon =
      ({ effect, onlyOnce, operation }: RequestKind, { key }: Prepared) => (exit: Exit.Exit<unknown, RequestError>) =>
        key === undefined || effect !== "once" || onlyOnce === true || Exit.isSuccess(exit)
          ? Effect.void
          : Cause.isInterrupted(exit.cause)
          ? stop(operation, key)
          : Option.exists(Cause.failureOption(exit.cause), isLate)
          ? Effect.forkIn(stop(operation, key), scope)
          : Effect.void

    /** Makes the request, and makes it again; each time with the same extras. */
    const attempts = <A, R>(
      kind: RequestKind,
      { extras }: Prepared,
      attempt: Effect.Effect<A, RequestError, R>
    ): Effect.Effect<A, RequestError, R> =>
      repeated(kind, redacting(Effect.provideService(attempt, CurrentExtras, extras)))

    /** The same for one that has all of that already. */
    const repeated = <A, R>(
      kind: RequestKind,
      attempt: Effect.Effect<A, RequestError, R>
    ): Effect.Effect<A, RequestError, R> => {
      let uncertain: RequestError | undefined
      const tried = attempt.pipe(
        Effect.tapError((error) => {
          uncertain = Retry.isRetryable(error, { idempotent: false }) ? uncertain : error
          return log("debug", `${kind.operation} failed: ${error.message}`, about(kind))
        })
      )
      // One that may have been carried out is made again only where it is known not to be carried out twice.
      const once = Effect.suspend(() => {
        const failed = uncertain
        return failed === undefined || kind.effect !== "once" || manners.honoursKeys === true
          ? tried
          : Effect.zipRight(
            Effect.mapError(learn, () => failed),
            Effect.suspend(() => manners.honoursKeys === true ? tried : Effect.fail(failed))
          )
      })
      const answered = kind.onlyOnce === true ? once : Retry.retry(once, {
        get idempotent() {
          return kind.effect !== "once" || manners.honoursKeys !== false
        },
        policy,
        beforeRetry: (attempt) =>
          log("warn", `${kind.operation} is tried again (${attempt}).`, about(kind)).pipe(
            Effect.zipRight(metrics.retried(kind.operation)),
            Effect.zipRight(limiter.again)
          )
      })
      return Effect.tap(answered, () => log("debug", `${kind.operation} was answered.`, about(kind)))
    }

    const open = (
      kind: RequestKind,
      send: (api: Streaming) => Opening
    ) =>
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
      Stream.suspend(() => {
        const size = response.headers[Fields.FILE_SIZE]
        const least = Number(size ?? 0)
        let count = 0
        const bytes = Stream.catchAll(
          response.stream,
          (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(brokenAnswer(peer, error.cause))
        )
        // A stream of records gives signs of life and has a limit of its own; a file only comes or does not.
        const alive = size === undefined ? bytes : Stream.timeoutFail(
          bytes,
          () => brokenAnswer(peer, new Error(`nothing came for ${settings.timeout} ms (timeout)`)),
          Duration.millis(settings.timeout)
        )
        return Stream.concat(
          Stream.mapChunks(alive, (pieces) => {
            for (const piece of pieces) {
              count += piece.length
            }
            return pieces
          }),
          Stream.suspend(() =>
            count < least ? Stream.fail(brokenAnswer(peer, new Error(`${count} of ${least} bytes came`))) : Stream.empty
          )
        )
      })

    const request = <A>(kind: RequestKind, send: (api: Unary) => Effect.Effect<A, Trouble>) =>
      Effect.flatMap(prepared(kind), (prepared) => {
        const attempt = Effect.mapError(send(unary), fold(peer))
        const answered = Effect.onExit(
          attempts(kind, prepared, kind.limitTime?.(attempt) ?? withinTimeout(attempt)),
          abandon(kind, prepared)
        )
        return kind.unlimited === true ? answered : limiter.limit(answered)
      })

    const heartbeatOf = ({ headers }: HttpClientResponse.HttpClientResponse): Option.Option<number> =>
      Option.filter(
        Option.map(Headers.get(headers, Fields.HEARTBEAT), Number),
        (ms) => Number.isFinite(ms) && ms > 0
      )

    const begunOf = (response: HttpClientResponse.HttpClientResponse): Begun => ({
      bytes: bytesOf(response),
      heartbeatMs: heartbeatOf(response),
      isResumable: saysSo(response)
    })

    /** The bytes of an answer that fails when not even the signs of life come that its server has announced. */
    const aliveOf = (response: HttpClientResponse.HttpClientResponse): Stream.Stream<Uint8Array, RequestError> => {
      const { bytes, heartbeatMs } = begunOf(response)
      return Option.match(Option.map(heartbeatMs, Silence.limitOf), {
        onNone: () => bytes,
        onSome: (ms) => Stream.timeoutFail(bytes, () => Silence.silent(peer, ms), Duration.millis(ms))
      })
    }

    const read: Client["read"] = (kind, send, read) =>
      Effect.flatMap(prepared(kind), (prepared) =>
        attempts(
          kind,
          prepared,
          Effect.scoped(Effect.flatMap(open(kind, send), (response) => read(begunOf(response))))
        ))

    /** Makes a request that is described by hand. */
    const send = <R>(
      http: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
      { body, method, path }: Route,
      { headers }: Extras
    ) => {
      const request = HttpClientRequest.make(method)(`${peer.url}${path}`, { headers }).pipe(
        HttpClientRequest.bearerToken(settings.apiKey)
      )
      return Effect.matchEffect(
        http.execute(body === undefined ? request : HttpClientRequest.setBody(request, body)),
        {
          onFailure: (error) => Effect.fail(fold(peer)(error)),
          onSuccess: (response) => {
            notice(response, manners)
            return requireSuccess(peer)(response)
          }
        }
      )
    }

    /** An answer that has begun in time. The fiber that makes the request reads it as well. */
    const begin = (
      { opening }: RequestKind,
      route: Route,
      extras: Extras,
      inPieces: boolean
    ): Effect.Effect<Answer, RequestError, Scope.Scope> =>
      Effect.suspend(() => {
        type Bytes = Chunk.Chunk<Uint8Array>
        let begun: Omit<Answer, keyof TimedPull<never, never>> | undefined
        let next: Effect.Effect<Bytes, Option.Option<RequestError>, Scope.Scope>

        const whole = (response: HttpClientResponse.HttpClientResponse): typeof next =>
          Effect.matchEffect(response.arrayBuffer, {
            onFailure: (error) => Effect.fail(Option.some(brokenAnswer(peer, error.cause))),
            onSuccess: (bytes) => {
              next = Effect.fail(Option.none())
              return Effect.succeed(Chunk.of(new Uint8Array(bytes)))
            }
          })

        const pieces = (response: HttpClientResponse.HttpClientResponse): typeof next =>
          Effect.flatMap(Stream.toPull(bytesOf(response)), (pull) => {
            next = pull
            return pull
          })

        next = Effect.zipRight(
          FiberRef.update(Headers.currentRedactedNames, redacted),
          Effect.matchEffect(send(byHand, route, extras), {
            onFailure: (error) => Effect.fail(Option.some(error)),
            onSuccess: (response) => {
              const isWhole = !inPieces && isShort(response)
              begun = { isWhole, heartbeatMs: heartbeatOf(response), isResumable: saysSo(response) }
              next = isWhole ? whole(response) : pieces(response)
              return Effect.succeed<Bytes>(Chunk.empty())
            }
          })
        )

        const late = () => opening === undefined ? tooSlow(peer) : opening.late()

        return Effect.flatMap(makeTimedPull(Effect.suspend(() => next)), (timed) =>
          Effect.matchEffect(timed.within(opening?.ms ?? settings.timeout), {
            onFailure: (error) =>
              Effect.fail(Option.getOrElse(error, late)),
            onSuccess: () => begun === undefined ? Effect.fail(late()) : Effect.succeed({ ...timed, ...begun })
          }))
      })

    const answer: Client["answer"] = (kind, route, inPieces, read) =>
      Effect.flatMap(
        prepared(kind),
        ({ extras }) => repeated(kind, Effect.scoped(Effect.flatMap(begin(kind, route, extras, inPieces), read)))
      )

    const read200 =
      <A>(decode: (text: string) => Either.Either<A, ParseResult.ParseIssue>) =>
      (response: HttpClientResponse.HttpClientResponse): Effect.Effect<A, RequestError> =>
        response.status !== 200 ? Effect.fail(unforeseen(peer, response)) : Effect.matchEffect(response.text, {
          onFailure: (error) => Effect.fail(fold(peer)(error)),
          onSuccess: (text) => Either.mapLeft(decode(text), (issue) => misshapen(peer, issue, "answer"))
        })

    const ask: Client["ask"] = (kind, route, decode) =>
      Effect.flatMap(prepared(kind), (prepared) => {
        const asked = Effect.flatMap(
          Effect.mapError(route, fold(peer)),
          (route) => Effect.flatMap(send(plain, route, prepared.extras), read200(decode))
        )
        const attempt = within(
          Effect.zipRight(FiberRef.update(Headers.currentRedactedNames, redacted), asked),
          settings.timeout,
          () => tooSlow(peer)
        )
        return limiter.limit(Effect.onExit(repeated(kind, attempt), abandon(kind, prepared)))
      })

    return {
      peer,
      metrics,
      stop,
      ask,
      soon: (effect) => Effect.asVoid(Effect.forkIn(effect, scope)),
      request,
      stream: (kind, send, begun = Effect.void) =>
        limiter.limitStream(
          Stream.unwrapScoped(
            Effect.flatMap(
              prepared(kind),
              (prepared) => Effect.zipLeft(Effect.map(attempts(kind, prepared, open(kind, send)), aliveOf), begun)
            )
          )
        ),
      limitStream: limiter.limitStream,
      read,
      answer,
      download: (kind, send) =>
        limiter.limit(
          read(kind, send, ({ bytes }) => Effect.map(Stream.runCollect(bytes), (pieces) => concat([...pieces])))
        )
    }
  }
)
