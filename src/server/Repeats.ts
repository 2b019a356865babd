/**
 * Finds out which requests are made again, and answers those with the answer to the first. What such a request does is done
 * in a fiber of its own, so that it goes on when the connection breaks on which it came.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { RequestError, type SandboxError, type SandboxSDKError } from "../Errors.js"
import * as Quotas from "../Quotas.js"
import { Active, serverEnds } from "./Active.js"
import { answerError } from "./Answer.js"
import { ApiKeys, wasRevoked } from "./ApiKeys.js"
import type { Limited } from "./Body.js"
import { keyOf, nameOf } from "./Handlers.js"
import { type Answer, CurrentKey, Idempotency, type Keyed, type Outcome, outcomeUnknown } from "./Idempotency.js"
import type { Problem } from "./Problem.js"
import { CurrentKeyId, knownBy, tellBudget } from "./Security.js"
import { Settings } from "./Settings.js"
import * as Streams from "./Streams.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Methods that change nothing (RFC 9110, 9.2.1). */
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"])

/** Doing it twice is as good as doing it once (RFC 9110, 9.2.2): it is how space is made on a disk that is full. */
const REPEATABLE = "DELETE"

/** Its body is a file that is not read before it is written. */
const UPLOAD = "PUT"

/** What stops a request has no effect of its own. */
const STOPS = /^\/api\/requests\//

/** Their answers may be streams, and then it is the run that is found again. */
const RUNS = /\/(?:execute|terminal|batch)\/?(?:\?|$)/

const isStream = (request: Request): boolean => RUNS.test(request.url) && Streams.formatOf(request) !== undefined

const fingerprintOf = (request: Request, body: Uint8Array): string =>
  createHash("sha256")
    .update(`${request.method} ${request.url}\n${isStream(request) ? "events" : "answer"}\n`)
    .update(body)
    .digest("base64url")

const nothing = new Uint8Array()

/**
 * A request with a key: whose it is, and which.
 */
export const keyedBy = (user: string, key: string, request: Request, body: Uint8Array): Keyed => ({
  user,
  key,
  fingerprint: fingerprintOf(request, body)
})

interface Identified {
  readonly keyed: Keyed
  readonly keyId: string
}

const nobody: Effect.Effect<Identified | undefined> = Effect.succeed(undefined)

const toAnswer = ({ body, headers, status }: Response): Answer | undefined =>
  body._tag === "Empty" || body._tag === "Uint8Array"
    ? { status, headers: { ...headers }, body: body._tag === "Empty" ? nothing : body.body }
    : undefined

/** Of the budget, each answer tells its own. */
const isOwn = (name: string): boolean => name.startsWith("x-ratelimit-")

const fromAnswer = ({ body, headers, status }: Answer, replayed: boolean): Response => {
  const kept = replayed
    ? { ...Object.fromEntries(Object.entries(headers).filter(([name]) => !isOwn(name))), "idempotent-replayed": "true" }
    : headers
  const { "content-type": contentType, ...others } = kept
  return body.length === 0
    ? HttpServerResponse.empty({ status, headers: kept })
    : HttpServerResponse.uint8Array(body, { status, headers: others, contentType: contentType ?? "application/json" })
}

const decodeError = Schema.decodeUnknownOption(Schema.parseJson(RequestError))

/** Whether nothing has been done: the request was malformed, not allowed, or one too many. */
const isRefusal = ({ body, status }: Answer): boolean =>
  status >= 400 &&
  Option.exists(
    decodeError(new TextDecoder().decode(body)),
    (error) => error._tag === "RateLimitError" || (error._tag === "SandboxSDKError" && error.code !== "internal")
  )

const answerOf = (error: SandboxSDKError | SandboxError): Answer =>
  toAnswer(answerError(error)) ?? { status: 500, headers: {}, body: nothing }

/** How a request has ended that was interrupted; without a reason, because nobody waited for it any more. */
const interrupted = ({ method }: Request, why: SandboxSDKError | undefined): Outcome =>
  // The file is as it was, and who sends it again is to be listened to.
  method === UPLOAD && why === undefined
    ? { _tag: "Released", answer: answerOf(outcomeUnknown) }
    : why === serverEnds || why === wasRevoked
    ? { _tag: "Unknown", answer: answerOf(why) }
    : { _tag: "Kept", answer: answerOf(why ?? outcomeUnknown) }

