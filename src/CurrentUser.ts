/**
 * On whose behalf an operation is carried out.
 */
import * as Context from "effect/Context"

/**
 * The user that sandboxes and templates belong to, and who sees no others. A program that embeds the engine is the user
 * `local`; a server sets this for every request.
 *
 * @category references
 */
export class CurrentUser extends Context.Reference<CurrentUser>()("sandbox-sdk/CurrentUser", {
  defaultValue: () => "local"
}) {}
