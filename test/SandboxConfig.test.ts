import { PlatformConfigProvider } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { describe, expect, it, vi } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, Inspectable, Layer, Redacted } from "effect"
import * as fc from "fast-check"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { inspect } from "node:util"
import type { SandboxSDKError } from "../src/Errors.js"
import { SandboxConfig, type SandboxConfigOptions } from "../src/SandboxConfig.js"

const KEY = "sk-3f9a-very-secret"
const required = { apiKey: KEY, serverUrl: "https://sandbox.example.org" }

const read = (layer: Layer.Layer<SandboxConfig, SandboxSDKError>) => Effect.provide(SandboxConfig, layer)
const readEnv = (variables: Record<string, string>) =>
  read(Layer.provide(
    SandboxConfig.layerEnv,
    Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))
  ))

/** What a caller in plain JavaScript may pass. */
const anything = (options: object): SandboxConfigOptions => ({ ...required, ...options })

const refusal = (effect: Effect.Effect<unknown, SandboxSDKError>) =>
  Effect.map(Effect.flip(effect), ({ code, field, message }) => {
    expect(code).toBe("invalid_config")
    return { field, message }
  })

describe("SandboxConfig.layer", () => {
  it.effect("fills in the defaults", () =>
    Effect.gen(function*() {
      const settings = yield* read(SandboxConfig.layer(required))
      expect({ ...settings, apiKey: Redacted.value(settings.apiKey) }).toEqual({
        ...required,
        timeout: 60_000,
        maxRetries: 3,
        retryDelay: 1_000,
        enableLogging: false,
        logLevel: "info",
        enableMetrics: false,
        metricsInterval: 30_000,
        rateLimit: undefined
      })
    }))

  it.effect("takes every setting, and a key that is redacted already", () =>
    Effect.gen(function*() {
      const options = {
        serverUrl: "http://127.0.0.1:3000",
        timeout: 1,
        maxRetries: 0,
        retryDelay: 10,
        enableLogging: true,
        logLevel: "debug" as const,
        enableMetrics: true,
        metricsInterval: 5,
        rateLimit: { maxRequestsPerMinute: 60, maxConcurrent: 2, onLimit: "fail" as const }
      }
      const settings = yield* read(SandboxConfig.layer({ ...options, apiKey: Redacted.make(KEY) }))
      expect({ ...settings, apiKey: Redacted.value(settings.apiKey) }).toEqual({ ...options, apiKey: KEY })
    }))

  it.effect.each([
    ["https://a.example.org/", "https://a.example.org"],
    ["https://a.example.org///", "https://a.example.org"],
    ["HTTP://LOCALHOST:3000", "http://localhost:3000"],
    ["https://a.example.org/sandbox/", "https://a.example.org/sandbox"],
    ["http://[::1]:3000/", "http://[::1]:3000"],
    ["https://a.example.org:443", "https://a.example.org"]
  ])("keeps %s as %s", ([serverUrl, kept]) =>
    Effect.gen(function*() {
      expect((yield* read(SandboxConfig.layer({ apiKey: KEY, serverUrl: serverUrl ?? "" }))).serverUrl).toBe(kept)
    }))

  it.effect.each<readonly [object, string, RegExp]>([
    [{ apiKey: undefined }, "apiKey", /apiKey is missing; pass the API key .* SANDBOX_API_KEY/],
    [{ apiKey: "" }, "apiKey", /apiKey is missing/],
    [{ apiKey: 5 }, "apiKey", /apiKey must be a string/],
    [{ apiKey: `${KEY}\n` }, "apiKey", /line break/],
    [{ apiKey: `${KEY} x` }, "apiKey", /space/],
    [{ apiKey: `${KEY}é` }, "apiKey", /a header cannot carry/],
    [{ serverUrl: undefined }, "serverUrl", /serverUrl is missing; pass the URL .* SANDBOX_SERVER_URL/],
    [{ serverUrl: "localhost:3000" }, "serverUrl", /must be an http:\/\/ or https:\/\/ URL/],
    [{ serverUrl: "ftp://example.org" }, "serverUrl", /must be an http:\/\/ or https:\/\/ URL/],
    [{ serverUrl: "http://" }, "serverUrl", /must be an http:\/\/ or https:\/\/ URL/],
    [{ serverUrl: KEY }, "serverUrl", /must be an http:\/\/ or https:\/\/ URL/],
    [{ serverUrl: 3000 }, "serverUrl", /but it is 3000/],
    [{ serverUrl: `https://me:${KEY}@example.org` }, "serverUrl", /must not hold a user name or a password/],
    [{ serverUrl: `https://example.org/?key=${KEY}` }, "serverUrl", /remove what begins with "\?"/],
    [{ timeout: 0 }, "timeout", /timeout must be a whole number of milliseconds from 1 to 2147483647, but it is 0\./],
    [{ timeout: Infinity }, "timeout", /but it is Infinity/],
    [{ maxRetries: -1 }, "maxRetries", /maxRetries must be a whole number from 0 to 1000, but it is -1\./],
    [{ retryDelay: "1s" }, "retryDelay", /but it is "1s"/],
    [{ enableLogging: "yes" }, "enableLogging", /enableLogging must be true or false, but it is "yes"/],
    [{ logLevel: "trace" }, "logLevel", /logLevel must be one of "debug", "info", "warn", "error", but it is "trace"/],
    [{ rateLimit: { maxConcurrent: 0 } }, "rateLimit.maxConcurrent", /from 1 to 1000000, but it is 0/],
    [{ rateLimit: { onLimit: "drop" } }, "rateLimit.onLimit", /one of "fail", "wait"/],
    [{ rateLimit: 5 }, "rateLimit", /rateLimit must be an object/],
    [{ maxRetrys: 5 }, "maxRetrys", /no property "maxRetrys"; it can have apiKey, serverUrl, timeout, maxRetries/]
  ])("refuses %j, and says what to do", ([options, field, message]) =>
    Effect.gen(function*() {
      const found = yield* refusal(read(SandboxConfig.layer(anything(options))))
      expect(found.field).toBe(field)
      expect(found.message).toMatch(message)
      expect(found.message).toMatch(/^SandboxConfig: /)
      expect(found.message).not.toContain("secret")
    }))

  it.effect("shows the key nowhere", () =>
    Effect.gen(function*() {
      const settings = yield* read(SandboxConfig.layer(required))
      expect(JSON.stringify(settings)).not.toContain(KEY)
      expect(Inspectable.toStringUnknown(settings)).not.toContain(KEY)
      expect(inspect(settings, { depth: 9, showHidden: true })).not.toContain(KEY)
      for (
        const broken of [{ apiKey: `${KEY}\n` }, { timeout: "x" }, { serverUrl: `http://${KEY}@h` }, {
          apiKey: { KEY }
        }]
      ) {
        const exit = yield* Effect.exit(read(SandboxConfig.layer(anything(broken))))
        expect(Exit.isFailure(exit)).toBe(true)
        expect(Exit.match(exit, { onFailure: Cause.pretty, onSuccess: () => "" })).not.toContain(KEY)
        expect(JSON.stringify(exit)).not.toContain(KEY)
      }
    }))

  it("gives settings or invalid_config, whatever it is given", () => {
    const keys = ["apiKey", "serverUrl", "timeout", "maxRetries", "logLevel", "rateLimit", "enableMetrics"]
    fc.assert(fc.property(fc.dictionary(fc.constantFrom(...keys), fc.anything()), (input) => {
      const exit = Effect.runSyncExit(SandboxConfig.make(anything(input)))
      if (Exit.isFailure(exit)) {
        expect(Cause.isFailType(exit.cause) && exit.cause.error.code).toBe("invalid_config")
      }
    }))
  })
})

