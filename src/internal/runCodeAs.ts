/**
 * The main result of a run, decoded through a schema: the same for every layer, over its `runCode`.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { SandboxSDKError } from "../Errors.js"
import type { Execution } from "../Execution.js"
import type { Result } from "../Result.js"
import type { Service } from "../SandboxSDK.js"

const failure = (field: string, message: string): SandboxSDKError =>
  new SandboxSDKError({ code: "decode_error", field, message: `runCodeAs: ${message}` })

const parseJson = ParseResult.decodeUnknownEither(Schema.parseJson())

/** A Python or JavaScript string shows itself in quotes: what it holds may be the JSON that is meant. */
const unquote = (text: string): string => /^'[^'\\]*'$/.test(text) ? text.slice(1, -1) : text

const jsonOf = (result: Result): Either.Either<unknown, SandboxSDKError> => {
  if (result.json !== undefined) {
    return Either.right(result.json)
  }
  const text = result.text
  return text === undefined
    ? Either.left(failure("result", "the main result has neither json nor text."))
    : Either.mapLeft(
      Either.orElse(parseJson(text), () => parseJson(unquote(text))),
      () =>
        failure(
          "result",
          `the main result is no JSON: ${text.slice(0, 120)}. End the code in a value that shows itself as JSON ` +
            "(in Python a dict, list, str, int, float, bool or None, or json.dumps of it)."
        )
    )
}

const mainResult = (execution: Execution): Either.Either<Result, SandboxSDKError> =>
  Either.fromNullable(
    execution.results.find((result) => result.isMainResult),
    () => failure("result", "the code gave no main result. End it in an expression whose value is the result.")
  )

/**
 * Makes `runCodeAs` of a service from its `runCode`.
 */
export const makeRunCodeAs = (runCode: Service["runCode"]): Service["runCodeAs"] => (id, code, schema, options) =>
  Effect.gen(function*() {
    const { execution } = yield* runCode(id, code, options)
    const json = yield* Either.flatMap(mainResult(execution), jsonOf)
    return yield* Effect.mapError(Schema.decodeUnknown(schema, { errors: "first" })(json), (error) => {
      const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
      const path = issue === undefined || issue.path.length === 0 ? "result" : issue.path.map(String).join(".")
      return failure(path, `${path} of the main result does not fit: ${issue?.message ?? error.message}`)
    })
  }).pipe(Effect.withSpan("SandboxSDK.runCodeAs"))
