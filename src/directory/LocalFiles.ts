/**
 * What can go wrong with the files of this machine, as an error of the SDK.
 */
import type { PlatformError, SystemErrorReason } from "@effect/platform/Error"
import * as Predicate from "effect/Predicate"
import { SandboxError, type SandboxErrorCode } from "../Errors.js"

const codes: Readonly<Record<string, SandboxErrorCode>> = {
  ENOSPC: "disk_full",
  EDQUOT: "disk_full",
  EPERM: "permission_denied",
  EROFS: "permission_denied",
  ENOTDIR: "not_a_directory",
  EISDIR: "not_a_file"
}

const reasons: Partial<Record<SystemErrorReason, SandboxErrorCode>> = {
  NotFound: "file_not_found",
  PermissionDenied: "permission_denied",
  AlreadyExists: "file_exists"
}

const words: Partial<Record<SandboxErrorCode, string>> = {
  disk_full: "the disk is full",
  permission_denied: "permission denied",
  not_a_directory: "it is not a directory",
  not_a_file: "a directory is there",
  file_not_found: "there is no such file or directory",
  file_exists: "something else is there"
}

/**
 * A file of this machine cannot be had. `field` is the argument that it lies below.
 */
export const localError = (operation: string, field: string, path: string, verb: "read" | "written") =>
(
  error: PlatformError
): SandboxError => {
  const { cause } = error
  const errno = Predicate.hasProperty(cause, "code") ? String(cause.code) : ""
  const code = codes[errno] ?? (error._tag === "SystemError" ? reasons[error.reason] : undefined) ?? "file_error"
  const why = words[code] ?? (cause instanceof Error ? cause.message : error.message)
  return new SandboxError({
    code,
    field,
    message: `${operation}: ${JSON.stringify(path)} on this machine cannot be ${verb}: ${why}.`
  })
}
