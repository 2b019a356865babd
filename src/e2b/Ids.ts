/**
 * Ids of what belongs to a sandbox: the protocol asks for the sandbox as well, so it is a part of them.
 */
import * as Effect from "effect/Effect"
import { SandboxError, type SandboxErrorCode } from "../Errors.js"
import { quote } from "../internal/issue.js"

/** No id of a sandbox, a context or a process has it. */
const SEPARATOR = "/"

/**
 * The id of something of a sandbox.
 */
export const join = (sandboxId: string, id: string): string => `${sandboxId}${SEPARATOR}${id}`

/**
 * The two parts. Fails as for something that is not there.
 */
export const split = (
  what: string,
  code: SandboxErrorCode,
  joined: string
): Effect.Effect<{ readonly sandboxId: string; readonly id: string }, SandboxError> => {
  const at = joined.indexOf(SEPARATOR)
  return at <= 0 || at === joined.length - 1
    ? Effect.fail(new SandboxError({ code, message: `There is no ${what} ${quote(joined)}.` }))
    : Effect.succeed({ sandboxId: joined.slice(0, at), id: joined.slice(at + 1) })
}
