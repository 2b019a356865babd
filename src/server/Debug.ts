/**
 * What is logged of requests for who looks for a fault. Nothing is made of it where that level is not printed, which is
 * nearly always and at every request.
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"

/**
 * Logs at the level of debug.
 */
export const debug = (message: string, about: () => Readonly<Record<string, unknown>>): Effect.Effect<void> =>
  Effect.flatMap(FiberRef.get(FiberRef.currentMinimumLogLevel), (least) =>
    LogLevel.greaterThan(least, LogLevel.Debug)
      ? Effect.void
      : Effect.annotateLogs(Effect.logDebug(message), about()))
