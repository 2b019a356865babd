/**
 * What a sandbox promises, and what enforces it here.
 */
import * as Schema from "effect/Schema"

/**
 * One promise as found on this host. `holds` is what a real attempt from inside showed; `mechanism` is what enforces it;
 * `soft` marks a limit that is watched and not enforced by the kernel; `fix` is one command that would make it hold.
 *
 * @category models
 */
export const Guarantee = Schema.Struct({
  id: Schema.String,
  title: Schema.String,
  holds: Schema.Boolean,
  mechanism: Schema.String,
  detail: Schema.optional(Schema.String),
  soft: Schema.optional(Schema.Boolean),
  fix: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type Guarantee = typeof Guarantee.Type
