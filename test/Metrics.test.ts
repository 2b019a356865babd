import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  MetricBoundaries,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import * as fc from "fast-check"
import { ExecutionError, SandboxError } from "../src/Errors.js"
import { escapeHelp, escapeLabel } from "../src/internal/prometheus.js"
import * as Metrics from "../src/Metrics.js"

const raised = new ExecutionError({ message: "E: x", name: "E", value: "x", traceback: "" })
const gone = new SandboxError({ message: "gone", code: "not_found" })

let components = 0
/** A recorder whose global metrics nobody else counts. */
const recorder = Effect.suspend(() => {
  components += 1
  const component = `test-${components}`
  return Effect.map(Metrics.make({ component }), (metrics) => ({ component, metrics }))
})

/** The value of one line of the text format. */
const sample = (text: string, line: string): number | undefined => {
  const found = text.split("\n").find((candidate) => candidate.startsWith(`${line} `))
  return found === undefined ? undefined : Number(found.slice(line.length + 1))
}

describe("a recorder", () => {
  it.scoped("sums up requests by how they ended", () =>
    Effect.gen(function*() {
      const { metrics } = yield* recorder
      const run = metrics.track("runCode")
      expect(yield* run(Effect.succeed(7))).toBe(7)
      expect(yield* Effect.exit(run(Effect.fail(raised)))).toEqual(Exit.fail(raised))
      yield* Effect.exit(run(Effect.fail(gone)))
      expect(Exit.isFailure(yield* Effect.exit(run(Effect.die("defect"))))).toBe(true)
      const fiber = yield* Effect.fork(run(Effect.never))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* metrics.snapshot).toMatchObject({
        totalRequests: 5,
        successfulRequests: 2,
        failedRequests: 3
      })
    }))

  it.scoped("gives times in milliseconds, and the time of the last count", () =>
    Effect.gen(function*() {
      const { metrics } = yield* recorder
      expect(yield* metrics.snapshot).toEqual({
        totalRequests: 0,
        successfulRequests: 0,
        failedRequests: 0,
        averageResponseTime: 0,
        totalExecutionTime: 0,
        activeSandboxes: 0,
        lastUpdated: "1970-01-01T00:00:00.000Z"
      })
      for (const duration of [100, 300]) {
        const fiber = yield* Effect.fork(metrics.track("readFile")(Effect.sleep(duration)))
        yield* TestClock.adjust(duration)
        yield* Fiber.join(fiber)
      }
      yield* metrics.execution(250)
      yield* metrics.execution(50, { language: "python", outcome: "ExecutionError" })
      const data = yield* metrics.snapshot
      expect(data.averageResponseTime).toBe(200)
      expect(data.totalExecutionTime).toBe(300)
      expect(data.lastUpdated).toBe("1970-01-01T00:00:00.400Z")
      expect(yield* Schema.decode(Metrics.MetricsData)(data)).toEqual(data)
    }))

  it.scoped("counts each sandbox once, and none that is gone", () =>
    Effect.gen(function*() {
      const { metrics } = yield* recorder
      const active = Effect.map(metrics.snapshot, (data) => data.activeSandboxes)
      yield* metrics.sandboxCreated("a")
      yield* metrics.sandboxCreated("a")
      yield* metrics.sandboxCreated("b")
      expect(yield* active).toBe(2)
      yield* metrics.sandboxDeleted("a")
      yield* metrics.sandboxDeleted("a")
      yield* metrics.sandboxDeleted("unknown")
      expect(yield* active).toBe(1)
    }))

  it.scoped("is of one instance: another's requests are not among them", () =>
    Effect.gen(function*() {
      const { metrics } = yield* recorder
      const other = yield* recorder
      yield* other.metrics.track("runCode")(Effect.void)
      expect((yield* metrics.snapshot).totalRequests).toBe(0)
    }))

  it.scoped("counts a stream when it ends, however that is, and passes it on as it is", () =>
    Effect.gen(function*() {
      const { component, metrics } = yield* recorder
      const track = metrics.trackStream("runCodeStream")
      const numbers = Stream.make(1, 2, 3)
      yield* Stream.runForEach(track(numbers), () =>
        Effect.map(metrics.snapshot, (data) => expect(data.totalRequests).toBe(0)))
      expect(Chunk.toArray(yield* Stream.runCollect(track(numbers)))).toEqual([1, 2, 3])
      expect(yield* Effect.flip(Stream.runDrain(track(Stream.concat(numbers, Stream.fail(gone)))))).toBe(gone)
      yield* Stream.runDrain(Stream.take(track(Stream.forever(numbers)), 5))
      const fiber = yield* Effect.fork(Stream.runDrain(track(Stream.never)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* metrics.snapshot).toMatchObject({ totalRequests: 5, successfulRequests: 3, failedRequests: 2 })
      const text = yield* Metrics.renderPrometheus
      const line = (outcome: string) =>
        sample(text, `sandbox_requests_total{component="${component}",operation="runCodeStream",outcome="${outcome}"}`)
      expect([line("success"), line("SandboxError"), line("interrupted")]).toEqual([3, 1, 1])
    }))
})

