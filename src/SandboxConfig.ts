/**
 * The settings of a connection to a sandbox server: where it is, the key, and how patient and how talkative the SDK is.
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SandboxSDKError } from "./Errors.js"
import { explain, quote } from "./internal/issue.js"
import { Millis } from "./Options.js"
import { RateLimitOptions } from "./RateLimitOptions.js"

/**
 * The levels of logging, from the most to the least talkative.
 *
 * @category models
 */
export const LogLevel = Schema.Literal("debug", "info", "warn", "error")

/**
 * @category models
 */
export type LogLevel = typeof LogLevel.Type

/**
 * The settings as a caller gives them: the same plain object for `SandboxConfig.layer` and for the Promise facade.
 *
 * @category models
 */
export interface SandboxConfigOptions {
  /** The API key. Visible ASCII characters; it is kept redacted, and sent as a bearer token. */
  readonly apiKey: string | Redacted.Redacted
  /** Where the server is: an `http:` or `https:` URL. A path before `/api` is kept, a slash at the end is not. */
  readonly serverUrl: string
  /** Milliseconds for one request; 60000 by default. */
  readonly timeout?: number | undefined
  /** How often a request is repeated at most, 0 to 1000; 3 by default. */
  readonly maxRetries?: number | undefined
  /** Milliseconds before the first repetition, which grow from there; 1000 by default. */
  readonly retryDelay?: number | undefined
  /** Whether the SDK logs anything; `false` by default. */
  readonly enableLogging?: boolean | undefined
  /** The least important messages that are logged; `"info"` by default. */
  readonly logLevel?: LogLevel | undefined
  /** Whether metrics are reported; `false` by default. They are counted in any case. */
  readonly enableMetrics?: boolean | undefined
  /** Milliseconds between two reports of the metrics; 30000 by default. */
  readonly metricsInterval?: number | undefined
  /** What this client allows itself; no limit by default. */
  readonly rateLimit?: RateLimitOptions | undefined
}

/**
 * The settings as the SDK uses them: checked, and with every default filled in. `serverUrl` has no slash at its end.
 *
 * @category models
 */
export interface SandboxSettings {
  readonly apiKey: Redacted.Redacted
  readonly serverUrl: string
  readonly timeout: number
  readonly maxRetries: number
  readonly retryDelay: number
  readonly enableLogging: boolean
  readonly logLevel: LogLevel
  readonly enableMetrics: boolean
  readonly metricsInterval: number
  readonly rateLimit: RateLimitOptions | undefined
}

const flag = Schema.optional(Schema.Boolean.annotations({ description: "true or false" }))

/** `apiKey` and `serverUrl` are checked by hand: what is wrong with them must be said without quoting them. */
const Options = Schema.Struct({
  apiKey: Schema.optional(Schema.Unknown),
  serverUrl: Schema.optional(Schema.Unknown),
  timeout: Schema.optional(Millis),
  maxRetries: Schema.optional(
    Schema.Int.pipe(Schema.between(0, 1_000, { description: "a whole number from 0 to 1000" }))
  ),
  retryDelay: Schema.optional(Millis),
  enableLogging: flag,
  logLevel: Schema.optional(LogLevel),
  enableMetrics: flag,
  metricsInterval: Schema.optional(Millis),
  rateLimit: Schema.optional(RateLimitOptions)
}).annotations({ description: "an object" })

/** The environment variable of each setting. */
const variables: Readonly<Record<string, string>> = {
  apiKey: "SANDBOX_API_KEY",
  serverUrl: "SANDBOX_SERVER_URL",
  timeout: "SANDBOX_TIMEOUT",
  maxRetries: "SANDBOX_MAX_RETRIES",
  retryDelay: "SANDBOX_RETRY_DELAY",
  enableLogging: "SANDBOX_ENABLE_LOGGING",
  logLevel: "SANDBOX_LOG_LEVEL",
  enableMetrics: "SANDBOX_ENABLE_METRICS",
  metricsInterval: "SANDBOX_METRICS_INTERVAL",
  "rateLimit.maxRequestsPerMinute": "SANDBOX_RATE_LIMIT_MAX_REQUESTS_PER_MINUTE",
  "rateLimit.maxConcurrent": "SANDBOX_RATE_LIMIT_MAX_CONCURRENT",
  "rateLimit.onLimit": "SANDBOX_RATE_LIMIT_ON_LIMIT"
}

/** Where the settings came from, which decides what a message calls them. */
type Source = "options" | "environment"

const invalid = (source: Source, field: string, problem: string): SandboxSDKError => {
  const variable = source === "environment" ? variables[field] : undefined
  const named = variable === undefined
    ? problem
    : problem.startsWith(field)
    ? `${variable}${problem.slice(field.length)}`
    : `${variable}: ${problem}`
  const setting = variable === undefined ? "" : ` (It is the setting ${field}.)`
  return new SandboxSDKError({ code: "invalid_config", field, message: `SandboxConfig: ${named}${setting}` })
}

