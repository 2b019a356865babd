/**
 * Errors in the words of E2B's three interfaces, so that its clients take each for the error of theirs that means the same:
 * `{ code, message }` of the control plane and the code interpreter, and the codes of the Connect protocol
 * (https://connectrpc.com/docs/protocol#error-codes).
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { statusOf } from "../../Api.js"
import { type RequestError, SandboxError, SandboxSDKError } from "../../Errors.js"
import { retryAfterSeconds } from "../Answer.js"

/** HTTP has a status for each code (https://connectrpc.com/docs/protocol#http-to-error-code). */
const connectStatus = {
  unknown: 500,
  invalid_argument: 400,
  deadline_exceeded: 504,
  not_found: 404,
  already_exists: 409,
  permission_denied: 403,
  resource_exhausted: 429,
  failed_precondition: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  unauthenticated: 401
} as const

/**
 * A code of the Connect protocol.
 */
export type ConnectCode = keyof typeof connectStatus

const sandboxCode = (code: SandboxError["code"]): ConnectCode => {
  switch (code) {
    case "not_found":
    case "terminated":
    case "stopped":
    case "start_failed":
      // Of these the client says that the sandbox is not running.
      return "unavailable"
    case "context_not_found":
    case "template_not_found":
    case "execution_not_found":
    case "file_not_found":
    case "process_ended":
      return "not_found"
    case "file_exists":
      return "already_exists"
    case "permission_denied":
    case "path_outside_workspace":
      return "permission_denied"
    case "disk_full":
    case "out_of_memory":
    case "quota_exceeded":
      return "resource_exhausted"
    case "not_a_file":
    case "not_a_directory":
    case "directory_not_empty":
    case "file_error":
    case "not_a_terminal":
    case "stdin_closed":
      return "invalid_argument"
    default:
      return "unknown"
  }
}

const sdkCode = (code: SandboxSDKError["code"]): ConnectCode => {
  switch (code) {
    case "invalid_argument":
      return "invalid_argument"
    case "unauthorized":
      return "unauthenticated"
    case "forbidden":
      return "permission_denied"
    case "unsupported":
      return "unimplemented"
    case "disconnected":
      return "unavailable"
    default:
      return "internal"
  }
}

/**
 * The code of the Connect protocol for an error.
 */
export const connectCode = (error: RequestError): ConnectCode => {
  switch (error._tag) {
    case "SandboxError":
      return sandboxCode(error.code)
    case "SandboxSDKError":
      return sdkCode(error.code)
    case "TimeoutError":
      return "deadline_exceeded"
    case "RateLimitError":
      return "resource_exhausted"
    case "ConnectionError":
      return "unavailable"
  }
}

/**
 * An error of the Connect protocol as JSON.
 */
export const connectError = (error: RequestError) => ({ code: connectCode(error), message: error.message })

/**
 * The answer of a call of the Connect protocol that failed.
 */
export const answerConnect = (error: RequestError): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(connectError(error), { status: connectStatus[connectCode(error)] })

/** What their clients are told by another status than ours. */
const plainStatus = (error: RequestError): number => {
  if (error._tag === "SandboxSDKError" && error.code === "unsupported") return 501
  return error._tag === "SandboxError" && (error.code === "not_a_file" || error.code === "not_a_directory")
    ? 400
    : statusOf(error)
}

/**
 * The answer of the control plane, of `/files` and of the code interpreter: `{ code, message }`.
 */
export const answerPlain = (error: RequestError, status = plainStatus(error)): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson({ code: status, message: error.message }, {
    status,
    headers: error._tag === "RateLimitError" ? { "retry-after": retryAfterSeconds(error.retryAfter) } : {}
  })

/**
 * That a feature of E2B is not there: `501`, with its name.
 */
export const unsupported = (feature: string): SandboxSDKError =>
  new SandboxSDKError({
    code: "unsupported",
    field: feature,
    message: `${feature}: this server speaks E2B's protocol, but does not have this feature.`
  })

/**
 * That a sandbox does not run, as E2B's gateway says it; by its status clients tell a sandbox that is gone from other
 * trouble.
 */
export const answerGone = (sandboxId: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson({ sandboxId, code: 502, message: "The sandbox was not found" }, { status: 502 })

/**
 * A malformed request.
 */
export const malformed = (field: string, problem: string): SandboxSDKError =>
  new SandboxSDKError({ code: "invalid_argument", field, message: `${field}: ${problem}` })

/**
 * Whether it is the sandbox itself that is not there.
 */
export const isGone = (error: RequestError): boolean =>
  error instanceof SandboxError && (error.code === "not_found" || error.code === "terminated")
