/**
 * Lets requests in: who makes them, and whether their budget allows one more.
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Authorization, MetricsAuthorization } from "../Api.js"
import * as Quotas from "../Quotas.js"
import { type RateLimitInfo, toHeaders } from "../RateLimit.js"
import { ApiKeys } from "./ApiKeys.js"
import { problem } from "./Problem.js"
import { Settings } from "./Settings.js"

/** The user of a server without API keys: the same as that of a program that embeds the engine. */
const LOCAL = { id: "none", user: "local" }

/** The API key of a request: `Authorization: Bearer <api key>` (RFC 6750, 2.1). */
const bearer = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ headers }) => Redacted.make(/^Bearer +(\S+) *$/i.exec(headers["authorization"] ?? "")?.[1] ?? "")
)

const known = (keys: ApiKeys["Type"]) =>
  Effect.flatMap(keys.required, (required) =>
    required
      ? Effect.flatMap(bearer, keys.verify)
      : Effect.succeed(LOCAL))

const tellBudget = (info: RateLimitInfo | undefined) =>
  info === undefined ?
    Effect.void :
    HttpApp.appendPreResponseHandler((_, response) =>
      Effect.succeed(HttpServerResponse.setHeaders(response, toHeaders(info)))
    )

const authorization = Layer.effect(
  Authorization,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const quotas = yield* Quotas.Quotas
    return {
      apiKey: () =>
        Effect.gen(function*() {
          const { id, user } = yield* known(keys)
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

const metricsAuthorization = Layer.effect(
  MetricsAuthorization,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const { metrics } = yield* Settings
    return {
      apiKey: () =>
        metrics === "off"
          ? Effect.die(problem(404, "This server does not show its metrics."))
          : metrics === "open"
          ? Effect.void
          : Effect.asVoid(known(keys))
    }
  })
)

/**
 * Both, over the keys, the quotas and the settings.
 */
export const layer = Layer.merge(authorization, metricsAuthorization)
