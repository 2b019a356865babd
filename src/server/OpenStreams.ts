/**
 * How many answers that are streams each user has open.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { RateLimitError } from "../Errors.js"
import { acquireRelease } from "../internal/finalizing.js"
import { type Gate, makeGate } from "../internal/gate.js"

/**
 * The tag.
 */
export class OpenStreams extends Context.Tag("sandbox-sdk/server/OpenStreams")<OpenStreams, {
  /** Counts one more of this user until the scope closes. Fails when there are too many. */
  readonly enter: (user: string) => Effect.Effect<void, RateLimitError, Scope.Scope>
  /** The same, until what it gives is called. */
  readonly take: (user: string) => Either.Either<() => void, RateLimitError>
}>() {}

/** When one will have ended is not known: a guess. */
const GUESS = 1_000

/**
 * At most this many for each user.
 */
export const layer = (limit: number): Layer.Layer<OpenStreams> =>
  Layer.sync(OpenStreams, () => {
    const gates = new Map<string, Gate>()
    const take = (user: string): Either.Either<() => void, RateLimitError> => {
      const gate = gates.get(user) ?? makeGate(limit)
      gates.set(user, gate)
      return Either.fromNullable(gate.take(), () =>
        new RateLimitError({
          message: `The limit of ${limit} open streams is reached; try again when one has ended.`,
          retryAfter: GUESS,
          limit,
          remaining: 0
        }))
    }
    return { take, enter: (user) => acquireRelease(Effect.suspend(() => take(user)), (leave) => Effect.sync(leave)) }
  })
