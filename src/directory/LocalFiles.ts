/**
 * The files of this machine: their bytes, and what can go wrong with them, as an error of the SDK.
 */
import type { PlatformError, SystemErrorReason } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { SandboxError, type SandboxErrorCode, type SandboxSDKError } from "../Errors.js"
import { invalidArgument, quote } from "../internal/issue.js"
import * as Reusing from "../internal/reusing.js"

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

/** Bytes that are read, and told, at once, where whoever reads does not say it. */
const PIECE_BYTES = 256 * 1024

/**
 * The bytes of a file, in pieces, from its beginning each time that they are read. `told` is told how many there have been,
 * after each piece.
 */
export const bytesOf = (
  fs: FileSystem.FileSystem,
  path: string,
  unreadable: (error: PlatformError) => SandboxError,
  told: (bytes: number) => Effect.Effect<void>
): Stream.Stream<Uint8Array, SandboxError> => {
  const telling = (pieces: Stream.Stream<Uint8Array, PlatformError>) =>
    Stream.suspend(() => {
      let bytes = 0
      return Stream.tap(Stream.mapError(pieces, unreadable), (piece) => told(bytes += piece.length))
    })
  const reusing = (memory?: Reusing.Memory) =>
    Stream.unwrapScoped(
      Effect.map(fs.open(path), (file) => {
        let own: Uint8Array | undefined
        return Stream.repeatEffectOption(Effect.suspend(() => {
          const piece = memory?.() ?? (own ??= new Uint8Array(PIECE_BYTES))
          return Effect.matchEffect(file.read(piece), {
            onFailure: (error) => Effect.fail(Option.some(error)),
            onSuccess: (size) =>
              size === 0n ? Effect.fail(Option.none()) : Effect.succeed(piece.subarray(0, Number(size)))
          })
        }))
      })
    )
  return Reusing.make(
    telling(fs.stream(path, { chunkSize: PIECE_BYTES })),
    (memory) => telling(reusing(memory))
  )
}

/**
 * A path of this machine, as an argument.
 */
export const requireLocal = (operation: string, field: string, path: unknown): Effect.Effect<string, SandboxSDKError> =>
  typeof path === "string" && path !== "" && !path.includes("\0")
    ? Effect.succeed(path)
    : Effect.fail(
      invalidArgument(operation, field, `${field} must be a path on this machine, but it is ${quote(path)}.`)
    )
