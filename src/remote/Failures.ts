/**
 * Everything that can go wrong between a client and its server, as one of the six errors. It is done here and nowhere
 * else.
 */
import type * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import { ConnectionError, isSandboxSDKError, type RequestError, SandboxSDKError, TimeoutError } from "../Errors.js"
import { explain } from "../internal/issue.js"

/**
 * The server that a client talks to.
 */
export interface Peer {
  /** Where it is, as the settings say. */
  readonly url: string
  /** How long one request may take, in milliseconds. */
  readonly timeout: number
}

/** What a request can fail with on its way. */
export type Trouble =
  | RequestError
  | HttpClientError.HttpClientError
  | HttpApiError.HttpApiDecodeError
  | ParseResult.ParseError

/** An error and what it was caused by, outermost first; of several attempts to connect, the first. */
const chain = (cause: unknown): ReadonlyArray<object> => {
  const found: Array<object> = []
  let next = cause
  while (Predicate.isObject(next) && found.length < 8 && !found.includes(next)) {
    found.push(next)
    next = Predicate.hasProperty(next, "errors") && Array.isArray(next.errors) && next.errors.length > 0
      ? next.errors[0]
      : Predicate.hasProperty(next, "cause")
      ? next.cause
      : undefined
  }
  return found
}

const text = (error: object, key: "code" | "message" | "syscall"): string | undefined =>
  Predicate.hasProperty(error, key) && typeof error[key] === "string" && error[key] !== "" ? error[key] : undefined

const first = (errors: ReadonlyArray<object>, key: "code" | "syscall"): string | undefined =>
  errors.map((error) => text(error, key)).find((value) => value !== undefined)

/** Names and addresses that lead nowhere, and certificates: nothing is sent before these are settled. */
const BEFORE_SENDING =
  /^(ECONNREFUSED|ConnectionRefused|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|ERR_TLS_.*|.*_CERT.*|CERT_.*|UNABLE_TO_VERIFY_LEAF_SIGNATURE|DEPTH_ZERO_SELF_SIGNED_CERT)$/

/** Runtimes without error codes say the same in words. */
const BEFORE_SENDING_IN_WORDS = /\b(tcp connect error|dns error|connection refused|failed to lookup address)\b/i

const hints: ReadonlyArray<readonly [RegExp, string]> = [
  [/REFUSED|Refused|connection refused/i, "Nothing listens there: is the server running?"],
  [/ENOTFOUND|EAI_AGAIN|dns error|lookup/, "There is no such host, or no way to look it up: check serverUrl."],
  [/CERT|TLS/, "Its certificate is not trusted here."],
  [
    /Failed to fetch|NetworkError|Load failed/,
    "The browser does not say more: is the server up, and does it allow this origin (CORS)?"
  ]
]

interface Diagnosis {
  readonly code: string | undefined
  readonly words: string
  /** Nothing of the request can have arrived. */
  readonly isUnsent: boolean
}

const diagnose = (cause: unknown): Diagnosis => {
  const errors = chain(cause)
  const code = first(errors, "code")
  const syscall = first(errors, "syscall")
  const words = errors.map((error) => text(error, "message")).filter((message) => message !== undefined).at(-1) ??
    (typeof cause === "string" ? cause : "for no known reason")
  return {
    code,
    words: code === undefined || words.includes(code) ? words : `${code}: ${words}`,
    isUnsent: syscall === "connect" || syscall === "getaddrinfo" ||
      (code !== undefined && BEFORE_SENDING.test(code)) || BEFORE_SENDING_IN_WORDS.test(words)
  }
}

const hint = (words: string): string => {
  const known = hints.find(([pattern]) => pattern.test(words))
  return known === undefined ? "" : ` ${known[1]}`
}

const sentence = (words: string): string => /[.!?]$/.test(words) ? words : `${words}.`

/**
 * The request could not be made, or was cut off before its answer began.
 */