describe("the metrics of the process", () => {
  it.effect("follow the recorder, with its name", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { component, metrics } = yield* Scope.extend(recorder, scope)
      const fiber = yield* Effect.fork(metrics.track("runCode")(Effect.sleep("20 millis")))
      yield* TestClock.adjust("20 millis")
      yield* Fiber.join(fiber)
      yield* metrics.execution(1_500, { language: "python" })
      yield* metrics.retried("readFile")
      yield* metrics.sandboxCreated("a")
      yield* metrics.bytes("in", 3)
      yield* Stream.runDrain(metrics.trackBytes("out")(Stream.make(new Uint8Array(5), new Uint8Array(7))))
      const text = yield* Metrics.renderPrometheus
      const own = `component="${component}"`
      const runCode = `${own},operation="runCode"`
      expect(sample(text, `sandbox_requests_total{${runCode},outcome="success"}`)).toBe(1)
      expect(sample(text, `sandbox_request_duration_seconds_bucket{${runCode},le="0.01"}`)).toBe(0)
      expect(sample(text, `sandbox_request_duration_seconds_bucket{${runCode},le="0.025"}`)).toBe(1)
      expect(sample(text, `sandbox_request_duration_seconds_sum{${runCode}}`)).toBe(0.02)
      expect(sample(text, `sandbox_executions_total{${own},language="python",outcome="success"}`)).toBe(1)
      expect(sample(text, `sandbox_execution_duration_seconds_sum{${own},language="python"}`)).toBe(1.5)
      expect(sample(text, `sandbox_streamed_bytes_total{${own},direction="in"}`)).toBe(3)
      expect(sample(text, `sandbox_streamed_bytes_total{${own},direction="out"}`)).toBe(12)
      expect(sample(text, `sandbox_retries_total{${own},operation="readFile"}`)).toBe(1)
      expect(sample(text, `sandbox_active_sandboxes{${own}}`)).toBe(1)
      yield* Scope.close(scope, Exit.void)
      expect(sample(yield* Metrics.renderPrometheus, `sandbox_active_sandboxes{${own}}`)).toBe(0)
    }))
})

