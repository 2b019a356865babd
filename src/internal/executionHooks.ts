/**
 * What the engine tells whoever starts an execution, before any event does.
 */
import * as Context from "effect/Context"

/**
 * `created` is called with the id of the execution when it is there: it may have to wait for its turn, and be started much
 * later. `ended` is called when it has ended, one way or the other, if it was created.
 */
export interface Hooks {
  readonly created?: (executionId: string) => void
  readonly ended?: () => void
}

/**
 * Nobody is told.
 */
export const noHooks: Hooks = {}

/**
 * The hooks of what is started with this.
 */
export class ExecutionHooks extends Context.Reference<ExecutionHooks>()("sandbox-sdk/internal/ExecutionHooks", {
  defaultValue: () => noHooks
}) {}
