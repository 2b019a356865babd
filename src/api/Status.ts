/**
 * How errors travel over HTTP: the status code of each, and the schema of the answer.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import type { AnySandboxSDKError } from "../Errors.js"
import {
  ConnectionError,
  RateLimitError,
  RequestError,
  SandboxError,
  type SandboxErrorCode,
  SandboxSDKError,
  type SandboxSDKErrorCode,
  TimeoutError
} from "../Errors.js"

/**
 * The status code of a `SandboxError` (RFC 9110, 15; 422 and 507: RFC 4918, 11).
 *
 * @category errors
 */
export const sandboxErrorStatus = {
  not_found: 404,
  context_not_found: 404,
  template_not_found: 404,
  execution_not_found: 404,
  terminated: 410,
  stopped: 409,
  cancelled: 409,
  events_lost: 410,
  kernel_died: 422,
  out_of_memory: 422,
  disk_full: 507,
  quota_exceeded: 507,
  file_not_found: 404,
  file_exists: 409,
  not_a_file: 422,
  not_a_directory: 422,
  directory_not_empty: 409,
  permission_denied: 403,
  path_outside_workspace: 422,
  file_error: 422,
  port_unavailable: 502,
  template_unavailable: 422,
  language_unavailable: 422,
  build_failed: 422,
  build_not_found: 404,
  snapshot_not_found: 404,
  snapshot_failed: 503,
  isolation_unavailable: 501,
  start_failed: 503,
  stdin_closed: 409,
  not_a_terminal: 409,
  process_ended: 409,
  outcome_unknown: 500,
  protocol_violation: 422
} as const satisfies Record<SandboxErrorCode, number>

/**
 * The status code of a `SandboxSDKError`, unless HTTP itself has a more exact one (see {@link protocolStatuses}).
 *
 * @category errors
 */
export const sandboxSDKErrorStatus = {
  invalid_config: 500,
  invalid_argument: 400,
  unauthorized: 401,
  forbidden: 403,
  decode_error: 500,
  unsupported: 400,
  disconnected: 503,
  internal: 500
} as const satisfies Record<SandboxSDKErrorCode, number>

/**
 * What HTTP has a code of its own for; the body is a `SandboxSDKError` `invalid_argument`: 404 no such path, 405 no such
 * method here, 413 the body is too large, 414 the URL is too long, 415 the body is of another type, 431 the header fields
 * are too large (RFC 9110, 15.5; RFC 6585, 5).
 *
 * @category errors
 */
export const protocolStatuses = [404, 405, 408, 413, 414, 415, 431] as const

/**
 * The status code that an error is answered with.
 *
 * @category errors
 */
export const statusOf = (error: AnySandboxSDKError): number => {
  switch (error._tag) {
    case "SandboxSDKError":
      return sandboxSDKErrorStatus[error.code]
    case "SandboxError":
      return sandboxErrorStatus[error.code]
    case "TimeoutError":
      return 408
    case "RateLimitError":
      return 429
    case "ConnectionError":
      return 502
    case "ExecutionError":
      return 200
  }
}

/**
 * What each status means here.
 *
 * @category errors
 */
export const statusDescriptions: Readonly<Record<number, string>> = {
  400: "A part of the request is missing or malformed; `field` names it.",
  401: "The API key is missing or wrong.",
  403: "This is not allowed.",
  404: "There is no such sandbox, context, execution, template, file or path.",
  405: "The path does not have this method; `Allow` lists those that it has.",
  408: "A limit of time passed.",
  409: "The state of the sandbox, of an execution or of a file does not allow this.",
  410: "The sandbox is gone, or the events that were asked for are.",
  413: "The body is too large.",
  414: "The URL is too long.",
  415: "The body is not of the type that is expected.",
  422: "The sandbox cannot do this; `code` says why.",
  429: "Too many requests; `Retry-After` says in how many seconds to come back.",
  431: "The header fields are too large.",
  500: "The server failed.",
  501: "This host cannot isolate a sandbox.",
  502: "What this server stands before does not answer: another server, or a port of a sandbox.",
  503: "The server, or a sandbox, could not be started, or is being shut down.",
  507: "A limit of space was passed."
}

/** The codes of this status, where the error has codes. */
const codesOf = (status: number, table: Readonly<Record<string, number>>): ReadonlyArray<string> =>
  Object.entries(table).filter(([, own]) => own === status).map(([code]) => code)

const reference = (name: string) => ({ $ref: `#/components/schemas/sandbox-sdk~1${name}` })

const withCodes = (status: number, name: string, table: Readonly<Record<string, number>>) => ({
  type: "object",
  allOf: [reference(name), { properties: { code: { enum: codesOf(status, table) } } }]
})

/** An error at one of its statuses: only those that the table gives that status. */
const at = <A extends RequestError, I>(status: number, schema: Schema.Schema<A, I>, jsonSchema: object) =>
  schema.pipe(
    Schema.filter((error) => statusOf(error) === status, { jsonSchema }),
    Schema.annotations(HttpApiSchema.annotations({ status, description: statusDescriptions[status] ?? "An error." }))
  )

const sdkError = (status: number) =>
  at(status, SandboxSDKError, withCodes(status, "SandboxSDKError", sandboxSDKErrorStatus))

const sandboxError = (status: number) => at(status, SandboxError, withCodes(status, "SandboxError", sandboxErrorStatus))

/** What is answered with a status of HTTP itself. */
const protocol = (status: typeof protocolStatuses[number]) =>
  Schema.asSchema(SandboxSDKError).annotations(
    HttpApiSchema.annotations({ status, description: statusDescriptions[status] ?? "An error." })
  )

/**
 * Every error that a request can be answered with, each at its status.
 *
 * @category errors
 */
export const ApiError = Schema.Union(
  sdkError(400),
  sdkError(401),
  sdkError(403),
  sandboxError(403),
  sandboxError(404),
  at(408, TimeoutError, reference("TimeoutError")),
  sandboxError(409),
  sandboxError(410),
  sandboxError(422),
  at(429, RateLimitError, reference("RateLimitError")),
  sdkError(500),
  sandboxError(500),
  sandboxError(501),
  at(502, ConnectionError, reference("ConnectionError")),
  sandboxError(502),
  sdkError(503),
  sandboxError(503),
  sandboxError(507),
  // Only decoded: whatever is encoded has been by one of those above.
  protocol(404),
  protocol(405),
  protocol(408),
  protocol(413),
  protocol(414),
  protocol(415),
  protocol(431)
)

/**
 * The last record of a stream that failed after its first byte: there is no status code left to say it with.
 *
 * @category streams
 */
export const Failed = Schema.TaggedStruct("Failed", { error: RequestError }).annotations({ identifier: "Failed" })

/**
 * @category streams
 */
export type Failed = typeof Failed.Type
