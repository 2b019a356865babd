/**
 * Makes requests of E2B's protocol: to the control plane by API key, and to a sandbox by the tokens that the control plane
 * gives for it. They are limited in time, repeated where that helps and does no harm, and fail with the errors of the SDK.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import * as Metrics from "../Metrics.js"
import { readText } from "../remote/Answers.js"
import { brokenAnswer, fold, misshapen, type Peer, tooSlow } from "../remote/Failures.js"
import * as Segment from "../remote/Segment.js"
import * as Silence from "../remote/Silence.js"
import * as Retry from "../Retry.js"
import { gone, type Meaning, ofConnectAnswer, ofPlain, type Refusal } from "./Failures.js"
import { Connected, Described } from "./Protocol.js"
import type { Settings } from "./Settings.js"

type Request = HttpClientRequest.HttpClientRequest
type Response = HttpClientResponse.HttpClientResponse

/** The ports of a sandbox at which its two services are. */
const PORTS = { envd: 49_983, code: 49_999 } as const

/** How often a stream is asked to show that it lives, in seconds. */
const PING_SECONDS = 10

/** A stream that is silent for longer is taken for broken. */
const SILENCE_MS = Silence.limitOf(PING_SECONDS * 1_000)

/** How long a sandbox lives, at the least, that has been woken up: E2B's own default. */
const AWAKE_SECONDS = 300

/** The label under which the language is kept that a sandbox was made for. */
export const LANGUAGE_LABEL = "sandbox-sdk.language"

/**
 * What is known of a request.
 */
export interface Call extends Meaning {
  readonly operation: string
  /** What carrying it out does: nothing, the same however often, or something each time. */
  readonly effect: "none" | "repeatable" | "once"
  /** How its time is limited, where that is not `timeout`. */
  readonly limitTime?: (<A>(request: Effect.Effect<A, RequestError>) => Effect.Effect<A, RequestError>) | undefined
}

/** How a sandbox is reached. */
interface Access {
  readonly domain: string
  readonly token: string | undefined
  readonly traffic: string | undefined
  readonly language: string | undefined
}

/**
 * Makes requests.
 */
export interface Client {
  readonly peer: Peer
  readonly settings: Settings
  readonly metrics: Metrics.Service
  /** A request to the control plane, whose answer is read as JSON. */
  readonly control: <A, I>(call: Call, request: Request, schema: Schema.Schema<A, I>) => Effect.Effect<A, RequestError>
  /** A request to the control plane, and the value of a header field of its answer. */
  readonly controlPage: <A, I>(
    call: Call,
    request: Request,
    schema: Schema.Schema<A, I>,
    header: string
  ) => Effect.Effect<readonly [A, string | undefined], RequestError>
  /** A request to the control plane whose answer says nothing. */
  readonly controlDone: (call: Call, request: Request) => Effect.Effect<void, RequestError>
  /** Remembers how a sandbox is reached. */
  readonly remember: (
    connected: typeof Connected.Type,
    metadata?: Readonly<Record<string, string>> | null
  ) => Effect.Effect<void>
  readonly forget: (id: string) => Effect.Effect<void>
  /** Makes a sandbox go on that is paused. */
  readonly wake: (operation: string, id: string) => Effect.Effect<void, RequestError>
  /** The language that a sandbox was made for, where that is not the server's default. */
  readonly languageOf: (operation: string, id: string) => Effect.Effect<string | undefined, RequestError>
  /** The domain of a sandbox, below which its ports have names; `undefined` where one URL serves all. */
  readonly domainOf: (operation: string, id: string) => Effect.Effect<string | undefined, RequestError>
  /** A request to a service of a sandbox, its answer read as JSON. */
  readonly json: <A, I>(
    call: Call & { readonly sandboxId: string },
    service: keyof typeof PORTS,
    request: Request,
    schema: Schema.Schema<A, I>
  ) => Effect.Effect<A, RequestError>
  /** The bytes of the answer as they come. Ending the stream closes the connection. */
  readonly stream: (
    call: Call & { readonly sandboxId: string },
    service: keyof typeof PORTS,
    request: Request,
    alive: boolean
  ) => Stream.Stream<Uint8Array, RequestError>
}

/** Credentials are in these; a program may have its own list of what is redacted. */
const SECRET = ["x-api-key", "x-access-token", "e2b-traffic-access-token", "authorization"]

const redacting = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.locallyWith(effect, Headers.currentRedactedNames, (names) => [...names, ...SECRET])

const isConnect = (request: Request): boolean => /\/(?:process\.Process|filesystem\.Filesystem)\//.test(request.url)

