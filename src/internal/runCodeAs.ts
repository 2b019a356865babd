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

/** JavaScript shows a string in quotes; Python has its `json` beside it. */
const quoted = /^'([^'\\]*)'$/

/**
 * What the result may stand for, the likeliest first: its JSON; of a string also the JSON that it holds.
 */
const candidates = (result: Result): Either.Either<ReadonlyArray<unknown>, SandboxSDKError> => {
  const text = result.text
  const json = result.json ?? (text === undefined ? undefined : quoted.exec(text)?.[1])
  if (json !== undefined) {
    return Either.right([json, ...(typeof json === "string" ? Either.match(parseJson(json), one) : [])])
  }
  return text === undefined
    ? Either.left(failure("result", "the main result has neither json nor text."))
    : Either.mapBoth(parseJson(text), {
      onRight: (value) => [value],
      onLeft: () =>
        failure(
          "result",
          `the main result is no JSON: ${
            text.slice(0, 120)
          }. End the code in plain data (in Python dicts with text as ` +
            "keys, lists, tuples, text, numbers, booleans), or in json.dumps(…) or JSON.stringify(…) of it."
        )
    })
}

const one = { onLeft: () => [], onRight: (value: unknown) => [value] }

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
    const values = yield* Either.flatMap(mainResult(execution), candidates)
    const decode = Schema.decodeUnknown(schema, { errors: "first" })
    return yield* Effect.mapError(Effect.firstSuccessOf(values.map((value) => decode(value))), (error) => {
      const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
      const path = issue === undefined || issue.path.length === 0 ? "result" : issue.path.map(String).join(".")
      return failure(path, `${path} of the main result does not fit: ${issue?.message ?? error.message}`)
    })
  }).pipe(Effect.withSpan("SandboxSDK.runCodeAs"))
