/**
 * Runs code with its output on the program's own, as it is written.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { ErrorInfo, ExecutionEvent } from "../Execution.js"
import * as Output from "./Output.js"

/**
 * How a run ended.
 */
export interface Played {
  /** The text of the value of the last expression. */
  readonly text: Option.Option<string>
  readonly error: Option.Option<ErrorInfo>
  /** Of bash. */
  readonly exitCode: number
  /** Whether the last byte of output, if there was one, was the end of a line. */
  readonly endsLine: boolean
}

const NEWLINE = 10

const bytesOf = (event: { readonly text: string; readonly base64?: string | undefined }): Uint8Array =>
  event.base64 === undefined
    ? Buffer.from(event.text, "utf8")
    : Either.getOrElse(Encoding.decodeBase64(event.base64), () => Buffer.from(event.text, "utf8"))

/**
 * Runs to the end. The code waits while nobody takes its output.
 */
export const play = (events: Stream.Stream<ExecutionEvent, RequestError>): Effect.Effect<Played, RequestError> =>
  Effect.suspend(() => {
    let text = Option.none<string>()
    let error = Option.none<ErrorInfo>()
    let exitCode = 0
    let endsLine = true
    const put = (sink: Output.Sink, event: Parameters<typeof bytesOf>[0]) => {
      const bytes = bytesOf(event)
      endsLine = bytes.at(-1) === NEWLINE
      return Output.write(sink, bytes)
    }
    return Effect.map(
      Stream.runForEach(events, (event) => {
        switch (event._tag) {
          case "Stdout":
            return put("stdout", event)
          case "Stderr":
            return put("stderr", event)
          case "Result":
            if (event.result.isMainResult) {
              text = Option.fromNullable(event.result.text)
            }
            return Effect.void
          case "Error":
            error = Option.some(event.error)
            return Effect.void
          case "Ended":
            exitCode = event.exitCode ?? 0
            return Effect.void
          default:
            return Effect.void
        }
      }),
      () => ({ text, error, exitCode, endsLine })
    )
  })

/**
 * The status of a run that asked to end the program (`sys.exit(3)`, `process.exit(3)`), and what it wants to be said.
 */
export const exitOf = (error: ErrorInfo): Option.Option<{ readonly status: number; readonly message: string }> => {
  const status = (text: string) => {
    const number = text === "" || text === "None" || text === "undefined" ? 0 : Number(text)
    // What exit(3) does with a number.
    return Number.isInteger(number) ? { status: number & 0xff, message: "" } : { status: 1, message: text }
  }
  switch (error.name) {
    case "SystemExit":
      return Option.some(status(error.value))
    case "ProcessExit":
      return Option.map(
        Option.fromNullable(/^process\.exit\((.*?)\) was called/.exec(error.value)),
        ([, code = ""]) => status(code)
      )
    default:
      return Option.none()
  }
}

/**
 * The exit status that a run deserves, its traceback or last words on standard error.
 */
export const conclude = (played: Played): Effect.Effect<number> =>
  Option.match(played.error, {
    onNone: () => Effect.succeed(played.exitCode),
    onSome: (error) =>
      Option.match(exitOf(error), {
        onSome: ({ message, status }) =>
          Effect.as(message === "" ? Effect.void : Output.line("stderr", message), status),
        onNone: () => {
          const traceback = error.traceback.trim() === "" ? `${error.name}: ${error.value}` : error.traceback
          return Effect.as(Output.line("stderr", traceback.trimEnd()), 1)
        }
      })
  })