describe("reporting", () => {
  it.scoped("comes every interval, and ends with the layer", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const seen: Array<number> = []
      const context = yield* Scope.extend(
        Layer.build(
          Metrics.layerReporter({
            interval: "30 seconds",
            report: (data) => Effect.sync(() => seen.push(data.totalRequests))
          }).pipe(Layer.provideMerge(Metrics.layer()))
        ),
        scope
      )
      const metrics = yield* Effect.provide(Metrics.Recorder, context)
      yield* metrics.track("getSandbox")(Effect.void)
      yield* TestClock.adjust("29 seconds")
      expect(seen).toEqual([])
      yield* TestClock.adjust("31 seconds")
      expect(seen).toEqual([1, 1])
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      expect(seen).toEqual([1, 1])
    }))

  it.scoped("survives a report that fails", () =>
    Effect.gen(function*() {
      let reports = 0
      yield* Layer.build(
        Metrics.layerReporter({
          interval: 1_000,
          report: () =>
            Effect.suspend(() => {
              reports += 1
              return Effect.die("no")
            })
        }).pipe(Layer.provide(Metrics.layer()))
      )
      yield* TestClock.adjust("3 seconds")
      expect(reports).toBe(3)
    }))

  it.scoped("logs the sums by default", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.map(Logger.jsonLogger, (line) => void lines.push(line))
      yield* Layer.build(
        Metrics.layerReporter({ interval: 1_000 }).pipe(
          Layer.provide(Metrics.layer()),
          Layer.provide(Logger.replace(Logger.defaultLogger, logger))
        )
      )
      yield* TestClock.adjust("1 second")
      expect(lines).toHaveLength(1)
      expect(lines[0]).toMatch(/"message":"Sandbox SDK metrics".*"totalRequests":0/)
    }))
})

/** Reads the text format, as strictly as its description has it. */
const parse = (text: string) => {
  const types = new Map<string, string>()
  const samples: Array<{ name: string; labels: Record<string, string>; value: string }> = []
  expect(text === "" || text.endsWith("\n")).toBe(true)
  for (const line of text.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/s.exec(line)
    if (comment !== null) {
      if (comment[1] === "TYPE") {
        expect(types.has(comment[2] ?? "")).toBe(false)
        types.set(comment[2] ?? "", comment[3] ?? "")
      }
      continue
    }
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (\S+)$/u
      .exec(line)
    expect(found, line).not.toBeNull()
    const labels: Record<string, string> = {}
    for (const [, name, value] of (found?.[2] ?? "").matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/gsu)) {
      labels[name ?? ""] = (value ?? "").replace(
        /\\(.)/g,
        (_, character: string) => character === "n" ? "\n" : character
      )
    }
    samples.push({ name: found?.[1] ?? "", labels, value: found?.[3] ?? "" })
  }
  return { types, samples }
}

