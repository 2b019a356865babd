/**
 * The six errors of the SDK. Each is a `Schema.TaggedError`: it has its class name as `_tag`, it encodes
 * and decodes, and it is a real `Error` with a stack. Each also satisfies `instanceof SandboxSDKError`,
 * in every entry point of the package, because membership goes by a brand and not by the prototype.
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Execution } from "./Execution.js"

/**
 * The brand that all six errors carry; `Symbol.for`, so that two copies of the package agree.
 *
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("sandbox-sdk/SandboxSDKError")

/**
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * Why a call was refused before, or apart from, any sandbox.
 *
 * - `invalid_config`: a setting is missing or malformed.
 * - `invalid_argument`: an argument is malformed; `field` names it.
 * - `unauthorized`, `forbidden`: the API key is missing, wrong, or not allowed to do this.
 * - `decode_error`: an answer does not have the shape that the protocol promises.
 * - `unsupported`: this layer, or this host, cannot do what was asked.
 * - `disconnected`: the instance that was called, or that ran this call, was closed by `disconnect()`.
 * - `internal`: a defect in the SDK itself.
 *
 * @category models
 */
export const SandboxSDKErrorCode = Schema.Literal(
  "invalid_config",
  "invalid_argument",
  "unauthorized",
  "forbidden",
  "decode_error",
  "unsupported",
  "disconnected",
  "internal"
)

/**
 * @category models
 */
export type SandboxSDKErrorCode = typeof SandboxSDKErrorCode.Type

/**
 * Why a sandbox could not do what it was asked.
 *
 * - `not_found`: no such sandbox (or it belongs to somebody else). `context_not_found`, `template_not_found` and
 *   `execution_not_found` say the same of a context, a template and an execution.
 * - `terminated`, `stopped`: it is gone, or not running.
 * - `cancelled`: the execution was stopped because somebody asked for that, or left it.
 * - `events_lost`: events of an execution that were asked for are no longer kept; the message says which are.
 * - `kernel_died`: the interpreter ended in the middle of a run; the next run gets a fresh one.
 * - `out_of_memory`, `disk_full`, `quota_exceeded`: a limit was passed.
 * - `file_not_found`, `file_exists`, `not_a_file`, `not_a_directory`, `directory_not_empty`, `permission_denied`,
 *   `path_outside_workspace`, `file_error`: the file system said no.
 * - `port_unavailable`: nothing listens at that port of it.
 * - `template_unavailable`, `language_unavailable`: the machine has no interpreter for it.
 * - `build_failed`: what a template installs could not be installed; the message has the end of the log.
 *   `build_not_found`: the template has nothing to build.
 * - `snapshot_not_found`: no such snapshot. `snapshot_failed`: the files of a sandbox could not be copied.
 * - `isolation_unavailable`: this host cannot give a guarantee that was asked for.
 * - `start_failed`: the sandbox did not come up.
 * - `stdin_closed`: the process has no standard input, or does not read it any more.
 * - `not_a_terminal`: the process has no terminal whose size could be set.
 * - `process_ended`: the process has ended already.
 * - `outcome_unknown`: a crash hides whether the request took effect.
 * - `protocol_violation`: what came out of the sandbox was not the protocol; the sandbox was ended.
 *
 * @category models
 */
export const SandboxErrorCode = Schema.Literal(
  "not_found",
  "context_not_found",
  "template_not_found",
  "execution_not_found",
  "terminated",
  "stopped",
  "cancelled",
  "events_lost",
  "kernel_died",
  "out_of_memory",
  "disk_full",
  "quota_exceeded",
  "file_not_found",
  "file_exists",
  "not_a_file",
  "not_a_directory",
  "directory_not_empty",
  "permission_denied",
  "path_outside_workspace",
  "file_error",
  "port_unavailable",
  "template_unavailable",
  "language_unavailable",
  "build_failed",
  "build_not_found",
  "snapshot_not_found",
  "snapshot_failed",
  "isolation_unavailable",
  "start_failed",
  "stdin_closed",
  "not_a_terminal",
  "process_ended",
  "outcome_unknown",
  "protocol_violation"
)

/**
 * @category models
 */
export type SandboxErrorCode = typeof SandboxErrorCode.Type

/**
 * The code that was run raised. `name` is the class that was raised (`ZeroDivisionError`), `value` its message (the
 * error's own `message` too, where it is not empty) and `traceback` the lines of the user's own code that led there; `execution` holds all output and results up to there.
 *
 * @category errors
 */
export class ExecutionError extends Schema.TaggedError<ExecutionError>("sandbox-sdk/ExecutionError")("ExecutionError", {
  message: Schema.String,
  name: Schema.String,
  value: Schema.String,
  traceback: Schema.String,
  execution: Schema.optional(Execution)
}) {
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }
}

