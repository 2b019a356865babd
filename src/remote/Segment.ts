/**
 * Ids as segments of the path of a URL.
 */
import * as Effect from "effect/Effect"
import { SandboxError, type SandboxErrorCode } from "../Errors.js"
import { quote } from "../internal/issue.js"

/** No id is longer; a URL cannot be much longer either. */
const MAX_LENGTH = 1_024

/** A URL has no way to say these: they mean the directory that they are in, or the one above (RFC 3986, 5.2.4). */
const isDots = (id: string): boolean => id === "." || id === ".."

const loneSurrogate = /\p{Surrogate}/u

const notFound = (what: string, code: SandboxErrorCode, id: string) =>
  new SandboxError({
    code,
    message: `There is no ${what} ${quote(id)}.`,
    ...(code === "not_found" ? { sandboxId: id } : {})
  })

/**
 * An id, escaped. Fails for one that no URL can hold, as the server would: nothing has such an id.
 */
const segment = (what: string, code: SandboxErrorCode) => (id: string): Effect.Effect<string, SandboxError> =>
  isDots(id) || id.length > MAX_LENGTH || loneSurrogate.test(id)
    ? Effect.fail(notFound(what, code, id))
    : Effect.succeed(encodeURIComponent(id))

/** The id of a sandbox. */
export const sandbox = segment("sandbox", "not_found")

/** The id of a context. */
export const context = segment("context", "context_not_found")

/** The id of an execution. */
export const execution = segment("execution", "execution_not_found")

/** The id of a template. */
export const template = segment("template", "template_not_found")

/** The id of a snapshot. */
export const snapshot = segment("snapshot", "snapshot_not_found")