describe("the text format of Prometheus", () => {
  const only = (name: string) =>
    Effect.map(
      Metrics.renderPrometheus,
      (text) => text.split("\n").filter((line) => line.includes(name)).map((line) => `${line}\n`).join("")
    )

  it.effect("has cumulative buckets with +Inf, the sum and the count", () =>
    Effect.gen(function*() {
      const histogram = Metric.histogram(
        "sandbox_test_seconds",
        MetricBoundaries.fromIterable([0.5, 1]),
        "A \\ test\nof two lines"
      )
      yield* Effect.forEach([0.25, 0.5, 0.75, 3], (value) => Metric.update(histogram, value))
      expect(yield* only("sandbox_test_seconds")).toBe(
        "# HELP sandbox_test_seconds A \\\\ test\\nof two lines\n" +
          "# TYPE sandbox_test_seconds histogram\n" +
          "sandbox_test_seconds_bucket{le=\"0.5\"} 2\n" +
          "sandbox_test_seconds_bucket{le=\"1\"} 3\n" +
          "sandbox_test_seconds_bucket{le=\"+Inf\"} 4\n" +
          "sandbox_test_seconds_sum 4.5\n" +
          "sandbox_test_seconds_count 4\n"
      )
    }))

  it.effect("tells counters from gauges, and knows frequencies, summaries and big integers", () =>
    Effect.gen(function*() {
      yield* Metric.increment(Metric.counter("sandbox_kind_a_total", { incremental: true }))
      yield* Metric.increment(Metric.counter("sandbox_kind_b"))
      yield* Metric.update(Metric.gauge("sandbox_kind_c"), -Infinity)
      yield* Metric.update(Metric.frequency("sandbox_kind_d"), "word")
      yield* Metric.incrementBy(Metric.counter("sandbox_kind_e_total", { bigint: true, incremental: true }), 2n ** 70n)
      const summary = Metric.summary({
        name: "sandbox_kind_f",
        maxAge: "1 day",
        maxSize: 10,
        error: 0,
        quantiles: [0.5]
      })
      yield* Metric.update(summary, 3)
      const { samples, types } = parse(yield* only("sandbox_kind_"))
      expect([...types.values()]).toEqual(["counter", "gauge", "gauge", "counter", "counter", "summary"])
      expect(samples.map(({ labels, value }) => [labels, value])).toEqual([
        [{}, "1"],
        [{}, "1"],
        [{}, "-Inf"],
        [{ key: "word" }, "1"],
        [{}, String(2n ** 70n)],
        [{ quantile: "0.5" }, "3"],
        [{}, "3"],
        [{}, "1"]
      ])
    }))

  it.effect("holds only our metrics, those of one name together", () =>
    Effect.gen(function*() {
      yield* Metric.increment(Metric.counter("somebody_elses_total"))
      for (const operation of ["a", "b"]) {
        yield* Metric.increment(Metric.tagged(Metrics.requests, "operation", operation))
        yield* Metric.increment(Metric.tagged(Metrics.retries, "operation", operation))
      }
      const text = yield* Metrics.renderPrometheus
      const { samples } = parse(text)
      expect(samples.filter(({ name }) => !name.startsWith("sandbox_"))).toEqual([])
      const names = samples.map(({ name }) => name.replace(/_(bucket|sum|count)$/, ""))
      expect(names).toEqual([...names].sort())
    }))

  it("survives any tag, as a name and as a value", () => {
    let number = 0
    fc.assert(fc.property(
      fc.string({ unit: "binary" }),
      fc.string({ unit: "binary" }),
      fc.constantFrom("\"", "\\", "\n", "\\n", "}", ",", "\\\""),
      (key, value, special) => {
        number += 1
        const tagged = `${value}${special}${value}`
        const counter = Metric.counter(`sandbox_tag_${number}_total`, { description: tagged, incremental: true })
        const text = Effect.runSync(Effect.zipRight(
          Metric.increment(Metric.tagged(Metric.tagged(counter, "safe", tagged), `x${key}`, "1")),
          Metrics.renderPrometheus
        ))
        const found = parse(text).samples.filter(({ name }) => name === `sandbox_tag_${number}_total`)
        expect(found).toHaveLength(1)
        expect(found[0]?.labels["safe"]).toBe(tagged)
        expect(Object.keys(found[0]?.labels ?? {})).toHaveLength(2)
      }
    ))
  })

  it("escapes so that it can be undone", () => {
    const undo = (text: string) =>
      text.replace(/\\(.)/g, (_, character: string) => character === "n" ? "\n" : character)
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("\\", "\n", "\"", "n", "a") }), (text) => {
      expect(undo(escapeHelp(text))).toBe(text)
      expect(undo(escapeLabel(text))).toBe(text)
      expect(escapeLabel(text)).toMatch(/^([^"\\\n]|\\[\\n"])*$/)
      expect(escapeHelp(text)).not.toContain("\n")
    }))
  })
})

describe("outcome", () => {
  it("is a word of a few", () => {
    expect(Metrics.outcome(Exit.void)).toBe("success")
    expect(Metrics.outcome(Exit.fail(gone))).toBe("SandboxError")
    expect(Metrics.outcome(Exit.fail("a message with an id 1234"))).toBe("failure")
    expect(Metrics.outcome(Exit.die("x"))).toBe("defect")
    expect(Metrics.outcome(Exit.failCause(Cause.parallel(Cause.die("x"), Cause.fail(gone))))).toBe("SandboxError")
  })
})
