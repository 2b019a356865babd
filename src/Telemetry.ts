/**
 * `sandbox-sdk/telemetry`: traces and metrics by OpenTelemetry's protocol, OTLP. It needs the packages
 * `@effect/opentelemetry` and `@effect/platform`.
 */
import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * Where traces and metrics go.
 *
 * @category models
 */
export interface OtlpOptions {
  /**
   * The collector: the URL before `/v1/traces` and `/v1/metrics`, such as `"http://127.0.0.1:4318"`.
   */
  readonly endpoint: string
  /** What the program is called in the traces. */
  readonly serviceName: string
  /** Which version of it this is. */
  readonly serviceVersion?: string | undefined
  /** What else is known of it: `deployment.environment.name`, say. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Header fields of each request to the collector; what is secret in them had better be redacted. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  /** Milliseconds between two exports of the metrics; 10000 by default. */
  readonly metricsInterval?: number | undefined
  /** Milliseconds between two exports of the spans that have ended; 5000 by default. */
  readonly tracesInterval?: number | undefined
  /** How long the last export may take when the layer closes, in milliseconds; 3000 by default. */
  readonly shutdownTimeout?: number | undefined
}

/**
 * Sends the spans of whatever it is provided to, and the metrics of the process, to a collector, as JSON over HTTP
 * (`fetch`). What has not been sent is sent when the layer closes. A collector that is away costs nothing but what it
 * would have got: exports stop for a minute, and nothing fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Sandbox } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 * import { layerOtlp } from "sandbox-sdk/telemetry"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   return yield* sandbox.runCode("6 * 7")
 * }).pipe(Effect.scoped, Effect.withSpan("answer"))
 *
 * Effect.runPromise(program.pipe(
 *   Effect.provide(layerLocal()),
 *   Effect.provide(layerOtlp({ endpoint: "http://127.0.0.1:4318", serviceName: "my-agent" }))
 * ))
 * ```
 *
 * @category layers
 */
export const layerOtlp = (options: OtlpOptions): Layer.Layer<never> => {
  const endpoint = options.endpoint.replace(/\/+$/, "")
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) =>
      [name, Redacted.isRedacted(value) ? Redacted.value(value) : value] as const
    )
  )
  const common = {
    headers,
    resource: {
      serviceName: options.serviceName,
      serviceVersion: options.serviceVersion,
      attributes: { ...options.attributes }
    },
    shutdownTimeout: options.shutdownTimeout ?? 3_000
  }
  return Layer.merge(
    OtlpTracer.layer({ ...common, url: `${endpoint}/v1/traces`, exportInterval: options.tracesInterval ?? 5_000 }),
    OtlpMetrics.layer({ ...common, url: `${endpoint}/v1/metrics`, exportInterval: options.metricsInterval ?? 10_000 })
  ).pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))
}
