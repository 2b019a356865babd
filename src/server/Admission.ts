/**
 * What is run for a user, from before it begins to its end: it counts among that user's executions, and is stopped when the
 * API key that has asked for it is revoked. The request may be over long before.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { CurrentUser } from "../CurrentUser.js"
import type { RateLimitError, RequestError, SandboxSDKError } from "../Errors.js"
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
 * Who asks for it, and by which key.
 */
export interface Asking {
  readonly userId: string
  readonly keyId: string
}

/**
 * Admits one. Not to be interrupted between this and whatever sees to it that `ended` is called.
 *
 * Fails with `RateLimitError` when the user has as many as are granted, and with `unauthorized` when the key is revoked.
 */
export type Admit = (
  asking: Asking,
  cancel: (executionId: string) => Effect.Effect<unknown, RequestError>
) => Effect.Effect<Admission, RateLimitError | SandboxSDKError>

/**
 * Makes what admits them.
 */
export const make: Effect.Effect<Admit, never, Quotas.Quotas | ApiKeys> = Effect.gen(function*() {
  const { begin } = yield* Quotas.Quotas
  const keys = yield* ApiKeys

  return ({ keyId, userId }, cancel) =>
    Effect.flatMap(
      begin(userId),
      (leave) =>
        Effect.flatMap(keys.required, (required): Effect.Effect<Admission, SandboxSDKError> => {
          let known: string | undefined
          const revoked = Effect.suspend(() =>
            known === undefined
              ? Effect.void
              : Effect.provideService(Effect.ignore(cancel(known)), CurrentUser, userId)
          )
          const held = required ? keys.hold(keyId, revoked) : Either.right(() => {})
          if (Either.isLeft(held)) {
            leave()
            return Effect.fail(held.left)
          }
          let isOver = false
          return Effect.succeed({
            begun: (executionId) => {
              known = executionId
            },
            // From where nothing can be waited for, and perhaps more than once.
            ended: () => {
              if (!isOver) {
                isOver = true
                held.right()
                leave()
              }
            }
          })
        })
    )
})
