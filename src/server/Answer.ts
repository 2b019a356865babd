/**
 * How errors are answered: always with a status code, and with the encoded error as JSON.
 */
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { statusOf } from "../Api.js"
import { encodeError } from "../api/Encode.js"
import { RequestError, SandboxSDKError } from "../Errors.js"
import { Problem } from "./Problem.js"

export { encodeError } from "../api/Encode.js"

const isRequestError = Schema.is(RequestError)

/** Whole seconds, rounded up: whoever waits that long does not come too early (RFC 9110, 10.2.3). */
export const retryAfterSeconds = (milliseconds: number): string => String(Math.max(1, Math.ceil(milliseconds / 1_000)))

const retryHeaders = (error: RequestError): Readonly<Record<string, string>> =>
  error._tag === "RateLimitError"
    ? {
      "retry-after": retryAfterSeconds(error.retryAfter),
      ...(error.limit === undefined ? {} : { "x-ratelimit-limit": String(error.limit) }),
      ...(error.remaining === undefined ? {} : { "x-ratelimit-remaining": String(error.remaining) })
    }
    : {}

/**
 * The answer to an error.
 */
export const answerError = (error: RequestError, status = statusOf(error)): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(encodeError(error), {
    status,
    headers: {
      "cache-control": "no-store",
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...retryHeaders(error)
    }
  })

/**
 * The answer to a problem.
 */
export const answerProblem = (problem: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(answerError(problem.error, problem.status), problem.headers ?? {})

/** Objects whose values are the caller's data, perhaps secret. */
const SECRET = new Set(["envVars", "initialEnvVars", "defaultEnvVars", "metadata", "credentials"])

const LONGEST = 300

const shorten = (text: string): string => text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}…`

/** What does not fit, in a sentence. What it is instead is left out where it may be a secret. */
const explain = ({ issues }: HttpApiDecodeError): SandboxSDKError => {
  const issue = issues.reduce<HttpApiDecodeError["issues"][number] | undefined>(
    (deepest, one) => deepest === undefined || one.path.length > deepest.path.length ? one : deepest,
    undefined
  )
  const field = issue === undefined || issue.path.length === 0 ? "body" : issue.path.map(String).join(".")
  const isSecret = issue?.path.some((key) => typeof key === "string" && SECRET.has(key)) === true
  const message = issue?.message ?? "it is malformed"
  return new SandboxSDKError({
    code: "invalid_argument",
    field: shorten(field),
    message: shorten(`${shorten(field)}: ${isSecret ? message.replace(/, actual [\s\S]*$/, "") : message}`)
  })
}

const internal = new SandboxSDKError({
  code: "internal",
  message: "The server failed at this request; its log says why."
})

/**
 * What a failure is answered with; and whether it is one that nobody expected.
 */
export const answerCause = (
  cause: Cause.Cause<unknown>
): { readonly response: HttpServerResponse.HttpServerResponse; readonly unexpected: boolean } => {
  const expected = (response: HttpServerResponse.HttpServerResponse) => ({ response, unexpected: false })
  const failure = Option.getOrElse(
    Option.orElse(Cause.failureOption(cause), () => Cause.dieOption(cause)),
    (): unknown => undefined
  )
  if (failure instanceof Problem) {
    return expected(answerProblem(failure))
  }
  if (failure instanceof HttpApiDecodeError) {
    return expected(answerError(explain(failure)))
  }
  if (failure instanceof HttpServerError.RequestError) {
    return expected(
      answerError(new SandboxSDKError({ code: "invalid_argument", message: "The request is malformed." }))
    )
  }
  if (isRequestError(failure) && Option.isSome(Cause.failureOption(cause))) {
    return expected(answerError(failure))
  }
  return { response: answerError(internal), unexpected: true }
}

/**
 * The error for a failure, where there is no answer left to give it a status.
 */
export const errorOf = (cause: Cause.Cause<RequestError>): RequestError =>
  Option.getOrElse(Cause.failureOption(cause), () => internal)
