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
import { bearerOf } from "../ports/Access.js"
import * as Quotas from "../Quotas.js"
import { type RateLimitInfo, toHeaders } from "../RateLimit.js"
import { Active } from "./Active.js"
import { ApiKeys, wasRevoked } from "./ApiKeys.js"
import { problem } from "./Problem.js"
import { Settings } from "./Settings.js"

/**
 * The user of a server without API keys: the same as that of a program that embeds the engine.
 */
export const LOCAL = { id: "none", user: "local" }

/** The API key of a request: `Authorization: Bearer <api key>` (RFC 6750, 2.1). */
const bearer = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ headers }) => Redacted.make(bearerOf(headers["authorization"]))
)

/**
 * Whose API key a request bears. Fails with `SandboxSDKError` `unauthorized`.
 */
export const known = (keys: ApiKeys["Type"]) =>
  Effect.flatMap(keys.required, (required) =>
    required
      ? Effect.flatMap(bearer, keys.verify)
      : Effect.succeed(LOCAL))

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

/** The same, whose answer ends at once when the key is revoked. */
const holder = (keys: ApiKeys["Type"], active: Active["Type"]) =>
  Effect.tap(knownAgain(keys), ({ id }) =>
    Effect.whenEffect(
      Effect.flatMap(active.cutOff, (cutOff) => keys.whileKnown(id, cutOff(wasRevoked))),
      keys.required
    ))

/**
 * Lets the answer say how many requests are left.
 */
export const tellBudget = (info: RateLimitInfo | undefined) =>
  info === undefined ?
    Effect.void :
    HttpApp.appendPreResponseHandler((_, response) =>
      Effect.succeed(HttpServerResponse.setHeaders(response, toHeaders(info)))
    )

const authorization = Layer.effect(
  Authorization,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const active = yield* Active
    const quotas = yield* Quotas.Quotas
    return {
      apiKey: () =>
        Effect.gen(function*() {
          const { id, user } = yield* holder(keys, active)
          const budget = yield* Effect.tapError(
            quotas.request(user),
            () => Effect.flatMap(quotas.info(user), tellBudget)
          )
          yield* tellBudget(budget)
          return { userId: user, keyId: id }
        })
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