describe("SandboxConfig.layerEnv", () => {
  it.effect("reads every variable", () =>
    Effect.gen(function*() {
      const settings = yield* readEnv({
        SANDBOX_API_KEY: KEY,
        SANDBOX_SERVER_URL: "https://a.example.org/",
        SANDBOX_TIMEOUT: "5000",
        SANDBOX_MAX_RETRIES: "0",
        SANDBOX_RETRY_DELAY: " 20 ",
        SANDBOX_ENABLE_LOGGING: "true",
        SANDBOX_LOG_LEVEL: "WARN",
        SANDBOX_ENABLE_METRICS: "1",
        SANDBOX_METRICS_INTERVAL: "100",
        SANDBOX_RATE_LIMIT_MAX_REQUESTS_PER_MINUTE: "60",
        SANDBOX_RATE_LIMIT_MAX_CONCURRENT: "4",
        SANDBOX_RATE_LIMIT_ON_LIMIT: "fail"
      })
      expect({ ...settings, apiKey: Redacted.value(settings.apiKey) }).toEqual({
        apiKey: KEY,
        serverUrl: "https://a.example.org",
        timeout: 5_000,
        maxRetries: 0,
        retryDelay: 20,
        enableLogging: true,
        logLevel: "warn",
        enableMetrics: true,
        metricsInterval: 100,
        rateLimit: { maxRequestsPerMinute: 60, maxConcurrent: 4, onLimit: "fail" }
      })
    }))

  it.effect("takes an empty variable for one that is not set", () =>
    Effect.gen(function*() {
      const settings = yield* readEnv({ SANDBOX_API_KEY: KEY, SANDBOX_SERVER_URL: "http://h", SANDBOX_TIMEOUT: "" })
      expect(settings.timeout).toBe(60_000)
      expect(settings.rateLimit).toBeUndefined()
    }))

  it.effect.each<readonly [Record<string, string>, string, RegExp]>([
    [{ SANDBOX_API_KEY: "" }, "apiKey", /SANDBOX_API_KEY is not set; set it to the API key/],
    [{ SANDBOX_API_KEY: `a ${KEY}` }, "apiKey", /SANDBOX_API_KEY holds a space/],
    [{ SANDBOX_SERVER_URL: "" }, "serverUrl", /SANDBOX_SERVER_URL is not set; set it to the URL/],
    [{ SANDBOX_SERVER_URL: KEY }, "serverUrl", /SANDBOX_SERVER_URL must be an http/],
    [{ SANDBOX_TIMEOUT: "soon" }, "timeout", /SANDBOX_TIMEOUT must be a whole number of milliseconds .* "soon"/],
    [{ SANDBOX_TIMEOUT: "-1" }, "timeout", /SANDBOX_TIMEOUT must be .* but it is -1/],
    [{ SANDBOX_ENABLE_METRICS: "maybe" }, "enableMetrics", /SANDBOX_ENABLE_METRICS must be true or false/],
    [{ SANDBOX_LOG_LEVEL: "loud" }, "logLevel", /SANDBOX_LOG_LEVEL must be one of/],
    [
      { SANDBOX_RATE_LIMIT_MAX_CONCURRENT: "x" },
      "rateLimit.maxConcurrent",
      /SANDBOX_RATE_LIMIT_MAX_CONCURRENT must be a whole number/
    ]
  ])(
    "refuses %j by the name of the variable and of the setting",
    ([variables, field, message]) =>
      Effect.gen(function*() {
        const found = yield* refusal(
          readEnv({ SANDBOX_API_KEY: KEY, SANDBOX_SERVER_URL: "http://h", ...variables })
        )
        expect(found.field).toBe(field)
        expect(found.message).toMatch(message)
        expect(found.message).toContain(field)
        expect(found.message).not.toContain("secret")
      })
  )

  it.live("reads a .env file", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(Path.join(tmpdir(), "sandbox-config-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true }))
      )
      const file = Path.join(folder, ".env")
      yield* Effect.promise(() =>
        writeFile(
          file,
          `# the server\nSANDBOX_API_KEY="${KEY}"\nSANDBOX_SERVER_URL=https://a.example.org/\n` +
            "SANDBOX_TIMEOUT=1234\nSANDBOX_LOG_LEVEL='debug'\nSANDBOX_METRICS_INTERVAL=\n"
        )
      )
      for (const dotEnv of [PlatformConfigProvider.layerDotEnv(file), PlatformConfigProvider.layerDotEnvAdd(file)]) {
        const settings = yield* Effect.provide(
          SandboxConfig,
          SandboxConfig.layerEnv.pipe(Layer.provide(dotEnv), Layer.provide(NodeFileSystem.layer))
        )
        expect(Redacted.value(settings.apiKey)).toBe(KEY)
        expect(settings.serverUrl).toBe("https://a.example.org")
        expect(settings.timeout).toBe(1_234)
        expect(settings.logLevel).toBe("debug")
        expect(settings.metricsInterval).toBe(30_000)
      }
    }).pipe(Effect.scoped))

  it.live("reads the environment of the process", () =>
    Effect.gen(function*() {
      vi.stubEnv("SANDBOX_API_KEY", KEY)
      vi.stubEnv("SANDBOX_SERVER_URL", "http://127.0.0.1:3000")
      const settings = yield* Effect.ensuring(read(SandboxConfig.layerEnv), Effect.sync(() => vi.unstubAllEnvs()))
      expect(settings.serverUrl).toBe("http://127.0.0.1:3000")
    }))
})

