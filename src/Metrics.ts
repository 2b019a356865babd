/**
 * What is counted: Effect `Metric`s for the whole process, and a recorder that sums up one instance of a layer.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { isSandboxSDKError } from "./Errors.js"
import { render } from "./internal/prometheus.js"
import * as Pulls from "./internal/pulls.js"

/**
 * The sums of one instance of a layer. A request counts when it has ended; one whose code raised was answered, and
 * counts as successful. `averageResponseTime` and `totalExecutionTime` are in milliseconds; `lastUpdated` is the time of
 * the last count, as ISO 8601.
 *
 * @category models
 */
export const MetricsData = Schema.Struct({
  totalRequests: Schema.Finite,
  successfulRequests: Schema.Finite,
  failedRequests: Schema.Finite,
  averageResponseTime: Schema.Finite,
  totalExecutionTime: Schema.Finite,
  activeSandboxes: Schema.Finite,
  lastUpdated: Schema.String
})

/**
 * @category models
 */
export type MetricsData = typeof MetricsData.Type

const seconds = MetricBoundaries.fromIterable([
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30,
  60,
  300
])

/**
 * Requests that have ended. Tags: `component` (who counted), `operation`, `outcome` (`success`, the tag of the error,
 * `failure` for an error that is not of the SDK, `interrupted`, `defect`).
 *
 * @category metrics
 */
export const requests = Metric.counter("sandbox_requests_total", {
  description: "Requests that have ended, by operation and outcome.",
  incremental: true
})

/**
 * How long requests took, in seconds. Tags: `component`, `operation`.
 *
 * @category metrics
 */
export const requestDuration = Metric.histogram(
  "sandbox_request_duration_seconds",
  seconds,
  "How long requests took, in seconds."
)

/**
 * Runs of code and commands that have ended. Tags: `component`, `language`, `outcome`.
 *
 * @category metrics
 */
export const executions = Metric.counter("sandbox_executions_total", {
  description: "Runs of code and commands that have ended, by language and outcome.",
  incremental: true
})

/**
 * How long the runs took, in seconds. Tags: `component`, `language`.
 *
 * @category metrics
 */
export const executionDuration = Metric.histogram(
  "sandbox_execution_duration_seconds",
  seconds,
  "How long runs of code and commands took, in seconds."
)

/**
 * Bytes of files and output that were streamed. Tags: `component`, `direction` (`in` to the sandbox, `out` of it).
 *
 * @category metrics
 */
export const streamedBytes = Metric.counter("sandbox_streamed_bytes_total", {
  description: "Bytes of files and output that were streamed into sandboxes and out of them.",
  incremental: true
})

/**
 * Sandboxes that were made and are not deleted. Tag: `component`.
 *
 * @category metrics
 */
export const activeSandboxes = Metric.gauge("sandbox_active_sandboxes", {
  description: "Sandboxes that were created and are not deleted."
})

/**
 * Requests that were made once more after a failure. Tags: `component`, `operation`.
 *
 * @category metrics
 */
export const retries = Metric.counter("sandbox_retries_total", {
  description: "Requests that were made once more after a failure.",
  incremental: true
})

/**
 * Requests that were answered with the answer to an earlier one with the same `Idempotency-Key`. Counted by the server.
 *
 * @category metrics
 */
export const replays = Metric.counter("sandbox_replayed_requests_total", {
  description: "Requests that were answered with the answer to an earlier one with the same key.",
  incremental: true
})

/**
 * Streams of events that were taken up again after a break. Tags: `component`, `operation`.
 *
 * @category metrics
 */
export const resumptions = Metric.counter("sandbox_resumed_streams_total", {
  description: "Streams of events that were taken up again after a break.",
  incremental: true
})

const queueSeconds = Metric.histogram(
  "sandbox_queue_seconds",
  seconds,
  "How long requests waited for their turn, in seconds."
)

/**
 * How long something waited for its turn, in seconds. `queue` says where: `rate_limit`, `context`.
 *
 * @category metrics
 */
export const queueTime = (queue: string): typeof queueSeconds => Metric.tagged(queueSeconds, "queue", queue)

/** One of the metrics, with these tags. */
const tagged = <Type, In, Out>(
  metric: Metric.Metric<Type, In, Out>,
  tags: Readonly<Record<string, string>>
): Metric.Metric<Type, In, Out> =>
  Metric.taggedWithLabels(metric, Object.entries(tags).map(([key, value]) => MetricLabel.make(key, value)))

