/**
 * The program's standard input, as bytes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CliError, Status } from "./CliError.js"

/**
 * How standard input is named among the arguments. A lone `-` never reaches the parser of the arguments, which takes it
 * for an option.
 */
export const STANDARD = "/dev/stdin"

/**
 * What is left of it, in pieces, each read when it is wanted.
 */
export const stream: Stream.Stream<Uint8Array, CliError> = Stream.suspend(() => {
  process.stdin.resume()
  const pieces: AsyncIterable<Uint8Array> = process.stdin
  return Stream.fromAsyncIterable(pieces, (error) =>
    new CliError({
      message: `Cannot read standard input: ${error instanceof Error ? error.message : String(error)}.`,
      status: Status.noInput
    }))
})

/**
 * All of it.
 */
export const all: Effect.Effect<Uint8Array, CliError> = Effect.map(
  Stream.runCollect(stream),
  (pieces) => Buffer.concat([...pieces])
)
