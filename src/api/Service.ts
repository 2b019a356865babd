/**
 * Routes of the server itself.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { MetricsData, PROMETHEUS_CONTENT_TYPE } from "../Metrics.js"
import { UsageData } from "../Usage.js"
import { Authorization, MetricsAuthorization } from "./Security.js"

/**
 * That the server answers. `uptime` is in seconds.
 *
 * @category answers
 */
export const Health = Schema.Struct({
  status: Schema.Literal("ok"),
  uptime: Schema.Finite
})

/**
 * @category groups
 */
export class Service extends HttpApiGroup.make("service")
  .add(
    HttpApiEndpoint.get("metrics", "/api/metrics")
      .addSuccess(MetricsData)
      .annotate(OpenApi.Description, "What the requests with this API key add up to.")
      .middleware(Authorization)
  )
  .add(
    HttpApiEndpoint.get("usage", "/api/usage")
      .addSuccess(UsageData)
      .annotate(OpenApi.Description, "What the sandboxes of this API key's user take at the moment.")
      .middleware(Authorization)
  )
  .add(
    HttpApiEndpoint.get("prometheus", "/metrics")
      .addSuccess(HttpApiSchema.Text({ contentType: PROMETHEUS_CONTENT_TYPE }))
      .annotate(
        OpenApi.Description,
        "Metrics in the text format of Prometheus: what the requests with this API key's user add up to; with the server's " +
          "key for metrics, all that the server counts. No user is named in them."
      )
      .middleware(MetricsAuthorization)
  )
  .add(
    HttpApiEndpoint.get("health", "/health")
      .addSuccess(Health)
      .annotate(OpenApi.Description, "That the server answers. Needs no API key.")
  )
  .annotate(OpenApi.Description, "The server itself.")
{}