/**
 * No connection to `url`, or it broke and could not be resumed. `execution` holds the output that had arrived.
 *
 * `sent` is `false` when nothing of the request had left, so that it cannot have had an effect. `status` is the HTTP
 * status where something on the way answered in place of the server (502, 503, 504), `retryAfter` the milliseconds
 * after which it wants to be asked again.
 *
 * @category errors
 */
export class ConnectionError
  extends Schema.TaggedError<ConnectionError>("sandbox-sdk/ConnectionError")("ConnectionError", {
    message: Schema.String,
    url: Schema.String,
    sent: Schema.optional(Schema.Boolean),
    status: Schema.optional(Schema.Finite),
    retryAfter: Schema.optional(Schema.Finite),
    execution: Schema.optional(Execution),
    cause: Schema.optional(Schema.Defect)
  })
{
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }
}

/**
 * A limit of time passed: `timeoutMs` milliseconds for `operation`. For `execution`, the code has really been stopped
 * by the time that this is seen: `execution` holds its output up to there, and `contextRestarted` says whether the
 * context lost its state (the interpreter had to be killed) or kept it (an interrupt sufficed).
 *
 * @category errors
 */
export class TimeoutError extends Schema.TaggedError<TimeoutError>("sandbox-sdk/TimeoutError")("TimeoutError", {
  message: Schema.String,
  timeoutMs: Schema.Finite,
  operation: Schema.Literal("connect", "request", "execution"),
  contextRestarted: Schema.optional(Schema.Boolean),
  execution: Schema.optional(Execution)
}) {
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }
}

/**
 * The sandbox cannot do it; `code` says why ({@link SandboxErrorCode}). `field` names the argument that is at fault,
 * where one is; `execution` holds the output of a run that ended by this.
 *
 * @category errors
 */
export class SandboxError extends Schema.TaggedError<SandboxError>("sandbox-sdk/SandboxError")("SandboxError", {
  message: Schema.String,
  code: SandboxErrorCode,
  sandboxId: Schema.optional(Schema.String),
  field: Schema.optional(Schema.String),
  execution: Schema.optional(Execution)
}) {
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }
}

/**
 * Too many requests: come back after `retryAfter` milliseconds. `limit` and `remaining` are the budget, where known.
 *
 * @category errors
 */
export class RateLimitError extends Schema.TaggedError<RateLimitError>("sandbox-sdk/RateLimitError")("RateLimitError", {
  message: Schema.String,
  retryAfter: Schema.Finite,
  limit: Schema.optional(Schema.Finite),
  remaining: Schema.optional(Schema.Finite)
}) {
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }
}

/**
 * Bad settings, bad arguments, a bad API key, or an answer that does not decode; `code` says which
 * ({@link SandboxSDKErrorCode}) and `field` names the argument or setting at fault.
 *
 * `error instanceof SandboxSDKError` holds for all six classes; `Effect.catchTag("SandboxSDKError", …)` and
 * `error._tag` tell this one apart.
 *
 * @category errors
 */
export class SandboxSDKError
  extends Schema.TaggedError<SandboxSDKError>("sandbox-sdk/SandboxSDKError")("SandboxSDKError", {
    message: Schema.String,
    code: SandboxSDKErrorCode,
    field: Schema.optional(Schema.String),
    cause: Schema.optional(Schema.Defect)
  })
{
  /** @ignore */
  get [TypeId](): TypeId {
    return TypeId
  }

  /** @ignore */
  static override [Symbol.hasInstance](u: unknown): u is AnySandboxSDKError {
    return isSandboxSDKError(u)
  }
}

/**
 * Any of the six.
 *
 * @category models
 */
export type AnySandboxSDKError =
  | SandboxSDKError
  | ExecutionError
  | ConnectionError
  | TimeoutError
  | SandboxError
  | RateLimitError

/**
 * What any call to a sandbox service can fail with, apart from the code that it runs.
 *
 * @category models
 */
export type RequestError = Exclude<AnySandboxSDKError, ExecutionError>

/**
 * All six as one schema.
 *
 * @category schemas
 */
export const AnySandboxSDKError = Schema.Union(
  ExecutionError,
  ConnectionError,
  TimeoutError,
  SandboxError,
  RateLimitError,
  SandboxSDKError
)

/**
 * The five that are about the call and not about the code that was run, as one schema.
 *
 * @category schemas
 */
export const RequestError = Schema.Union(ConnectionError, TimeoutError, SandboxError, RateLimitError, SandboxSDKError)

/**
 * Tells whether a value is one of the six, whichever entry point or copy of the package made it.
 *
 * @category guards
 */
export const isSandboxSDKError = (u: unknown): u is AnySandboxSDKError => Predicate.hasProperty(u, TypeId)
