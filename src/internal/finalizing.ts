/**
 * Finalizers that keep nothing of the fiber that adds them.
 *
 * `Effect.acquireRelease` keeps all references of that fiber for as long as the scope is open, with whatever is in its
 * context, and has them take effect for the finalizer and no longer after it: about a kilobyte, and as much work as twenty
 * other steps. A sandbox has a dozen finalizers, and a run some more.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/**
 * Has an effect run when the scope closes. It is not interrupted.
 */
export const addFinalizer = (
  finalizer: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.scope,
    (scope) => Scope.addFinalizerExit(scope, (exit) => Effect.uninterruptible(finalizer(exit)))
  )

/**
 * Acquires something, without being interrupted, and releases it when the scope closes.
 */
export const acquireRelease = <A, E, R>(
  acquire: Effect.Effect<A, E, R>,
  release: (acquired: A, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown>
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptible(
    Effect.flatMap(Effect.zip(Effect.scope, acquire), ([scope, acquired]) =>
      // Not by `addFinalizer`, which would be one function more that is kept for each.
      Effect.as(
        Scope.addFinalizerExit(scope, (exit) => Effect.uninterruptible(release(acquired, exit))),
        acquired
      ))
  )
