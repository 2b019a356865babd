/**
 * The program's standard output and standard error: bytes, each piece waited for.
 */
import * as Effect from "effect/Effect"

/**
 * One of the two.
 */
export type Sink = "stdout" | "stderr"

/**
 * Whether a person looks at it.
 */
export const isTerminal = (sink: Sink): boolean => process[sink].isTTY

/**
 * Whether colours are wanted there: on a terminal, unless `NO_COLOR` (https://no-color.org) is set.
 */
export const hasColours = (sink: Sink): boolean => isTerminal(sink) && (process.env.NO_COLOR ?? "") === ""

/**
 * Writes a piece, and waits until the system has taken it: a slow reader slows down what is being run. Where nobody reads
 * any more it waits until the program, which is told so by itself, ends.
 */
export const write = (sink: Sink, data: string | Uint8Array): Effect.Effect<void> =>
  data.length === 0 ? Effect.void : Effect.async((resume) => {
    process[sink].write(data, (error) => {
      if (error === null || error === undefined) {
        resume(Effect.void)
      }
    })
  })

/**
 * Writes a line.
 */
export const line = (sink: Sink, text: string): Effect.Effect<void> => write(sink, `${text}\n`)

/**
 * Waits until all that was written is out, or cannot be written.
 */
export const flush = (done: () => void): void => {
  process.stdout.write("", () => process.stderr.write("", done))
}
