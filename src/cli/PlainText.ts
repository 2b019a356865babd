/**
 * Text without colours for what is not a terminal.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { stripVTControlCharacters } from "node:util"

const strip = (value: unknown): unknown => typeof value === "string" ? stripVTControlCharacters(value) : value

/**
 * Runs a program whose standard output gets colours only when it is a terminal and `NO_COLOR` (https://no-color.org) is
 * not set.
 */
export const unlessTerminal = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() =>
    process.stdout.isTTY && (process.env.NO_COLOR ?? "") === "" ?
      program :
      Console.consoleWith((console) =>
        Effect.withConsole(program, {
          ...console,
          log: (...values) => console.log(...values.map(strip)),
          error: (...values) => console.error(...values.map(strip))
        })
      )
  )
