/**
 * Small records on disk: a reader finds the old or the new one, never half of it.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import { SandboxError } from "../Errors.js"

const isNoSpace = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOSPC" || cause.code === "EDQUOT")

/**
 * Replaces a file as a whole. Only its owner can read it: it may hold secrets of the user (environment variables).
 *
 * Fails with `disk_full`, or with `start_failed` when the folder cannot be written.
 */
export const replaceFile = (path: string, text: string): Effect.Effect<void, SandboxError> =>
  Effect.tryPromise({
    try: async () => {
      const draft = await Fs.open(`${path}.new`, "w", 0o600)
      await draft.writeFile(text).then(() => draft.sync()).finally(() => draft.close())
      await Fs.rename(`${path}.new`, path)
    },
    catch: (cause) =>
      new SandboxError({
        code: isNoSpace(cause) ? "disk_full" : "start_failed",
        message: `The engine could not write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
      })
  })