const missing = (source: Source, field: "apiKey" | "serverUrl", example: string): SandboxSDKError =>
  invalid(
    source,
    field,
    source === "environment"
      ? `${field} is not set; set it to ${example}.`
      : `${field} is missing; pass ${example}, or set ${variables[field]} and use SandboxConfig.layerEnv.`
  )

const decodeApiKey = (source: Source, value: unknown): Either.Either<Redacted.Redacted, SandboxSDKError> => {
  const key = Redacted.isRedacted(value) ? Redacted.value(value) : value
  if (key === undefined || key === null || key === "") {
    return Either.left(missing(source, "apiKey", "the API key of your server"))
  }
  if (typeof key !== "string") {
    return Either.left(invalid(source, "apiKey", "apiKey must be a string or a Redacted string."))
  }
  // RFC 9110, 5.5: what a header field can carry; a space would end the token (RFC 6750, 2.1).
  return /^[\x21-\x7e]+$/.test(key)
    ? Either.right(Redacted.make(key))
    : Either.left(invalid(
      source,
      "apiKey",
      "apiKey holds a space, a line break or another character that a header cannot carry; remove it. " +
        "A key that was read from a file often has a line break at its end."
    ))
}

const EXAMPLE_URL = "the URL of your server, such as \"https://sandbox.example.org\""

const decodeServerUrl = (source: Source, value: unknown): Either.Either<string, SandboxSDKError> => {
  if (value === undefined || value === null || value === "") {
    return Either.left(missing(source, "serverUrl", EXAMPLE_URL))
  }
  const refuse = (problem: string) => Either.left(invalid(source, "serverUrl", `serverUrl ${problem}`))
  const malformed = `must be an http:// or https:// URL, such as "https://sandbox.example.org"`
  if (typeof value !== "string") {
    return refuse(`${malformed}, but it is ${quote(value)}.`)
  }
  if (!/^https?:\/\//i.test(value.trim()) || !URL.canParse(value)) {
    return refuse(`${malformed}; write the scheme, the host and, where it is not the usual one, the port.`)
  }
  const url = new URL(value)
  if (url.username !== "" || url.password !== "") {
    return refuse("must not hold a user name or a password; remove them: the API key is what logs in.")
  }
  if (url.search !== "" || url.hash !== "") {
    return refuse("must end with the host or a path; remove what begins with \"?\" or \"#\".")
  }
  return Either.right(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
}

const decodeOptions = ParseResult.decodeUnknownEither(Options, { onExcessProperty: "error" })

const decode = (source: Source, input: unknown): Either.Either<SandboxSettings, SandboxSDKError> =>
  Either.gen(function*() {
    const options = yield* Either.mapLeft(decodeOptions(input ?? {}), (issue) => {
      const { field, problem } = explain(issue, "options")
      return invalid(source, field, problem)
    })
    return {
      apiKey: yield* decodeApiKey(source, options.apiKey),
      serverUrl: yield* decodeServerUrl(source, options.serverUrl),
      timeout: options.timeout ?? 60_000,
      maxRetries: options.maxRetries ?? 3,
      retryDelay: options.retryDelay ?? 1_000,
      enableLogging: options.enableLogging ?? false,
      logLevel: options.logLevel ?? "info",
      enableMetrics: options.enableMetrics ?? false,
      metricsInterval: options.metricsInterval ?? 30_000,
      rateLimit: options.rateLimit
    }
  })

/** The first thing that went wrong. A malformed value is quoted only where it cannot be a secret. */
const describe = (error: ConfigError.ConfigError, isSecret: boolean): string => {
  switch (error._op) {
    case "And":
    case "Or":
      return describe(error.left, isSecret)
    case "MissingData":
      return `${error.path.join(".")} is not set.`
    case "InvalidData":
      return `${error.path.join(".")} is malformed.${isSecret ? "" : ` ${error.message}`}`
    case "SourceUnavailable":
    case "Unsupported":
      return `${error.path.join(".")} could not be read.`
  }
}

const unreadable = (source: Source, field: string, error: ConfigError.ConfigError): SandboxSDKError =>
  invalid(source, field, `${field} could not be read: ${describe(error, /^(apiKey|serverUrl|options)$/.test(field))}`)

/** Reads each setting once by itself, to know which one it is that cannot be read. */
const readEach = (wrapped: unknown, field: string): Effect.Effect<void, SandboxSDKError> =>
  Config.isConfig(wrapped)
    ? Effect.asVoid(Effect.mapError(wrapped, (error) => unreadable("options", field, error)))
    : Predicate.isRecord(wrapped)
    ? Effect.forEach(
      Object.entries(wrapped),
      ([name, inner]) => readEach(inner, field === "options" ? name : `${field}.${name}`),
      { discard: true }
    )
    : Effect.void

/** A variable that is set to nothing, as `NAME=` in a `.env` file, counts as not set. */
const readVariable = (field: string): Effect.Effect<string | undefined, SandboxSDKError> =>
  Config.string(variables[field]).pipe(
    Config.option,
    Effect.mapBoth({
      onFailure: (error) => unreadable("environment", field, error),
      onSuccess: (value) => Option.getOrUndefined(Option.filter(Option.map(value, (text) => text.trim()), Boolean))
    })
  )

/** What is no number stays as it is, for the message about it to quote. */
const readNumber = (field: string) =>
  Effect.map(
    readVariable(field),
    (text) => text !== undefined && /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  )

const booleans: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false
}

