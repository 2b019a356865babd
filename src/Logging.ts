/**
 * Logging of the SDK: through Effect's `Logger`, at the level of the settings, as JSON lines, and silent unless the
 * settings say otherwise.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as EffectLogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import type { LogLevel } from "./SandboxConfig.js"

/**
 * What decides about logging. The settings of a `SandboxConfig` will do.
 *
 * @category models
 */
export interface LoggingOptions {
  /** Whether anything is logged; `false` by default. */
  readonly enableLogging?: boolean | undefined
  /** The least important messages that are logged; `"info"` by default. */
  readonly logLevel?: LogLevel | undefined
  /** What must not appear in a line, whoever wrote it there. */
  readonly apiKey?: Redacted.Redacted | undefined
}

/**
 * What a message is about.
 *
 * @category models
 */
export interface Subject {
  readonly sandboxId?: string | undefined
  readonly executionId?: string | undefined
  readonly contextId?: string | undefined
  readonly operation?: string | undefined
}

const levels = {
  debug: EffectLogLevel.Debug,
  info: EffectLogLevel.Info,
  warn: EffectLogLevel.Warning,
  error: EffectLogLevel.Error
} as const

/**
 * A level of the settings as one of Effect's.
 *
 * @category conversions
 */
export const toEffect = (level: LogLevel): EffectLogLevel.LogLevel => levels[level]

const names: Readonly<Record<string, string>> = { WARN: "warn", ERROR: "error", FATAL: "error", INFO: "info" }

/** Takes out a secret that is in a line all the same: in an error of somebody else's, perhaps. */
const scrubber = (apiKey: Redacted.Redacted | undefined): (line: string) => string => {
  const secret = apiKey === undefined ? "" : JSON.stringify(Redacted.value(apiKey)).slice(1, -1)
  return secret === "" ? (line) => line : (line) => line.replaceAll(secret, "<redacted>")
}

/** JSON leaves these as they are; a terminal that shows the log would obey some, and end lines at others. */
const escapeControls = (line: string): string =>
  line.replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/**
 * A logger that makes one line of JSON of each message: `timestamp`, `level` (`debug`, `info`, `warn`, `error`),
 * `message`, and where there are any `spans`, `cause` and the annotations, such as `sandboxId` and `executionId`. The API
 * key, if it is given here, is not in it.
 *
 * @category constructors
 */
export const make = (options: Pick<LoggingOptions, "apiKey"> = {}): Logger.Logger<unknown, string> => {
  const scrub = scrubber(options.apiKey)
  return Logger.map(Logger.structuredLogger, ({ annotations, cause, logLevel, message, spans, timestamp }) => {
    const record = {
      ...annotations,
      timestamp,
      level: names[logLevel] ?? "debug",
      message,
      ...(cause === undefined ? {} : { cause }),
      ...(Object.keys(spans).length === 0 ? {} : { spans })
    }
    // What cannot be written as JSON, such as a big integer deep inside, must not end who logs it.
    return escapeControls(scrub(Either.getOrElse(
      Either.try(() => Inspectable.stringifyCircular(record)),
      () =>
        JSON.stringify(Object.fromEntries(
          Object.entries(record).map(([name, value]) => [name, Inspectable.toStringUnknown(value)])
        ))
    )))
  })
}

/**
 * Sets up logging as the settings say, for whatever this layer is provided to: JSON lines on standard error from
 * `logLevel` upwards; or, without `enableLogging`, nothing at all. Provide it to the layer of the SDK, not to a program
 * with logs of its own, unless those are to be treated alike.
 *
 * @example
 * ```ts
 * import { Logging } from "sandbox-sdk"
 *
 * const logging = Logging.layer({ enableLogging: true, logLevel: "debug" })
 * ```
 *
 * @category layers
 */
export const layer = (options: LoggingOptions): Layer.Layer<never> =>
  options.enableLogging === true
    ? Layer.merge(
      Logger.replace(Logger.defaultLogger, Logger.withConsoleError(make(options))),
      Logger.minimumLogLevel(toEffect(options.logLevel ?? "info"))
    )
    : Layer.merge(Logger.remove(Logger.defaultLogger), Logger.minimumLogLevel(EffectLogLevel.None))

/**
 * Annotates what an effect logs with what it is about.
 *
 * @category combinators
 */
export const about = (subject: Subject) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.annotateLogs(
    effect,
    Object.fromEntries(Object.entries(subject).filter(([, value]) => value !== undefined))
  )

/**
 * Writes a message to the loggers of the caller.
 *
 * @category models
 */
export type Log = (level: LogLevel, message: string, subject?: Subject) => Effect.Effect<void>

/**
 * What the SDK logs with on a caller's fiber: the caller's own loggers get the message, when the settings want it
 * logged. Their minimum level does not hold it back: `logLevel` was asked for by name.
 *
 * @category constructors
 */
export const log = (options: LoggingOptions): Log => {
  const minimum = toEffect(options.logLevel ?? "info")
  return (level, message, subject = {}) =>
    options.enableLogging === true && EffectLogLevel.greaterThanEqual(toEffect(level), minimum)
      ? Effect.logWithLevel(toEffect(level), message).pipe(about(subject), Logger.withMinimumLogLevel(minimum))
      : Effect.void
}
