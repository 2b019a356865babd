/**
 * Text without colours for what is not a terminal, and without tricks for what is one.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { stripVTControlCharacters } from "node:util"
import { hasColours } from "./Output.js"

const strip = (value: unknown): unknown => typeof value === "string" ? stripVTControlCharacters(value) : value

/**
 * Runs a program whose console has colours only where they are wanted.
 */
export const unlessTerminal = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) => {
    const log = hasColours("stdout")
      ? console.log
      : (...values: ReadonlyArray<unknown>) => console.log(...values.map(strip))
    const error = hasColours("stderr")
      ? console.error
      : (...values: ReadonlyArray<unknown>) => console.error(...values.map(strip))
    return Effect.withConsole(program, { ...console, log, error })
  })

/**
 * A message of more than one line in which others may have a say: its lines stay, all else that a terminal would obey does
 * not.
 */
export const message = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\ufffd")

/**
 * Text that others chose (a name, a path), in one line and without control characters, which a terminal would obey.
 */
export const visible = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\ufffd")
