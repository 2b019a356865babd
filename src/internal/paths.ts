/**
 * Paths in a sandbox, as callers write them. This is about names only: where symbolic links lead is decided inside the
 * sandbox, at the moment of opening.
 */
import * as Effect from "effect/Effect"
import { SandboxError, type SandboxSDKError } from "../Errors.js"
import { invalidArgument, quote } from "./issue.js"

/** The directory that belongs to the caller. */
export const WORKSPACE = "/workspace"

/** Longest path in bytes: PATH_MAX counts the NUL at the end (limits.h(0p)). */
export const MAX_PATH_BYTES = 4095

/** Longest name of a directory entry in bytes: NAME_MAX. */
export const MAX_NAME_BYTES = 255

const encoder = new TextEncoder()

const byteLength = (text: string): number => encoder.encode(text).length

/** A surrogate without its other half: no UTF-8 can say it, so another file would be meant on the way. */
const loneSurrogate = /\p{Surrogate}/u

/**
 * The absolute path of a directory that something is to start in, any in the sandbox; otherwise as
 * {@link normalizePath}.
 */
export const normalizeDirectory = (
  operation: string,
  path: unknown,
  field = "cwd"
): Effect.Effect<string, SandboxSDKError> =>
  Effect.suspend(() => {
    const refuse = (problem: string) => Effect.fail(invalidArgument(operation, field, `${field} ${problem}`))
    if (typeof path !== "string" || path === "") {
      return refuse(`must be a path, such as "data/input.csv", but it is ${quote(path)}.`)
    }
    if (path.includes("\0")) {
      return refuse("holds a NUL character, which no path can.")
    }
    if (loneSurrogate.test(path)) {
      return refuse("holds half of a surrogate pair, which no path can.")
    }
    const names: Array<string> = []
    for (const name of (path.startsWith("/") ? path : `${WORKSPACE}/${path}`).split("/")) {
      if (name === "..") {
        names.pop()
      } else if (name !== "" && name !== ".") {
        names.push(name)
      }
    }
    const long = names.find((name) => byteLength(name) > MAX_NAME_BYTES)
    if (long !== undefined) {
      return refuse(`has a name of ${byteLength(long)} bytes; ${MAX_NAME_BYTES} is the most that a name can have.`)
    }
    const absolute = `/${names.join("/")}`
    return byteLength(absolute) > MAX_PATH_BYTES
      ? refuse(`has ${byteLength(absolute)} bytes; ${MAX_PATH_BYTES} is the most that a path can have.`)
      : Effect.succeed(absolute)
  })

/**
 * The absolute path of a file or directory of the caller: `/workspace` itself or below it, without `.`, `..`, doubled
 * or trailing slashes. A relative path starts at `/workspace`.
 *
 * Fails with `SandboxError` `path_outside_workspace` when it leads out, and with `SandboxSDKError` `invalid_argument`
 * when it is no path at all; `field` names the argument in both.
 */
export const normalizePath = (
  operation: string,
  path: unknown,
  field = "path"
): Effect.Effect<string, SandboxSDKError | SandboxError> =>
  Effect.filterOrFail(
    normalizeDirectory(operation, path, field),
    (absolute) => absolute === WORKSPACE || absolute.startsWith(`${WORKSPACE}/`),
    (absolute) =>
      new SandboxError({
        code: "path_outside_workspace",
        field,
        message: `${operation}: ${field} ${quote(path)} leads to ${quote(absolute)}, outside ${WORKSPACE}; ` +
          `use a path in ${WORKSPACE}.`
      })
  )