/** Another token, or a sandbox that is awake, may help. */
const isStale = (error: RequestError): boolean =>
  (error._tag === "SandboxSDKError" && error.code === "unauthorized") ||
  (error._tag === "SandboxError" && (error.code === "not_found" || error.code === "stopped"))

/**
 * Makes a client.
 */
export const make = (settings: Settings): Effect.Effect<Client, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const http = HttpClient.withScope(yield* HttpClient.HttpClient)
    const metrics = yield* Metrics.make({ component: "client" })
    const policy = (yield* Retry.CurrentPolicy) ?? Retry.policy(settings)
    const accesses = new Map<string, Access>()
    const peer: Peer = { url: settings.apiUrl, timeout: settings.timeout }
    const sandboxes: Peer = { ...peer, url: settings.sandboxUrl ?? `https://${settings.domain}` }

    const withinTimeout = (peer: Peer) => <A, R>(request: Effect.Effect<A, RequestError, R>) =>
      Effect.timeoutFail(request, { duration: Duration.millis(settings.timeout), onTimeout: () => tooSlow(peer) })

    /** Lets a success pass. */
    const succeeded = (
      peer: Peer,
      response: Response,
      refuse: (refusal: Refusal) => RequestError
    ): Effect.Effect<Response, RequestError> =>
      response.status >= 200 && response.status < 300 ? Effect.succeed(response) : Effect.gen(function*() {
        const body = yield* readText(response, peer)
        const now = yield* Clock.currentTimeMillis
        const retryAfter = Option.flatMap(
          Headers.get(response.headers, "retry-after"),
          (value) => Retry.parseRetryAfter(value, now)
        )
        return yield* refuse({ status: response.status, body, retryAfter })
      })

    const execute = (peer: Peer, request: Request, refuse: (refusal: Refusal) => RequestError) =>
      Effect.flatMap(
        Effect.mapError(http.execute(request), fold(peer)),
        (response) => succeeded(peer, response, refuse)
      )

    const repeated = <A, R>(call: Call, once: Effect.Effect<A, RequestError, R>) =>
      Retry.retry(redacting(once), {
        idempotent: call.effect !== "once",
        policy,
        beforeRetry: () => metrics.retried(call.operation)
      })

    const decodeJson = <A, I>(peer: Peer, response: Response, schema: Schema.Schema<A, I>) =>
      Effect.flatMap(
        Effect.mapError(response.text, fold(peer)),
        (text) =>
          Effect.mapError(
            Schema.decode(Schema.parseJson(schema))(text),
            ({ issue }) => misshapen(peer, issue, "answer")
          )
      )

    const controlled = <A>(
      call: Call,
      request: Request,
      read: (response: Response) => Effect.Effect<A, RequestError>
    ): Effect.Effect<A, RequestError> => {
      const known = request.pipe(
        HttpClientRequest.prependUrl(settings.apiUrl),
        HttpClientRequest.setHeader("x-api-key", Redacted.value(settings.apiKey))
      )
      const once = Effect.scoped(
        Effect.flatMap(execute(peer, known, (refusal) => ofPlain(peer, refusal, call)), read)
      )
      return repeated(call, withinTimeout(peer)(once))
    }

    const control: Client["control"] = (call, request, schema) =>
      controlled(call, request, (response) => decodeJson(peer, response, schema))

    const keep = (connected: typeof Connected.Type, language: string | undefined): Access => {
      const access = {
        domain: connected.domain ?? settings.domain,
        token: connected.envdAccessToken ?? undefined,
        traffic: connected.trafficAccessToken ?? undefined,
        language
      }
      accesses.set(connected.sandboxID, access)
      return access
    }

    const connect = (operation: string, id: string, segment: string, timeout: number, language: string | undefined) =>
      Effect.map(
        control(
          { operation, effect: "repeatable", sandboxId: id },
          HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post(`/sandboxes/${segment}/connect`), { timeout }),
          Connected
        ),
        (connected) => keep(connected, language)
      )

    /** Asks how a sandbox is reached, and wakes it up where it sleeps. */
    const ask = (operation: string, id: string): Effect.Effect<Access, RequestError> =>
      Effect.gen(function*() {
        const segment = yield* Segment.sandbox(id)
        const described = yield* control(
          { operation, effect: "none", sandboxId: id },
          HttpClientRequest.get(`/sandboxes/${segment}`),
          Described
        )
        const language = described.metadata?.[LANGUAGE_LABEL]
        const isAwake = described.state === "running"
        return isAwake && typeof described.envdAccessToken === "string"
          ? keep(described, language)
          // One that runs must not live longer because somebody asked.
          : yield* connect(operation, id, segment, isAwake ? 1 : AWAKE_SECONDS, language)
      })

    const accessTo = (operation: string, id: string): Effect.Effect<Access, RequestError> =>
      Effect.suspend(() => {
        const access = accesses.get(id)
        return access === undefined ? ask(operation, id) : Effect.succeed(access)
      })

    const addressed = (id: string, service: keyof typeof PORTS, request: Request, access: Access): Request => {
      const port = PORTS[service]
      const base = settings.sandboxUrl ?? `https://${port}-${id}.${access.domain}`
      return request.pipe(
        HttpClientRequest.prependUrl(base),
        HttpClientRequest.setHeaders({
          "e2b-sandbox-id": id,
          "e2b-sandbox-port": String(port),
          authorization: `Basic ${btoa("user:")}`,
          ...isConnect(request) ? { "connect-protocol-version": "1" } : {},
          ...access.token === undefined ? {} : { "x-access-token": access.token },
          ...access.traffic === undefined ? {} : { "e2b-traffic-access-token": access.traffic }
        })
      )
    }

    /** An answer of a gateway says that there is no such sandbox; elsewhere, its service says what is wrong. */
    const refusal = (call: Call & { readonly sandboxId: string }, request: Request) => (refused: Refusal) =>
      refused.status === 502
        ? gone(call.sandboxId)
        : isConnect(request)
        ? ofConnectAnswer(sandboxes, refused, call)
        : ofPlain(sandboxes, refused, call)

    /** The answer as soon as it begins; with a new token, of a sandbox that was woken up, where that helps. */
    const opened = (
      call: Call & { readonly sandboxId: string },
      service: keyof typeof PORTS,
      request: Request
    ): Effect.Effect<Response, RequestError, Scope.Scope> => {
      const { operation, sandboxId: id } = call
      const once = (access: Access) =>
        execute(sandboxes, addressed(id, service, request, access), refusal(call, request))
      return Effect.suspend(() => {
        const isNew = !accesses.has(id)
        return Effect.flatMap(
          accessTo(operation, id),
          (access) =>
            Effect.catchIf(once(access), (error) => !isNew && isStale(error), () => {
              accesses.delete(id)
              return Effect.flatMap(ask(operation, id), once)
            })
        )
      })
    }

    return {
      peer: sandboxes,
      settings,
      metrics,
      control,
      controlPage: (call, request, schema, header) =>
        controlled(call, request, (response) =>
          Effect.map(
            decodeJson(peer, response, schema),
            (value) => [value, Option.getOrUndefined(Headers.get(response.headers, header))] as const
          )),
      controlDone: (call, request) => controlled(call, request, () => Effect.void),
      remember: (connected, metadata) =>
        Effect.sync(() => {
          keep(connected, metadata?.[LANGUAGE_LABEL])
        }),
      forget: (id) =>
        Effect.sync(() => {
          accesses.delete(id)
        }),
      wake: (operation, id) =>
        Effect.gen(function*() {
          const segment = yield* Segment.sandbox(id)
          yield* connect(operation, id, segment, AWAKE_SECONDS, accesses.get(id)?.language)
        }),
      languageOf: (operation, id) => Effect.map(accessTo(operation, id), ({ language }) => language),
      domainOf: (operation, id) =>
        settings.sandboxUrl === undefined
          ? Effect.map(accessTo(operation, id), ({ domain }) => domain)
          : Effect.succeed(undefined),
      json: (call, service, request, schema) => {
        const once = Effect.scoped(
          Effect.flatMap(opened(call, service, request), (response) => decodeJson(sandboxes, response, schema))
        )
        return repeated(call, call.limitTime?.(once) ?? withinTimeout(sandboxes)(once))
      },
      stream: (call, service, request, alive) =>
        Stream.unwrapScoped(
          Effect.map(repeated(call, withinTimeout(sandboxes)(opened(call, service, request))), (response) => {
            const bytes = Stream.catchAll(
              response.stream,
              (error) => error.reason === "EmptyBody" ? Stream.empty : Stream.fail(brokenAnswer(sandboxes, error.cause))
            )
            const ms = alive ? SILENCE_MS : settings.timeout
            return Stream.timeoutFail(bytes, () => Silence.silent(sandboxes, ms), Duration.millis(ms))
          })
        )
    }
  })

/**
 * What asks a stream of the Connect protocol for signs of life.
 */
export const PING = { "keepalive-ping-interval": String(PING_SECONDS) }