describe("SandboxConfig.layerConfig", () => {
  const provide = (variables: Record<string, string>) =>
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)))))

  it.effect("reads settings under names of the caller's choice", () =>
    Effect.gen(function*() {
      const settings = yield* read(
        SandboxConfig.layerConfig({
          apiKey: Config.redacted("MY_KEY"),
          serverUrl: Config.string("MY_URL"),
          timeout: Config.withDefault(Config.integer("MY_TIMEOUT"), undefined),
          rateLimit: { maxConcurrent: Config.integer("MY_LIMIT") }
        }).pipe(provide({ MY_KEY: KEY, MY_URL: "http://h/", MY_LIMIT: "2" }))
      )
      expect(Redacted.value(settings.apiKey)).toBe(KEY)
      expect(settings.serverUrl).toBe("http://h")
      expect(settings.timeout).toBe(60_000)
      expect(settings.rateLimit).toEqual({ maxConcurrent: 2 })
    }))

  it.effect("takes one Config for all", () =>
    Effect.gen(function*() {
      const settings = yield* read(
        SandboxConfig.layerConfig(
          Config.map(Config.redacted("MY_KEY"), (apiKey) => ({ apiKey, serverUrl: "http://h" }))
        )
          .pipe(provide({ MY_KEY: KEY }))
      )
      expect(Redacted.value(settings.apiKey)).toBe(KEY)
    }))

  it.effect("names the setting and the variable that cannot be read, and shows no secret", () =>
    Effect.gen(function*() {
      const layer = SandboxConfig.layerConfig({
        apiKey: Config.validate(Config.string("MY_KEY"), { message: KEY, validation: (key) => key.length < 5 }),
        serverUrl: Config.string("MY_URL"),
        rateLimit: { maxConcurrent: Config.integer("MY_LIMIT") }
      })
      const all = { MY_KEY: "abc", MY_URL: "http://h", MY_LIMIT: "2" }
      expect(yield* refusal(read(layer.pipe(provide({ ...all, MY_KEY: KEY }))))).toEqual({
        field: "apiKey",
        message: "SandboxConfig: apiKey could not be read: MY_KEY is malformed."
      })
      const noUrl = yield* refusal(read(layer.pipe(provide({ MY_KEY: "abc", MY_LIMIT: "2" }))))
      expect(noUrl).toEqual({
        field: "serverUrl",
        message: "SandboxConfig: serverUrl could not be read: MY_URL is not set."
      })
      const noNumber = yield* refusal(read(layer.pipe(provide({ ...all, MY_LIMIT: "two" }))))
      expect(noNumber.field).toBe("rateLimit.maxConcurrent")
      expect(noNumber.message).toMatch(/MY_LIMIT is malformed.*two/)
    }))
})