const readBoolean = (field: string) =>
  Effect.map(readVariable(field), (text) => text === undefined ? undefined : booleans[text.toLowerCase()] ?? text)

const readWord = (field: string) => Effect.map(readVariable(field), (text) => text?.toLowerCase())

const readEnvironment = Effect.gen(function*() {
  const rateLimit = yield* Effect.all({
    maxRequestsPerMinute: readNumber("rateLimit.maxRequestsPerMinute"),
    maxConcurrent: readNumber("rateLimit.maxConcurrent"),
    onLimit: readWord("rateLimit.onLimit")
  })
  return yield* decode("environment", {
    ...yield* Effect.all({
      // Redacted from the start: nothing that fails on the way may show it.
      apiKey: Effect.map(readVariable("apiKey"), (key) => key === undefined ? undefined : Redacted.make(key)),
      serverUrl: readVariable("serverUrl"),
      timeout: readNumber("timeout"),
      maxRetries: readNumber("maxRetries"),
      retryDelay: readNumber("retryDelay"),
      enableLogging: readBoolean("enableLogging"),
      logLevel: readWord("logLevel"),
      enableMetrics: readBoolean("enableMetrics"),
      metricsInterval: readNumber("metricsInterval")
    }),
    rateLimit: Object.values(rateLimit).some((value) => value !== undefined) ? rateLimit : undefined
  })
})

/**
 * The settings, as a service. A remote layer of the SDK takes them from here.
 *
 * @example
 * ```ts
 * import { SandboxConfig } from "sandbox-sdk"
 *
 * const fromCode = SandboxConfig.layer({ apiKey: "my-key", serverUrl: "https://sandbox.example.org" })
 * const fromEnvironment = SandboxConfig.layerEnv
 * ```
 *
 * @category tags
 */
export class SandboxConfig extends Context.Tag("sandbox-sdk/SandboxConfig")<SandboxConfig, SandboxSettings>() {
  /**
   * Checks settings and fills in the defaults.
   *
   * Fails with `SandboxSDKError` `invalid_config`: `field` is the setting, the message says what it must be. Neither
   * shows the API key or the URL.
   */
  static readonly make = (options: SandboxConfigOptions): Effect.Effect<SandboxSettings, SandboxSDKError> =>
    Effect.suspend(() => decode("options", options))

  /**
   * The settings given here. Fails as {@link SandboxConfig.make} does.
   */
  static readonly layer = (options: SandboxConfigOptions): Layer.Layer<SandboxConfig, SandboxSDKError> =>
    Layer.effect(SandboxConfig, SandboxConfig.make(options))

  /**
   * The settings as `Config`s, each read from the current `ConfigProvider` under the name of your choice.
   *
   * Fails as {@link SandboxConfig.make} does, also when one of them is not set or cannot be read.
   *
   * @example
   * ```ts
   * import { Config } from "effect"
   * import { SandboxConfig } from "sandbox-sdk"
   *
   * const layer = SandboxConfig.layerConfig({
   *   apiKey: Config.redacted("MY_KEY"),
   *   serverUrl: Config.string("MY_URL")
   * })
   * ```
   */
  static readonly layerConfig = (
    wrapped: Config.Config.Wrap<SandboxConfigOptions>
  ): Layer.Layer<SandboxConfig, SandboxSDKError> =>
    Layer.effect(
      SandboxConfig,
      Effect.gen(function*() {
        yield* readEach(wrapped, "options")
        const options = yield* Effect.mapError(
          Config.unwrap(wrapped),
          (error) => unreadable("options", "options", error)
        )
        return yield* SandboxConfig.make(options)
      })
    )

  /**
   * The settings from the environment, by way of the current `ConfigProvider`: `SANDBOX_API_KEY` and
   * `SANDBOX_SERVER_URL`, and where wanted `SANDBOX_TIMEOUT`, `SANDBOX_MAX_RETRIES`, `SANDBOX_RETRY_DELAY`,
   * `SANDBOX_ENABLE_LOGGING`, `SANDBOX_LOG_LEVEL`, `SANDBOX_ENABLE_METRICS`, `SANDBOX_METRICS_INTERVAL`,
   * `SANDBOX_RATE_LIMIT_MAX_REQUESTS_PER_MINUTE`, `SANDBOX_RATE_LIMIT_MAX_CONCURRENT` and
   * `SANDBOX_RATE_LIMIT_ON_LIMIT`. An empty one counts as not set.
   *
   * For a `.env` file, provide `PlatformConfigProvider.layerDotEnvAdd(".env")` of `@effect/platform` to it.
   *
   * Fails as {@link SandboxConfig.make} does; the message names the variable.
   */
  static readonly layerEnv: Layer.Layer<SandboxConfig, SandboxSDKError> = Layer.effect(SandboxConfig, readEnvironment)
}