/** The same, each made once: of the tags of what is counted at every request there are a few. */
const remembered = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>) => {
  const known = new Map<string, Metric.Metric<Type, In, Out>>()
  return (tags: Readonly<Record<string, string>>): Metric.Metric<Type, In, Out> => {
    const name = Object.values(tags).join("\n")
    const found = known.get(name) ?? tagged(metric, tags)
    known.set(name, found)
    return found
  }
}

const clockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(fiber.currentDefaultServices, Clock.Clock)

/**
 * How something ended, in one word of a few.
 *
 * @category models
 */
export const outcome = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) {
    return "success"
  }
  if (Cause.isInterruptedOnly(exit.cause)) {
    return "interrupted"
  }
  return Option.match(Cause.failureOption(exit.cause), {
    onNone: () => "defect",
    onSome: (error) => isSandboxSDKError(error) ? error._tag : "failure"
  })
}

/**
 * Counts what one instance of a layer does, and the metrics of the process along with it.
 *
 * @category models
 */
export interface Service {
  /** Counts an effect as one request. */
  readonly track: (operation: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Counts a stream as one request, which lasts until the stream ends. One that its reader leaves has succeeded. */
  readonly trackStream: (operation: string) => <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  /** Counts the bytes that pass. */
  readonly trackBytes: (
    direction: "in" | "out"
  ) => <E, R>(stream: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  /** Counts bytes. */
  readonly bytes: (direction: "in" | "out", count: number) => Effect.Effect<void>
  /** Counts a run that has ended. `outcome` is `success` without it. */
  readonly execution: (
    durationMs: number,
    about?: { readonly language?: string | undefined; readonly outcome?: string | undefined }
  ) => Effect.Effect<void>
  /** Counts one more try of a request. */
  readonly retried: (operation: string) => Effect.Effect<void>
  /** Counts a stream that was taken up again. */
  readonly resumed: (operation: string) => Effect.Effect<void>
  /** A sandbox was made. Telling it twice counts once. */
  readonly sandboxCreated: (id: string) => Effect.Effect<void>
  /** A sandbox is gone. One that was not counted is not. */
  readonly sandboxDeleted: (id: string) => Effect.Effect<void>
  /** The sums as they are now. */
  readonly snapshot: Effect.Effect<MetricsData>
}

/**
 * Options of a recorder.
 *
 * @category models
 */
export interface RecorderOptions {
  /** Who counts, as the tag `component` of the metrics: `client` by default. */
  readonly component?: string | undefined
}

/**
 * Makes a recorder. When the scope closes, its sandboxes no longer count as active.
 *
 * @category constructors
 */
export const make = (options: RecorderOptions = {}): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const component = options.component ?? "client"
    const active = tagged(activeSandboxes, { component })
    const flow = {
      in: tagged(streamedBytes, { component, direction: "in" }),
      out: tagged(streamedBytes, { component, direction: "out" })
    }
    const answered = remembered(requests)
    const answeredIn = remembered(requestDuration)
    const executed = remembered(executions)
    const executedIn = remembered(executionDuration)
    const sandboxes = new Set<string>()
    let total = 0
    let successful = 0
    let responseTime = 0
    let executionTime = 0
    let lastUpdated = yield* Clock.currentTimeMillis

    const touch = Effect.map(Clock.currentTimeMillis, (now) => {
      lastUpdated = now
    })

    /** Counts in one step, however many metrics that is: each request does. */
    const count = (update: (clock: Clock.Clock, tags: ReadonlyArray<MetricLabel.MetricLabel>) => void) =>
      Effect.withFiberRuntime<void>((fiber) => {
        const clock = clockOf(fiber)
        update(clock, fiber.getFiberRef(FiberRef.currentMetricLabels))
        lastUpdated = clock.unsafeCurrentTimeMillis()
        return Effect.void
      })

    const ended = (operation: string, start: bigint, result: string) =>
      count((clock, tags) => {
        const took = Number(clock.unsafeCurrentTimeNanos() - start) / 1e6
        total += 1
        successful += result === "success" || result === "ExecutionError" ? 1 : 0
        responseTime += took
        answered({ component, operation, outcome: result }).unsafeUpdate(1, tags)
        answeredIn({ component, operation }).unsafeUpdate(took / 1_000, tags)
      })

    const bytes = (direction: "in" | "out", count: number) => Metric.incrementBy(flow[direction], count)

    yield* Effect.addFinalizer(() => Effect.suspend(() => Metric.modify(active, -sandboxes.size)))

    return {
      track: (operation) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.withFiberRuntime<A, E, R>((fiber) => {
          const start = clockOf(fiber).unsafeCurrentTimeNanos()
          return Effect.onExit(effect, (exit) => ended(operation, start, outcome(exit)))
        }),
      trackStream: (operation) => (stream) =>
        Pulls.ensuring(
          stream,
          Effect.map(Clock.currentTimeNanos, (start) => (exit) => ended(operation, start, outcome(exit)))
        ),
      trackBytes: (direction) => (stream) =>
        Pulls.mapChunksEffect(stream, (chunk) => {
          let count = 0
          for (const piece of chunk) {
            count += piece.byteLength
          }
          return Effect.as(bytes(direction, count), chunk)
        }),
      bytes,
      execution: (durationMs, about) =>
        count((_, tags) => {
          executionTime += durationMs
          const language = about?.language ?? "unknown"
          executed({ component, language, outcome: about?.outcome ?? "success" }).unsafeUpdate(1, tags)
          executedIn({ component, language }).unsafeUpdate(durationMs / 1_000, tags)
        }),
      retried: (operation) => Metric.increment(tagged(retries, { component, operation })),
      resumed: (operation) => Metric.increment(tagged(resumptions, { component, operation })),
      sandboxCreated: (id) =>
        Effect.suspend(() => {
          if (sandboxes.has(id)) {
            return Effect.void
          }
          sandboxes.add(id)
          return Effect.zipRight(Metric.modify(active, 1), touch)
        }),
      sandboxDeleted: (id) =>
        Effect.suspend(() => sandboxes.delete(id) ? Effect.zipRight(Metric.modify(active, -1), touch) : Effect.void),
      snapshot: Effect.sync(() => ({
        totalRequests: total,
        successfulRequests: successful,
        failedRequests: total - successful,
        averageResponseTime: total === 0 ? 0 : responseTime / total,
        totalExecutionTime: executionTime,
        activeSandboxes: sandboxes.size,
        lastUpdated: new Date(lastUpdated).toISOString()
      }))
    }
  })

