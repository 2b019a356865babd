import { describe, expect, it } from "@effect/vitest"
import { Effect, Metric, Redacted, Schema } from "effect"
import { createServer, type IncomingHttpHeaders } from "node:http"
import { layerOtlp } from "../src/Telemetry.js"

/** What a collector gets, read as far as these tests look at it. */
const Attribute = Schema.Struct({ key: Schema.String, value: Schema.Unknown })
const Resource = Schema.Struct({ attributes: Schema.Array(Attribute) })
const Traces = Schema.parseJson(Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({
    resource: Resource,
    scopeSpans: Schema.Array(Schema.Struct({
      spans: Schema.Array(Schema.Struct({
        name: Schema.String,
        traceId: Schema.String,
        spanId: Schema.String,
        parentSpanId: Schema.optional(Schema.String),
        attributes: Schema.Array(Attribute)
      }))
    }))
  }))
}))
const MetricsBody = Schema.parseJson(Schema.Struct({
  resourceMetrics: Schema.Array(Schema.Struct({
    resource: Resource,
    scopeMetrics: Schema.Array(Schema.Struct({
      metrics: Schema.Array(Schema.Struct({ name: Schema.String }))
    }))
  }))
}))

interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A collector on a port of its own. */
const collector = Effect.acquireRelease(
  Effect.async<{ readonly url: string; readonly received: Array<Received>; readonly close: () => void }>((resume) => {
    const received: Array<Received> = []
    const server = createServer((request, response) => {
      const pieces: Array<Buffer> = []
      request.on("data", (piece: Buffer) => pieces.push(piece))
      request.on("end", () => {
        received.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(pieces).toString() })
        response.writeHead(200, { "content-type": "application/json" }).end("{}")
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const close = () => {
        server.close()
        server.closeAllConnections()
      }
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const program = Effect.zipRight(
  Metric.increment(Metric.counter("sandbox_telemetry_test_total", { incremental: true })),
  Effect.currentSpan.pipe(Effect.withSpan("inner", { attributes: { sandboxId: "sbx-1" } }))
).pipe(Effect.withSpan("outer"))

describe("layerOtlp", () => {
  it.scopedLive("sends spans and metrics to a collector, with the headers, when the layer closes", () =>
    Effect.gen(function*() {
      const { received, url } = yield* collector
      const span = yield* Effect.provide(
        program,
        layerOtlp({
          endpoint: `${url}/`,
          serviceName: "my-agent",
          serviceVersion: "1.2.3",
          attributes: { team: "blue" },
          headers: { "x-plain": "plain", authorization: Redacted.make("Bearer secret") }
        })
      )
      expect(received.map(({ path }) => path).sort()).toEqual(["/v1/metrics", "/v1/traces"])
      for (const { headers } of received) {
        expect(headers).toMatchObject({ "x-plain": "plain", authorization: "Bearer secret" })
      }
      const bodyOf = (path: string) => received.find((request) => request.path === path)?.body ?? ""

      const traces = yield* Schema.decode(Traces)(bodyOf("/v1/traces"))
      const spans = traces.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
      expect(spans.map(({ name }) => name)).toEqual(["inner", "outer"])
      expect(spans[0]).toMatchObject({ spanId: span.spanId, traceId: span.traceId, parentSpanId: spans[1]?.spanId })
      expect(spans[0]?.attributes).toContainEqual({ key: "sandboxId", value: { stringValue: "sbx-1" } })
      expect(traces.resourceSpans[0]?.resource.attributes).toEqual(expect.arrayContaining([
        { key: "service.name", value: { stringValue: "my-agent" } },
        { key: "service.version", value: { stringValue: "1.2.3" } },
        { key: "team", value: { stringValue: "blue" } }
      ]))

      const metrics = yield* Schema.decode(MetricsBody)(bodyOf("/v1/metrics"))
      const names = metrics.resourceMetrics.flatMap(({ scopeMetrics }) =>
        scopeMetrics.flatMap(({ metrics }) => metrics.map(({ name }) => name))
      )
      expect(names).toContain("sandbox_telemetry_test_total")
    }))

  it.scopedLive("exports again and again while the program runs", () =>
    Effect.gen(function*() {
      const { received, url } = yield* collector
      yield* Effect.provide(
        Effect.zipRight(
          program,
          Effect.repeat(Effect.sleep("10 millis"), {
            until: () =>
              received.some(({ path }) => path === "/v1/traces") &&
              received.filter(({ path }) => path === "/v1/metrics").length >= 2
          })
        ),
        layerOtlp({ endpoint: url, serviceName: "my-agent", metricsInterval: 20, tracesInterval: 20 })
      )
    }))

  it.scopedLive("fails nothing when the collector is away", () =>
    Effect.gen(function*() {
      const { close, url } = yield* collector
      close()
      const span = yield* Effect.provide(
        program,
        layerOtlp({ endpoint: url, serviceName: "my-agent", shutdownTimeout: 100 })
      )
      expect(span.name).toBe("inner")
    }))
})
