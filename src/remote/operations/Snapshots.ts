/**
 * Operations on snapshots, and forks.
 */
import * as Effect from "effect/Effect"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { SnapshotOperations } from "../../internal/groups.js"
import { ForkSandboxOptions, ListSnapshotsOptions, SnapshotSandboxOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import * as Segment from "../Segment.js"

const decodeSnapshot = decodeArguments(SnapshotSandboxOptions, "snapshotSandbox")
const decodeList = decodeArguments(ListSnapshotsOptions, "listSnapshots")
const decodeFork = decodeArguments(ForkSandboxOptions, "forkSandbox")

/**
 * Makes the operations.
 */
export const snapshotOperations = ({ metrics, request }: Client): SnapshotOperations => ({
  snapshotSandbox: Effect.fn("SandboxSDK.snapshotSandbox")(function*(input, options) {
    const payload = yield* decodeSnapshot(options)
    const id = yield* Effect.flatMap(requireId("snapshotSandbox", input), Segment.sandbox)
    return yield* request(
      { operation: "snapshotSandbox", effect: "once" },
      (api) => api.snapshots.create({ path: { id }, payload })
    )
  }, metrics.track("snapshotSandbox")),
  listSnapshots: Effect.fn("SandboxSDK.listSnapshots")(function*(options) {
    const urlParams = yield* decodeList(options)
    return yield* request(
      { operation: "listSnapshots", effect: "none" },
      (api) => api.snapshots.list({ urlParams })
    )
  }, metrics.track("listSnapshots")),
  deleteSnapshot: Effect.fn("SandboxSDK.deleteSnapshot")(function*(input) {
    const known = yield* requireId("deleteSnapshot", input)
    const id = yield* Effect.option(Segment.snapshot(known))
    if (id._tag === "Some") {
      yield* request(
        { operation: "deleteSnapshot", effect: "repeatable" },
        (api) => api.snapshots.remove({ path: { id: id.value } })
      )
    }
  }, metrics.track("deleteSnapshot")),
  forkSandbox: Effect.fn("SandboxSDK.forkSandbox")(function*(input, count) {
    const payload = yield* decodeFork({ count })
    const id = yield* Effect.flatMap(requireId("forkSandbox", input), Segment.sandbox)
    const forks = yield* request(
      { operation: "forkSandbox", effect: "once" },
      (api) => api.snapshots.fork({ path: { id }, payload })
    )
    yield* Effect.forEach(forks, (fork) => metrics.sandboxCreated(fork.id), { discard: true })
    return forks
  }, metrics.track("forkSandbox"))
})
