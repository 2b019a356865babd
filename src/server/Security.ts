/**
 * Lets requests in: who makes them, and whether their budget allows one more.
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"
import { Authorization, MetricsAuthorization } from "../Api.js"
import type { SandboxSDKError } from "../Errors.js"
import { bearerOf } from "../ports/Access.js"
import * as Quotas from "../Quotas.js"
import { type RateLimitInfo, toHeaders } from "../RateLimit.js"
import { Active } from "./Active.js"
import { ApiKeys, type KnownKey, wasRevoked } from "./ApiKeys.js"
import { problem } from "./Problem.js"
import { Settings } from "./Settings.js"

/**
 * The user of a server without API keys: the same as that of a program that embeds the engine.
 */
export const LOCAL = { id: "none", user: "local" }

/** The API key of a request: `Authorization: Bearer <api key>` (RFC 6750, 2.1). */
const bearerIn = ({ headers }: HttpServerRequest.HttpServerRequest) => Redacted.make(bearerOf(headers["authorization"]))

const bearer = Effect.map(HttpServerRequest.HttpServerRequest, bearerIn)

/**
 * Whose API key a request bears. Fails with `SandboxSDKError` `unauthorized`.
 */
export const knownBy = (
  keys: ApiKeys["Type"],
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<KnownKey, SandboxSDKError> =>
  Effect.flatMap(keys.required, (required) => required ? keys.verify(bearerIn(request)) : Effect.succeed(LOCAL))

const known = (keys: ApiKeys["Type"]) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => knownBy(keys, request))

/**
 * The id of the API key that the request bears which is being answered, where that has been found out before: it takes several
 * hashes.
 */
export class CurrentKeyId extends Context.Reference<CurrentKeyId>()("sandbox-sdk/server/CurrentKeyId", {
  defaultValue: (): string | undefined => undefined
}) {}

/** Whose it is by now: the key may have been revoked since. */
const knownAgain = (keys: ApiKeys["Type"]) =>
  Effect.flatMap(CurrentKeyId, (id) =>
    id === undefined
      ? known(keys)
      : Effect.flatMap(keys.find(id), Option.match({ onNone: () => known(keys), onSome: Effect.succeed })))

/**
 * Lets the answer say how many requests are left.
 */
export const tellBudget = (info: RateLimitInfo | undefined) =>
  info === undefined ?
    Effect.void :
    HttpApp.appendPreResponseHandler((_, response) =>
      Effect.succeed(HttpServerResponse.setHeaders(response, toHeaders(info)))
    )

/**
 * Makes what lets a request in whose key is known: its answer ends at once when the key is revoked, it counts among the
 * requests of its user, and the answer says how many are left.
 */
export const makeLetIn = Effect.gen(function*() {
  const keys = yield* ApiKeys
  const active = yield* Active
  const quotas = yield* Quotas.Quotas
  return ({ id, user }: KnownKey) =>
    Effect.flatMap(keys.required, (required) =>
      required
        ? Effect.flatMap(active.cutOff, (cutOff) => keys.whileKnown(id, cutOff(wasRevoked)))
        : Effect.void).pipe(
        Effect.zipRight(Effect.matchEffect(quotas.request(user), {
          onFailure: (error) => Effect.zipRight(Effect.flatMap(quotas.info(user), tellBudget), Effect.fail(error)),
          onSuccess: tellBudget
        }))
      )
})

const authorization = Layer.effect(
  Authorization,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const letIn = yield* makeLetIn
    return {
      apiKey: () =>
        Effect.flatMap(
          knownAgain(keys),
          (caller) => Effect.as(letIn(caller), { userId: caller.user, keyId: caller.id })
        )
    }
  })
)

const ALL = { userId: undefined }

/** Whether that is the key, in a time that does not say how much of it is right. */
const isSame = (expected: Redacted.Redacted, given: Redacted.Redacted): boolean => {
  const [one, other] = [expected, given].map((key) => createHash("sha256").update(Redacted.value(key)).digest())
  return one !== undefined && other !== undefined && timingSafeEqual(one, other)
}

const metricsAuthorization = Layer.effect(
  MetricsAuthorization,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const { metrics, metricsKey } = yield* Settings
    return {
      apiKey: () =>
        Effect.gen(function*() {
          if (metrics === "off") {
            return yield* Effect.die(problem(404, "This server does not show its metrics."))
          }
          const isOperator = metricsKey === undefined ? !(yield* keys.required) : isSame(metricsKey, yield* bearer)
          return isOperator || metrics === "open" ? ALL : { userId: (yield* known(keys)).user }
        })
    }
  })
)

/**
 * Both, over the keys, the quotas and the settings.
 */
export const layer = Layer.merge(authorization, metricsAuthorization)
