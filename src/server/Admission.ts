/**
 * What is run for a user, from before it begins to its end: it counts among that user's executions, and is stopped when the
 * API key that has asked for it is revoked. The request may be over long before.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Caller } from "../Api.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import { makeInbox } from "../internal/inbox.js"
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

/**
 * Closes what those hold who have ended: they say so from where nothing can be waited for. One fiber does it for all.
 */
export class Admissions extends Context.Tag("sandbox-sdk/server/Admissions")<Admissions, {
  readonly close: (scope: Scope.CloseableScope) => void
}>() {}

/**
 * It, for one server.
 */
export const layer: Layer.Layer<Admissions> = Layer.scoped(
  Admissions,
  Effect.gen(function*() {
    const inbox = makeInbox<Scope.CloseableScope, never>(() => {})
    yield* Effect.forkScoped(Stream.runForEach(inbox.stream, (scope) => Scope.close(scope, Exit.void)))
    return { close: (scope) => inbox.push(scope, 0) }
  })
)

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
  const { close } = yield* Admissions
  const scope = yield* Scope.make()
  const ended = (): void => close(scope)
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
