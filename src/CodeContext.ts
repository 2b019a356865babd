/**
 * A context: one interpreter with its own variables, working directory and environment.
 */
import * as Schema from "effect/Schema"

/**
 * The languages that have an interpreter with state.
 *
 * @category models
 */
export const Language = Schema.Literal("python", "javascript", "typescript", "bash")

/**
 * @category models
 */
export type Language = typeof Language.Type

/**
 * Why a context lost its variables and went on with a fresh interpreter.
 *
 * @category models
 */
export const RestartReason = Schema.Literal(
  "timeout",
  "interrupted",
  "kernel_died",
  "out_of_memory",
  "exited",
  "requested"
)

/**
 * @category models
 */
export type RestartReason = typeof RestartReason.Type

/**
 * A context of a sandbox. `createdAt` is in milliseconds since the epoch. `restarts` counts how often its interpreter
 * had to be replaced, and `lastRestart` says why it was the last time: while `restarts` stays the same, every variable
 * that was set is still there.
 *
 * @category models
 */
export const CodeContext = Schema.Struct({
  id: Schema.String,
  sandboxId: Schema.String,
  language: Language,
  cwd: Schema.String,
  createdAt: Schema.Finite,
  restarts: Schema.Finite,
  lastRestart: Schema.optional(RestartReason)
})

/**
 * @category models
 */
export type CodeContext = typeof CodeContext.Type