const unanswered = (peer: Peer, cause: unknown): ConnectionError | TimeoutError => {
  const { code, isUnsent, words } = diagnose(cause)
  if (code === "UND_ERR_CONNECT_TIMEOUT") {
    const timeoutMs = Number(/timeout: (\d+)/.exec(words)?.[1] ?? peer.timeout)
    return new TimeoutError({
      operation: "connect",
      timeoutMs,
      message: `${peer.url} could not be reached within ${timeoutMs} ms.`
    })
  }
  return new ConnectionError({
    message: isUnsent
      ? `No connection to ${peer.url}: ${sentence(words)}${hint(words)}`
      : `The connection to ${peer.url} broke before the answer: ${sentence(words)}${hint(words)}`,
    url: peer.url,
    ...(isUnsent ? { sent: false } : {}),
    cause
  })
}

/**
 * The answer began and broke off.
 */
export const brokenAnswer = (peer: Peer, cause: unknown): ConnectionError =>
  new ConnectionError({
    message: `The connection to ${peer.url} broke in the middle of the answer: ${sentence(diagnose(cause).words)}`,
    url: peer.url,
    cause
  })

/**
 * An answer that is not what the protocol promises. `what` says what it was.
 */
export const undecodable = (peer: Peer, what: string): SandboxSDKError =>
  new SandboxSDKError({
    code: "decode_error",
    message: `${peer.url} ${what} Is it the URL of a sandbox server, of this version?`
  })

/**
 * A part of an answer that does not have its shape.
 */
export const misshapen = (peer: Peer, issue: ParseResult.ParseIssue, what: string): SandboxSDKError => {
  const { field, problem } = explain(issue, what)
  return new SandboxSDKError({
    code: "decode_error",
    field,
    message: `${peer.url} sent ${what === "record" ? "a record" : "an answer"} that does not fit: ${problem} ` +
      "Is it the URL of a sandbox server, of this version?"
  })
}

/**
 * An answer with a status that the protocol does not promise.
 */
export const unforeseen = (peer: Peer, { status }: { readonly status: number }): SandboxSDKError =>
  undecodable(peer, `answered with status ${status}, which this request cannot have.`)

const ofClient = (peer: Peer, error: HttpClientError.HttpClientError): RequestError => {
  if (error._tag === "ResponseError") {
    return error.cause === undefined
      ? unforeseen(peer, error.response)
      : brokenAnswer(peer, error.cause)
  }
  switch (error.reason) {
    case "Transport":
      return unanswered(peer, error.cause)
    case "InvalidUrl":
      return new SandboxSDKError({
        code: "invalid_config",
        field: "serverUrl",
        message: `No request can be made to ${peer.url}: with the path of the request it is no URL.`
      })
    case "Encode":
      return new SandboxSDKError({ code: "internal", message: "A request could not be written.", cause: error.cause })
  }
}

/**
 * The error that a caller sees. The cause of a `ConnectionError` is what the network said, never the request: that
 * carries the API key.
 */
export const fold = (peer: Peer) => (error: Trouble): RequestError => {
  if (isSandboxSDKError(error)) {
    return error
  }
  switch (error._tag) {
    case "RequestError":
    case "ResponseError":
      return ofClient(peer, error)
    case "ParseError":
      return misshapen(peer, error.issue, "answer")
    case "HttpApiDecodeError":
      return new SandboxSDKError({ code: "invalid_argument", message: error.message })
  }
}

/**
 * The request took too long.
 */
export const tooSlow = (peer: Peer): TimeoutError =>
  new TimeoutError({
    operation: "request",
    timeoutMs: peer.timeout,
    message: `${peer.url} did not answer within ${peer.timeout} ms (timeout).`
  })

/** Milliseconds from a `Retry-After`, where there was a sensible one. */
export const orAbsent = (milliseconds: Option.Option<number>): { readonly retryAfter?: number } =>
  Option.match(milliseconds, { onNone: () => ({}), onSome: (retryAfter) => ({ retryAfter }) })
