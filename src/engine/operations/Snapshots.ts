/**
 * Operations on snapshots, and forks.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { SnapshotOperations } from "../../internal/groups.js"
import { ForkSandboxOptions, ListSnapshotsOptions, SnapshotSandboxOptions } from "../../Options.js"
import type { Parts } from "./Parts.js"

const decodeSnapshot = decodeArguments(SnapshotSandboxOptions, "snapshotSandbox")
const decodeList = decodeArguments(ListSnapshotsOptions, "listSnapshots")
const decodeFork = decodeArguments(ForkSandboxOptions, "forkSandbox")

/**
 * Makes the operations.
 */
export const snapshotOperations = ({ registry, snapshots }: Parts): SnapshotOperations => ({
  snapshotSandbox: Effect.fn("SandboxSDK.snapshotSandbox")(function*(id, options) {
    const { name } = yield* decodeSnapshot(options)
    const known = yield* requireId("snapshotSandbox", id)
    return yield* registry.copying(
      yield* CurrentUser,
      known,
      (record, copy) => snapshots.create(record, name, copy)
    )
  }),
  listSnapshots: Effect.fn("SandboxSDK.listSnapshots")(function*(options) {
    const wanted = yield* decodeList(options)
    return snapshots.list(yield* CurrentUser, wanted)
  }),
  deleteSnapshot: Effect.fn("SandboxSDK.deleteSnapshot")(function*(id) {
    const known = yield* requireId("deleteSnapshot", id)
    yield* snapshots.remove(yield* CurrentUser, known)
  }),
  forkSandbox: Effect.fn("SandboxSDK.forkSandbox")(function*(id, count) {
    const wanted = yield* decodeFork({ count })
    const known = yield* requireId("forkSandbox", id)
    return yield* registry.fork(yield* CurrentUser, known, wanted.count ?? 1)
  })
})
