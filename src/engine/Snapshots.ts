/**
 * Snapshots: copies of the files of sandboxes, with what each sandbox was made with.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SandboxError } from "../Errors.js"
import type { ListSnapshotsOptions } from "../Options.js"
import { CreateSandboxOptions } from "../Options.js"
import type { Snapshot } from "../Snapshot.js"
import { SandboxTemplate } from "../Template.js"
import type { Builds } from "./Builds.js"
import { diskUsage } from "./DiskUsage.js"
import { makeId } from "./Ids.js"
import { makeOwned } from "./Owned.js"
import { makeRecordFolders } from "./RecordFolders.js"
import type { SandboxRecord } from "./SandboxRecord.js"
import { workspaceIn } from "./SandboxRecord.js"

const Id = Schema.String.pipe(Schema.pattern(/^snp_[a-z2-7]{20}$/))

const SnapshotRecord = Schema.Struct({
  id: Id,
  userId: Schema.String,
  name: Schema.optional(Schema.String),
  sandboxId: Schema.String,
  options: CreateSandboxOptions,
  template: SandboxTemplate,
  createdAt: Schema.Number,
  sizeBytes: Schema.Number
})

/** @category models */
export type SnapshotRecord = typeof SnapshotRecord.Type

/**
 * The snapshots of an engine. Each belongs to a user, and does not exist for any other.
 */
export interface Snapshots {
  /** Makes one of a sandbox, whose files `copy` copies to a path. */
  readonly create: <E>(
    source: SandboxRecord,
    name: string | undefined,
    copy: (workspace: string) => Effect.Effect<void, E>
  ) => Effect.Effect<Snapshot, E | SandboxError>
  /** Oldest first. */
  readonly list: (userId: string, options: ListSnapshotsOptions) => ReadonlyArray<Snapshot>
  /** Does something with a snapshot, which stays until that has ended. Fails with `snapshot_not_found`. */
  readonly using: <A, E>(
    userId: string,
    id: string,
    use: (record: SnapshotRecord, workspace: string) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | SandboxError>
  readonly remove: (userId: string, id: string) => Effect.Effect<void>
  /** What the snapshots of a user take, in bytes. */
  readonly usage: (userId: string) => number
}

/** More at a time than there can be uses of one snapshot. */
const ALL = 1_000_000

interface Entry {
  readonly record: SnapshotRecord
  readonly uses: Effect.Semaphore
}

const describe = ({ record }: Entry): Snapshot => {
  const { createdAt, id, name, options: { metadata }, sandboxId, sizeBytes, template } = record
  return {
    id,
    ...(name === undefined ? {} : { name }),
    sandboxId,
    templateId: template.id,
    templateConfig: template.config,
    createdAt,
    sizeBytes,
    ...(metadata === undefined ? {} : { metadata })
  }
}

/**
 * Makes them: finds those that are in the folder, and removes what is half made or half removed.
 */
export const make = Effect.fn("Snapshots.make")(function*(
  directory: string,
  builds: Builds
): Effect.fn.Return<Snapshots> {
  const folders = makeRecordFolders({
    directory,
    what: "snapshot",
    file: "snapshot.json",
    schema: SnapshotRecord,
    isId: Schema.is(Id)
  })
  const entries = makeOwned<Entry>()

  const add = (record: SnapshotRecord): Entry => {
    const entry = { record, uses: Effect.unsafeMakeSemaphore(ALL) }
    entries.set(record.userId, record.id, entry)
    return entry
  }

  const letGo = ({ build }: SandboxTemplate) => build === undefined ? Effect.void : builds.release(build.id)

  for (const record of [...yield* folders.load].sort((a, b) => a.createdAt - b.createdAt)) {
    add(record)
    if (record.template.build !== undefined) builds.hold(record.template.build.id)
  }

  return {
    create: Effect.fn("Snapshots.create")(function*<E>(
      { id: sandboxId, options, template, userId }: SandboxRecord,
      name: string | undefined,
      copy: (workspace: string) => Effect.Effect<void, E>
    ) {
      const id = yield* makeId("snp")
      const createdAt = yield* Clock.currentTimeMillis
      const workspace = workspaceIn(folders.folder(id))
      const copied = Effect.gen(function*() {
        yield* folders.make(id)
        yield* copy(workspace)
        const { bytes: sizeBytes } = yield* diskUsage(workspace)
        return {
          id,
          userId,
          sandboxId,
          options,
          template,
          createdAt,
          sizeBytes,
          ...(name === undefined ? {} : { name })
        }
      })
      return yield* Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          // Its sandbox may be deleted meanwhile.
          if (template.build !== undefined) builds.hold(template.build.id)
          const record = yield* restore(copied).pipe(
            Effect.tap(folders.save),
            Effect.onError(() => Effect.zipRight(folders.remove(id), letGo(template)))
          )
          // Not to be interrupted any more: it is listed as soon as it has a record.
          return describe(add(record))
        })
      )
    }),
    list: (userId, { name, sandboxId }) =>
      entries.of(userId).map(describe).filter((one) =>
        (name === undefined || one.name === name) && (sandboxId === undefined || one.sandboxId === sandboxId)
      ),
    using: <A, E>(
      userId: string,
      id: string,
      use: (record: SnapshotRecord, workspace: string) => Effect.Effect<A, E>
    ) =>
      Effect.suspend((): Effect.Effect<A, E | SandboxError> => {
        const entry = entries.get(userId, id)
        return entry === undefined
          ? Effect.fail(
            new SandboxError({
              code: "snapshot_not_found",
              field: "fromSnapshot",
              message: `There is no snapshot "${id}". It was never made, or it has been deleted.`
            })
          )
          : entry.uses.withPermits(1)(use(entry.record, workspaceIn(folders.folder(id))))
      }),
    remove: (userId, id) =>
      Effect.suspend(() => {
        const entry = entries.get(userId, id)
        if (entry === undefined) return Effect.void
        entries.delete(userId, id)
        return Effect.uninterruptible(
          entry.uses.withPermits(ALL)(Effect.zipRight(folders.remove(id), letGo(entry.record.template)))
        )
      }),
    usage: (userId) => entries.of(userId).reduce((sum, { record }) => sum + record.sizeBytes, 0)
  }
})
