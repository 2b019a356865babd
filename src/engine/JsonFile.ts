/**
 * Small records on disk: a reader finds the old or the new one, never half of it.
 */
import type * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { SandboxError } from "../Errors.js"
import * as Host from "../isolation/Host.js"

/** What the name of a record ends with that is being written. */
export const DRAFT = ".new"

/**
 * What the engine could not do with its own files: `disk_full`, or `start_failed`.
 */
export const hostFailure = (what: string, path: string) => (cause: unknown): SandboxError =>
  new SandboxError({
    code: Host.isNoSpace(cause) ? "disk_full" : "start_failed",
    message: `The engine could not ${what} ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
  })

/**
 * Replaces a file as a whole. Only its owner can read it: it may hold secrets of the user (environment variables).
 *
 * Fails with `disk_full`, or with `start_failed` when the folder cannot be written; the old one is there then.
 */
export const replaceFile = (path: string, text: string): Effect.Effect<void, SandboxError> =>
  Host.untilDone({
    try: async () => {
      const draft = `${path}.${randomBytes(6).toString("hex")}${DRAFT}`
      try {
        const file = await Fs.open(draft, "w", 0o600)
        await file.writeFile(text).then(() => file.sync()).finally(() => file.close())
        await Fs.rename(draft, path)
      } catch (cause) {
        await Fs.rm(draft, { force: true })
        throw cause
      }
    },
    catch: hostFailure("write", path)
  })
