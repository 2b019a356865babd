/**
 * How a command says that it could not do its work.
 */
import * as Data from "effect/Data"
import type { AnySandboxSDKError } from "../Errors.js"

/**
 * Exit statuses, those of sysexits(3) where it has one.
 */
export const Status = {
  failed: 1,
  /** A mistake in the arguments. */
  usage: 64,
  /** A file that cannot be read, on this machine or in the sandbox. */
  noInput: 66,
  /** No server, no isolation, or no interpreter. */
  unavailable: 69,
  /** The sandbox failed, in any other way. */
  software: 70,
  /** A file that cannot be written. */
  cannotCreate: 73,
  /** Too many requests, or no answer in time: later it may work. */
  temporary: 75,
  /** The API key is missing, wrong, or not allowed to do this. */
  noPermission: 77,
  /** As timeout(1) has it. */
  timeout: 124,
  /** As a shell has it for a program that wrote to a closed pipe: 128 + SIGPIPE. */
  brokenPipe: 141
} as const

/**
 * Ends the program with `status` (1 by default) and `message` on standard error, without a stack: the message is the
 * advice.
 */
export class CliError extends Data.TaggedError("CliError")<{
  readonly message: string
  readonly status?: number | undefined
}> {}

/**
 * Ends the program with `status`, when all there is to say has been said.
 */
export class Exited extends Data.TaggedError("Exited")<{ readonly status: number }> {}

/**
 * The exit status for a failure of the SDK.
 */
export const statusOf = (error: AnySandboxSDKError): number => {
  switch (error._tag) {
    case "ExecutionError":
      return Status.failed
    case "ConnectionError":
      return Status.unavailable
    case "TimeoutError":
      return error.operation === "execution" ? Status.timeout : Status.temporary
    case "RateLimitError":
      return Status.temporary
    case "SandboxError":
      switch (error.code) {
        case "isolation_unavailable":
        case "template_unavailable":
        case "language_unavailable":
          return Status.unavailable
        case "file_not_found":
          return Status.noInput
        default:
          return Status.software
      }
    case "SandboxSDKError":
      switch (error.code) {
        case "invalid_argument":
        case "invalid_config":
        case "unsupported":
          return Status.usage
        case "unauthorized":
        case "forbidden":
          return Status.noPermission
        default:
          return Status.software
      }
  }
}

const hints: Readonly<Record<string, string>> = {
  isolation_unavailable: "See `sandbox doctor`.",
  unauthorized: "Set SANDBOX_API_KEY to a key of that server.",
  template_not_found: "See `sandbox templates`.",
  not_found: "See `sandbox ls`."
}

/**
 * The failure in words, and what to do about it where this program knows better than the message.
 */
export const describe = (error: AnySandboxSDKError): string => {
  const hint = "code" in error ? hints[error.code] : undefined
  const message = error.message.trimEnd()
  return hint === undefined || message.includes("sandbox doctor") ? message : `${message}\n${hint}`
}
