/**
 * Functions that give effects, of which there are some for each sandbox.
 */
import * as Effect from "effect/Effect"
import type { YieldWrap } from "effect/Utils"

/**
 * The same as `Effect.fnUntraced`, which defines a `length` for each function that it gives: V8 keeps a table and a shape of
 * its own for such a function, for half a kilobyte. For functions that are made once, it makes no difference.
 */
export const method = <
  Args extends ReadonlyArray<unknown>,
  Eff extends YieldWrap<Effect.Effect<unknown, unknown, unknown>>,
  A
>(body: (...args: Args) => Generator<Eff, A, never>) =>
(...args: Args) => Effect.gen(() => body(...args))