/**
 * A recorder, as a service.
 *
 * @category tags
 */
export class Recorder extends Context.Tag("sandbox-sdk/Metrics/Recorder")<Recorder, Service>() {}

/**
 * A recorder of its own for what this layer is provided to.
 *
 * @category layers
 */
export const layer = (options: RecorderOptions = {}): Layer.Layer<Recorder> => Layer.scoped(Recorder, make(options))

/**
 * How the sums are reported.
 *
 * @category models
 */
export interface ReporterOptions {
  /** How long lies between two reports; a number is in milliseconds. `metricsInterval` of the settings is meant. */
  readonly interval: Duration.DurationInput
  /** What is done with the sums. By default they are logged, at the level of info, as annotations. */
  readonly report?: ((data: MetricsData) => Effect.Effect<void>) | undefined
}

/**
 * Reports sums over and over: the first time when `interval` has passed.
 *
 * @category reporting
 */
export const reporter = <E, R>(
  snapshot: Effect.Effect<MetricsData, E, R>,
  options: ReporterOptions
): Effect.Effect<never, E, R> => {
  const report = options.report ??
    ((data: MetricsData) => Effect.annotateLogs(Effect.logInfo("Sandbox SDK metrics"), data))
  return Effect.forever(Effect.zipRight(Effect.sleep(options.interval), Effect.flatMap(snapshot, report)))
}

/**
 * Reports the sums of the recorder every `interval`, as long as the layer lives. A report that fails is logged at the
 * level of debug; the next one comes all the same.
 *
 * @category layers
 */
export const layerReporter = (options: ReporterOptions): Layer.Layer<never, never, Recorder> =>
  Layer.scopedDiscard(
    Effect.flatMap(Recorder, ({ snapshot }) =>
      Effect.forkScoped(
        reporter(snapshot, options).pipe(
          Effect.tapErrorCause((cause) => Effect.logDebug("A report of the metrics failed.", cause)),
          Effect.catchAllCause(() => Effect.void),
          Effect.forever
        )
      ))
  )

/**
 * The media type of {@link renderPrometheus}.
 *
 * @category reporting
 */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/**
 * The metrics of this process whose names begin with `sandbox_`, in the text format of Prometheus, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * @category reporting
 */
export const renderPrometheus: Effect.Effect<string> = Effect.map(Metric.snapshot, (pairs) => render(pairs, "sandbox_"))
