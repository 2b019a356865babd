/**
 * The interpreters that sandboxes find inside.
 */
import * as Schema from "effect/Schema"

/**
 * One interpreter: `path` as seen from inside the sandbox, `version` as it reports it (`3.11.2`).
 */
export const Runtime = Schema.Struct({
  path: Schema.String,
  version: Schema.String
})

/** @category models */
export type Runtime = typeof Runtime.Type

/**
 * All of them, newest first. The first Python runs the agent.
 */
export interface Runtimes {
  readonly python: ReadonlyArray<Runtime>
  readonly node: ReadonlyArray<Runtime>
  readonly bash: ReadonlyArray<Runtime>
}
