import { describe, expect, it, vi } from "@effect/vitest"
import { Cause, Effect, type Layer, Logger, LogLevel, Redacted, Schema } from "effect"
import { ConnectionError } from "../src/Errors.js"
import * as Logging from "../src/Logging.js"

const KEY = "sk-\"3f9a\"-very-secret"
const apiKey = Redacted.make(KEY)

const Line = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

/** Runs an effect with a layer, and gives what it wrote to the two streams of the process. */
const written = <E>(effect: Effect.Effect<void, E>, layer: Layer.Layer<never>) =>
  Effect.gen(function*() {
    const out: Array<string> = []
    const error: Array<string> = []
    const spies = [
      vi.spyOn(console, "log").mockImplementation((...args) => void out.push(args.join(" "))),
      vi.spyOn(console, "error").mockImplementation((...args) => void error.push(args.join(" ")))
    ]
    yield* Effect.provide(effect, layer).pipe(
      Effect.ensuring(Effect.sync(() => spies.forEach((spy) => spy.mockRestore())))
    )
    return { out, error }
  })

const everyLevel = Effect.all([
  Effect.logTrace("trace"),
  Effect.logDebug("debug"),
  Effect.logInfo("info"),
  Effect.logWarning("warn"),
  Effect.logError("error"),
  Effect.logFatal("fatal")
])

describe("Logging.layer", () => {
  it.live("is silent by default", () =>
    Effect.gen(function*() {
      expect(yield* written(Effect.asVoid(everyLevel), Logging.layer({}))).toEqual({ out: [], error: [] })
      expect(yield* written(Effect.asVoid(everyLevel), Logging.layer({ enableLogging: false, logLevel: "debug" })))
        .toEqual({ out: [], error: [] })
    }))

  it.live.each<readonly [Logging.LoggingOptions["logLevel"], ReadonlyArray<string>]>([
    ["debug", ["debug", "info", "warn", "error", "fatal"]],
    ["info", ["info", "warn", "error", "fatal"]],
    [undefined, ["info", "warn", "error", "fatal"]],
    ["warn", ["warn", "error", "fatal"]],
    ["error", ["error", "fatal"]]
  ])("at the level %s writes %j to standard error", ([logLevel, messages]) =>
    Effect.gen(function*() {
      const { error, out } = yield* written(Effect.asVoid(everyLevel), Logging.layer({ enableLogging: true, logLevel }))
      expect(out).toEqual([])
      const lines = yield* Effect.forEach(error, (line) => Schema.decode(Line)(line))
      expect(lines.map(({ message }) => message)).toEqual(messages)
      expect(lines.map(({ level }) => level)).toEqual(messages.map((name) => name === "fatal" ? "error" : name))
    }))

  it.live("writes a line of JSON with what it is about, the spans and the cause", () =>
    Effect.gen(function*() {
      const { error } = yield* written(
        Effect.logWarning("It broke.", Cause.fail(new ConnectionError({ message: "refused", url: "http://h" }))).pipe(
          Logging.about({ sandboxId: "sbx-1", executionId: "run-1", contextId: undefined }),
          Effect.withLogSpan("request")
        ),
        Logging.layer({ enableLogging: true })
      )
      expect(error).toHaveLength(1)
      expect(error[0]).not.toContain("\n")
      const line = yield* Schema.decode(Line)(error[0] ?? "")
      expect(line).toMatchObject({ level: "warn", message: "It broke.", sandboxId: "sbx-1", executionId: "run-1" })
      expect(line["cause"]).toContain("refused")
      expect(line["spans"]).toHaveProperty("request")
      expect(new Date(String(line["timestamp"])).getTime()).toBeGreaterThan(0)
      expect(line).not.toHaveProperty("contextId")
    }))

  it.live("never writes the API key, wherever somebody put it", () =>
    Effect.gen(function*() {
      const { error } = yield* written(
        Effect.all([
          Effect.logInfo(`Bearer ${KEY}`),
          Effect.logInfo({ headers: { authorization: `Bearer ${KEY}` }, apiKey }),
          Effect.logError("broken", Cause.die(new Error(`header ${KEY} is invalid`))),
          Effect.logInfo("x").pipe(Effect.annotateLogs({ key: KEY, redacted: apiKey }))
        ]),
        Logging.layer({ enableLogging: true, apiKey })
      )
      expect(error).toHaveLength(4)
      for (const line of error) {
        expect(line).not.toContain("3f9a")
        expect(line).toContain("<redacted>")
        yield* Schema.decode(Line)(line)
      }
    }))

  it.live("survives what JSON cannot hold", () =>
    Effect.gen(function*() {
      const circular: { self?: unknown } = {}
      circular.self = circular
      const { error } = yield* written(
        Effect.all([
          Effect.logInfo({ deep: { big: 2n } }),
          Effect.logInfo(circular),
          Effect.logInfo("a").pipe(Effect.annotateLogs({ big: { deep: 3n }, circular }))
        ]),
        Logging.layer({ enableLogging: true })
      )
      expect(error).toHaveLength(3)
      yield* Effect.forEach(error, (line) => Schema.decode(Line)(line))
    }))
})

describe("Logging.log", () => {
  const collect = (options: Logging.LoggingOptions) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.map(Logging.make(), (line) => void lines.push(line))
      const log = Logging.log(options)
      yield* Effect.all([
        log("debug", "d", { sandboxId: "sbx-1" }),
        log("info", "i"),
        log("warn", "w"),
        log("error", "e")
      ])
        .pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      return yield* Effect.forEach(lines, (line) => Schema.decode(Line)(line))
    })

  it.live("gives the caller's own logger what the settings want logged", () =>
    Effect.gen(function*() {
      expect(yield* collect({})).toEqual([])
      expect((yield* collect({ enableLogging: true, logLevel: "warn" })).map(({ message }) => message)).toEqual([
        "w",
        "e"
      ])
      const all = yield* collect({ enableLogging: true, logLevel: "debug" })
      expect(all.map(({ message }) => message)).toEqual(["d", "i", "w", "e"])
      expect(all[0]).toMatchObject({ sandboxId: "sbx-1", level: "debug" })
    }))

  it("knows Effect's levels", () => {
    expect(Logging.toEffect("warn")).toBe(LogLevel.Warning)
  })
})
