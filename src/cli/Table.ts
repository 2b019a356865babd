/**
 * Rows in columns.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Durations from "./Durations.js"
import * as Output from "./Output.js"
import { visible } from "./PlainText.js"

/** ECMA-48: SGR. */
const BOLD = "\u001b[1m"
const NORMAL = "\u001b[0m"

/**
 * Prints a table with a line of names above it.
 */
export const print = (
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<void> => {
  const cells = [names, ...rows].map((row) => row.map(visible))
  const widths = names.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)))
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
  const [head = "", ...rest] = lines
  return Output.line(
    "stdout",
    [Output.hasColours("stdout") ? `${BOLD}${head}${NORMAL}` : head, ...rest].join("\n")
  )
}

/**
 * Prints a value as JSON, in one piece.
 */
export const printJson = (value: unknown): Effect.Effect<void> => Output.line("stdout", JSON.stringify(value, null, 2))

/**
 * How far a time (in milliseconds since the epoch) is from now.
 */
export const distance = (time: number): Effect.Effect<string> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const ms = Math.abs(time - now)
    const words = ms < 1_000 ? "0 s" : Durations.show(ms)
    return time > now ? `in ${words}` : `${words} ago`
  })
