/**
 * What is run for a user, from before it begins to its end: it counts among that user's executions, and is stopped when the
 * API key that has asked for it is revoked. The request may be over long before.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Caller } from "../Api.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import * as Quotas from "../Quotas.js"
import { ApiKeys } from "./ApiKeys.js"

/**
 * Something that may run.
 */
export interface Admission {
  /** Tells its id, by which it can be stopped. */
  readonly begun: (executionId: string) => void
  /** It has ended, or never began. */
  readonly ended: () => void
}

const asUser = (userId: string) => <B, E>(effect: Effect.Effect<B, E>) =>
  Effect.provideService(effect, CurrentUser, userId)

/**
 * Admits one. Not to be interrupted between this and whatever sees to it that `ended` is called.
 *
 * Fails with `RateLimitError` when the user has as many as are granted, and with `unauthorized` when the key is revoked.
 */
export const admit = Effect.fnUntraced(function*(
  cancel: (executionId: string) => Effect.Effect<unknown, RequestError>
) {
  const { keyId, userId } = yield* Caller
  const { execution } = yield* Quotas.Quotas
  const keys = yield* ApiKeys
  const over = yield* Deferred.make<void>()
  const scope = yield* Scope.make()
  yield* Effect.forkDaemon(Effect.zipRight(Deferred.await(over), Scope.close(scope, Exit.void)))
  const ended = (): void => Deferred.unsafeDone(over, Effect.void)
  let known: string | undefined
  const revoked = Effect.suspend(() => known === undefined ? Effect.void : asUser(userId)(Effect.ignore(cancel(known))))
  yield* execution(userId).pipe(
    Effect.zipRight(Effect.whenEffect(keys.whileKnown(keyId, revoked), keys.required)),
    (entering) => Scope.extend(entering, scope),
    Effect.onError(() => Effect.sync(ended))
  )
  const admission: Admission = {
    begun: (executionId) => {
      known = executionId
    },
    ended
  }
  return admission
})
