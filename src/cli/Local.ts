/**
 * Files of this machine, with messages for the person who named them.
 */
import type { PlatformError, SystemErrorReason } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CliError, Status } from "./CliError.js"

const reasons: Partial<Record<SystemErrorReason, string>> = {
  NotFound: "there is no such file or directory",
  PermissionDenied: "permission denied",
  AlreadyExists: "something else is there",
  BadResource: "it is a directory, or not a file to read"
}

const reason = (error: PlatformError): string => {
  const known = error._tag === "SystemError" ? reasons[error.reason] : undefined
  return known ?? (error.cause instanceof Error ? error.cause.message : error.message)
}

/**
 * A file that could not be read.
 */
export const unreadable = (path: string) => (error: PlatformError): CliError =>
  new CliError({ message: `Cannot read ${path}: ${reason(error)}.`, status: Status.noInput })

/**
 * What is at a path, if anything.
 */
export const stat = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    fs.stat(path).pipe(
      Effect.map(Option.some),
      Effect.catchIf(
        (error) => error._tag === "SystemError" && error.reason === "NotFound",
        () => Effect.succeed(Option.none<FileSystem.File.Info>())
      ),
      Effect.mapError(unreadable(path))
    ))