/**
 * Answers requests, and those that are made again only once.
 */
export interface Repeats {
  /**
   * The answer to a request: that of `app`, which is whole, or that to an earlier request with the same key. `app` must have
   * an answer to every failure but an interruption.
   */
  readonly answer: <R>(
    limited: Limited,
    app: Effect.Effect<Response, never, R>
  ) => Effect.Effect<Response, RequestError | Problem, R | HttpServerRequest.HttpServerRequest | Scope.Scope>
  /** The same for a request of which is known already that it has a key, whose it is, and that its answer is no stream. */
  readonly once: <R>(
    keyed: Keyed,
    request: Request,
    app: Effect.Effect<Response, never, R>
  ) => Effect.Effect<Response, RequestError, Exclude<R, Scope.Scope>>
}

/**
 * Makes it.
 */
export const make: Effect.Effect<
  Repeats,
  never,
  Active | ApiKeys | Idempotency | Quotas.Quotas | Settings
> = Effect.gen(function*() {
  const active = yield* Active
  const keys = yield* ApiKeys
  const idempotency = yield* Idempotency
  const quotas = yield* Quotas.Quotas
  const { detachGraceMs } = yield* Settings

  /** The key of a request that can have an effect, and whose it is; whose is unknown is refused further on. */
  const identify = ({ bytes, request }: Limited) =>
    Effect.flatMap(keyOf(request), (key) =>
      key === undefined || SAFE.has(request.method) || STOPS.test(request.url)
        ? nobody
        : Effect.matchEffect(knownBy(keys, request), {
          onFailure: () => nobody,
          onSuccess: ({ id, user }) =>
            Effect.map(
              request.method === UPLOAD ? Effect.succeed(nothing) : Effect.interruptible(bytes),
              (body): Identified => ({ keyed: keyedBy(user, key, request, body), keyId: id })
            )
        }))

  const carryOut = <R>(keyed: Keyed, request: Request, app: Effect.Effect<Response, never, R>) =>
    Effect.flatMap(active.reason, (reason) =>
      Effect.matchCause(app, {
        onFailure: (cause) => interrupted(request, Cause.isInterrupted(cause) ? reason() : undefined),
        onSuccess: (response): Outcome => {
          const answer = toAnswer(response)
          return answer === undefined
            ? interrupted(request, undefined)
            : { _tag: isRefusal(answer) ? "Released" : "Kept", answer }
        }
      })).pipe(
        (answered) => Effect.zipRight(active.name(nameOf(keyed.user, keyed.key)), answered),
        active.during,
        Effect.catchAll((error) => Effect.succeed<Outcome>({ _tag: "Released", answer: answerOf(error) })),
        Effect.scoped
      )

  const count = (user: string) => Effect.flatMap(quotas.request(user), tellBudget)

  const once: Repeats["once"] = (keyed, request, app) =>
    Effect.flatMap(
      idempotency.once(
        keyed,
        { graceMs: detachGraceMs, repeatable: request.method === REPEATABLE, newest: request.method === UPLOAD },
        carryOut(keyed, request, app)
      ),
      ({ answer, replayed }) => {
        const response = fromAnswer(answer, replayed)
        return replayed ? Effect.as(count(keyed.user), response) : Effect.succeed(response)
      }
    )

  return {
    once,
    answer: <R>(limited: Limited, app: Effect.Effect<Response, never, R>) =>
      Effect.gen(function*() {
        const { request } = limited
        const identified = yield* identify(limited)
        const keyed = identified?.keyed
        const runs = isStream(request)
        const ready = Effect.mapInputContext(
          app,
          (context: Context.Context<R | HttpServerRequest.HttpServerRequest>) =>
            context.pipe(
              Context.add(HttpServerRequest.HttpServerRequest, request),
              Context.add(CurrentKeyId, identified?.keyId),
              Context.add(CurrentKey, runs ? keyed : undefined)
            )
        )
        return yield* keyed === undefined || runs ? ready : once(keyed, request, ready)
      })
  }
})
