/**
 * The arguments of operations on many files: checked all of them before anything is done, the same in every layer.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { type RequestError, SandboxError, SandboxSDKError } from "../Errors.js"
import { invalidArgument, quote } from "./issue.js"
import { normalizePath } from "./paths.js"

/** How many files there can be in one call: more are a mistake, or an attack on who has to keep them. */
export const MAX_FILES = 100_000

/** How many bytes can be read in one call: all of them are in memory at once. */
export const MAX_READ_BYTES = 32 * 1024 * 1024

/** What a file of `writeFiles` is called in errors. */
export const fileField = (index: number): string => `files.${index}`

/** What a file of `readFiles` is called in errors. */
export const pathField = (index: number): string => `paths.${index}`

/**
 * The same error, about what its caller calls the argument at fault.
 */
export const withField = (rename: (field: string) => string) => (error: RequestError): RequestError => {
  if (!("field" in error) || error.field === undefined) {
    return error
  }
  const field = rename(error.field)
  const { message } = error
  if (error._tag === "SandboxError") {
    const { code, sandboxId } = error
    return new SandboxError({ code, message, field, ...(sandboxId === undefined ? {} : { sandboxId }) })
  }
  return error._tag === "SandboxSDKError" ? new SandboxSDKError({ code: error.code, message, field }) : error
}

/**
 * A file, its path absolute.
 */
export interface WantedFile {
  readonly path: string
  readonly content: string | Uint8Array
}

const requireList = (
  operation: string,
  field: string,
  value: unknown,
  what: string
): Effect.Effect<ReadonlyArray<unknown>, SandboxSDKError> =>
  !Array.isArray(value)
    ? Effect.fail(invalidArgument(operation, field, `${field} must be ${what}, but it is ${quote(value)}.`))
    : value.length > MAX_FILES
    ? Effect.fail(
      invalidArgument(operation, field, `${field} has ${value.length} entries; ${MAX_FILES} is the most for one call.`)
    )
    : Effect.succeed(value)

/**
 * The files of `writeFiles`.
 */
export const requireFiles = (
  input: unknown
): Effect.Effect<ReadonlyArray<WantedFile>, SandboxSDKError | SandboxError> =>
  Effect.gen(function*() {
    const operation = "writeFiles"
    const files = yield* requireList(operation, "files", input, "an array of { path, content }")
    const checked: Array<WantedFile> = []
    for (const [index, file] of files.entries()) {
      const field = fileField(index)
      if (!Predicate.isRecord(file)) {
        return yield* invalidArgument(
          operation,
          field,
          `${field} must be an object with a path and a content, but it is ${quote(file)}.`
        )
      }
      const { content, path } = file
      if (typeof content !== "string" && !(content instanceof Uint8Array)) {
        return yield* invalidArgument(
          operation,
          `${field}.content`,
          `${field}.content must be a string or a Uint8Array, but it is ${quote(content)}.`
        )
      }
      checked.push({ path: yield* normalizePath(operation, path, `${field}.path`), content })
    }
    return checked
  })

/**
 * The paths of `readFiles`, absolute.
 */
export const requirePaths = (input: unknown): Effect.Effect<ReadonlyArray<string>, SandboxSDKError | SandboxError> =>
  Effect.gen(function*() {
    const paths = yield* requireList("readFiles", "paths", input, "an array of paths")
    return yield* Effect.forEach(paths, (path, index) => normalizePath("readFiles", path, pathField(index)))
  })

/**
 * That files have more bytes together than are read at once; `index` is the first for which there is no room.
 */
export const tooMuchToRead = (index: number, path: string): SandboxError =>
  new SandboxError({
    code: "quota_exceeded",
    field: pathField(index),
    message:
      `readFiles: with ${path} the files have more than ${MAX_READ_BYTES} bytes together, the most that is read ` +
      "at once; ask for fewer, and read large ones with readFileStream."
  })
