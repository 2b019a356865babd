/**
 * Answers requests about the server itself.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Api, MetricsReader } from "../../Api.js"
import { CurrentUser } from "../../CurrentUser.js"
import { PROMETHEUS_CONTENT_TYPE, renderPrometheus } from "../../Metrics.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { asCaller } from "../Handlers.js"
import { renderSums } from "../Sums.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "service", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const start = yield* Clock.currentTimeMillis
    return handlers
      .handle("metrics", () => asCaller(sdk.getMetrics))
      .handle("usage", () => asCaller(sdk.getUsage()))
      .handle("prometheus", () =>
        Effect.flatMap(MetricsReader, ({ userId }) =>
          userId === undefined
            ? renderPrometheus
            : Effect.map(Effect.provideService(sdk.getMetrics, CurrentUser, userId), renderSums)).pipe(
            Effect.map((text) => HttpServerResponse.text(text, { contentType: PROMETHEUS_CONTENT_TYPE }))
          ))
      .handle("health", () =>
        Effect.map(Clock.currentTimeMillis, (now) => ({
          status: "ok" as const,
          uptime: Math.max(0, now - start) / 1_000
        })))
  }))
