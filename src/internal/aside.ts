/**
 * Effects that begin long after the operation that provides for them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"

/**
 * Starts an effect from a callback.
 */
export type RunAside = Effect.Effect.Success<typeof makeRunAside>

/**
 * Starts effects from callbacks, until the scope closes: it then interrupts those that still run. The spans that are open
 * where it is made are none of their business.
 *
 * A fiber that waits for the moment instead would be in memory all the while, with the fiber that has started it and with
 * the spans of both.
 */
export const makeRunAside = Effect.mapInputContext(
  FiberSet.makeRuntime<never>(),
  (context: Context.Context<Scope.Scope>) => Context.omit(Tracer.ParentSpan)(context)
)
