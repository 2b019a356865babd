/**
 * Answers requests about snapshots and forks.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Api, Caller } from "../../Api.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { about, asCaller, done, storedBytes } from "../Handlers.js"

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "snapshots", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const quotas = yield* Quotas.Quotas
    const owned = Effect.map(sdk.listSandboxes(), (sandboxes) => sandboxes.length)

    /** How much it takes is known when it is there: what is too much is undone. */
    const storing = <A, E, R, E2, R2>(
      make: Effect.Effect<A, E, R>,
      undo: (made: A) => Effect.Effect<unknown, E2, R2>
    ) =>
      Effect.gen(function*() {
        const { userId } = yield* Caller
        const check = quotas.storage(userId, storedBytes(sdk), 0)
        yield* check
        return yield* Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            restore(make),
            (made) => restore(Effect.as(check, made)).pipe(Effect.onError(() => Effect.ignore(undo(made))))
          )
        )
      })

    return handlers
      .handle("create", ({ path, payload }) =>
        about(path.id)(storing(
          sdk.snapshotSandbox(path.id, payload),
          ({ id }) => sdk.deleteSnapshot(id)
        )))
      .handle("fork", ({ path, payload: { count = 1 } }) =>
        about(path.id)(Effect.flatMap(Caller, ({ userId }) =>
          quotas.createSandbox(userId, owned, count)(storing(
            sdk.forkSandbox(path.id, count),
            (made) =>
              Effect.forEach(made, ({ id }) => sdk.deleteSandbox(id))
          )))))
      .handle("list", ({ urlParams }) =>
        asCaller(sdk.listSnapshots(urlParams)))
      .handle("remove", ({ path }) => asCaller(Effect.as(sdk.deleteSnapshot(path.id), done)))
  }))
