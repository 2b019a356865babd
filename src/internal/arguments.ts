/**
 * Checks of arguments, the same in every layer: what is refused is refused with the same words, before anything is
 * done. Values arrive as `unknown` because callers in plain JavaScript pass anything.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { SandboxSDKError } from "../Errors.js"
import type { ErrorInfo, OutputMessage } from "../Execution.js"
import { RunCodeStreamOptions, RunTerminalStreamOptions, StartProcessOptions } from "../Options.js"
import { Signal } from "../Process.js"
import type { Result } from "../Result.js"
import { callback } from "./callbacks.js"
import { explain, invalidArgument, quote } from "./issue.js"

export { invalidArgument } from "./issue.js"
export { normalizeDirectory, normalizePath, WORKSPACE } from "./paths.js"

/**
 * Decodes an argument that has parts. Properties that the schema does not know are refused: they are misspelt, or are
 * meant for something else, and must not be ignored. `undefined` stands for an object without properties.
 *
 * `argument` is what the argument is called. The error's `field` is the path of the part at fault
 * (`resources.memoryMb`), or `argument` when it is the whole.
 */
export const decodeArguments = <A, I>(schema: Schema.Schema<A, I>, operation: string, argument = "options") => {
  const decode = ParseResult.decodeUnknownEither(schema, { onExcessProperty: "error" })
  return (input: unknown): Effect.Effect<A, SandboxSDKError> =>
    Either.mapLeft(decode(input === undefined ? {} : input), (issue) => {
      const { field, problem } = explain(issue, argument)
      return invalidArgument(operation, field, problem)
    })
}

const nonEmpty = (operation: string, field: string, value: unknown, what: string) =>
  typeof value === "string" && value.trim() !== ""
    ? Effect.succeed(value)
    : Effect.fail(invalidArgument(operation, field, `${field} must be ${what}, but it is ${quote(value)}.`))

/**
 * The id of a sandbox, a context or a template: a string that is not blank.
 */
export const requireId = (operation: string, value: unknown, field = "id"): Effect.Effect<string, SandboxSDKError> =>
  nonEmpty(operation, field, value, "a non-empty string")

/**
 * A shell command: a string that is not blank, without NUL (which no argument of a program can hold: execve(2)).
 */
export const requireCommand = (
  operation: string,
  value: unknown,
  field = "command"
): Effect.Effect<string, SandboxSDKError> =>
  Effect.filterOrFail(
    nonEmpty(operation, field, value, "a shell command"),
    (command) => !command.includes("\0"),
    () => invalidArgument(operation, field, `${field} holds a NUL character, which no command can.`)
  )

/**
 * Code: any string, the empty one included.
 */
export const requireCode = (
  operation: string,
  value: unknown,
  field = "code"
): Effect.Effect<string, SandboxSDKError> =>
  typeof value === "string"
    ? Effect.succeed(value)
    : Effect.fail(invalidArgument(operation, field, `${field} must be a string, but it is ${quote(value)}.`))

const decodeStartProcess = decodeArguments(StartProcessOptions, "startProcess")

/**
 * The options of `startProcess`, which have to say what is started.
 */
export const decodeProcess = (input: unknown): Effect.Effect<StartProcessOptions, SandboxSDKError> =>
  Effect.gen(function*() {
    const options = yield* decodeStartProcess(input)
    if (options.args === undefined) {
      yield* requireCommand("startProcess", options.command)
    } else if (options.command !== undefined) {
      return yield* invalidArgument(
        "startProcess",
        "args",
        "there are both a shell command and args, a program and its arguments: give one of them."
      )
    }
    return options
  })

const decodeSignal = decodeArguments(Schema.Struct({ signal: Signal }), "signalProcess")

/**
 * A signal by its name.
 */
export const requireSignal = (signal: unknown): Effect.Effect<Signal, SandboxSDKError> =>
  Effect.map(decodeSignal({ signal }), (decoded) => decoded.signal)

/**
 * What is to be written to an input, as bytes: a text in UTF-8.
 */
export const requireInput = (data: unknown): Effect.Effect<Uint8Array, SandboxSDKError> =>
  typeof data === "string"
    ? Effect.succeed(new TextEncoder().encode(data))
    : data instanceof Uint8Array
    ? Effect.succeed(data)
    : Effect.fail(invalidArgument("writeStdin", "data", `data must be a string or bytes, but it is ${quote(data)}.`))

const outputCallbacks = {
  onStdout: callback<OutputMessage>(),
  onStderr: callback<OutputMessage>()
}

const codeCallbacks = {
  ...outputCallbacks,
  onResult: callback<Result>(),
  onError: callback<ErrorInfo>()
}

// Made once: to make a schema, and what decodes by it, takes longer than all else of a short run.
const RunCodeInput = Schema.Struct({
  ...RunCodeStreamOptions.fields,
  ...codeCallbacks,
  captureOutput: Schema.optional(Schema.Boolean)
})
const RunTerminalInput = Schema.Struct({ ...RunTerminalStreamOptions.fields, ...outputCallbacks })

/**
 * The options of `runCode`: those of the stream, and what is done with its events.
 */
export const decodeRunCodeOptions = (operation: string, input: unknown) =>
  Effect.map(
    decodeArguments(RunCodeInput, operation)(input),
    ({ captureOutput, onError, onResult, onStderr, onStdout, ...stream }) => ({
      stream,
      collect: { captureOutput, onError, onResult, onStderr, onStdout }
    })
  )

/**
 * The options of `runTerminal`: those of the stream, and what is done with its events.
 */
export const decodeRunTerminalOptions = (operation: string, input: unknown) =>
  Effect.map(
    decodeArguments(RunTerminalInput, operation)(input),
    ({ onStderr, onStdout, ...stream }) => ({ stream, collect: { onStderr, onStdout } })
  )
