/**
 * What is remembered of a sandbox, also across engines.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { SandboxError } from "../Errors.js"
import { CreateSandboxOptions } from "../Options.js"
import { SandboxTemplate } from "../Template.js"
import { makePassage } from "./DataDirectory.js"
import { replaceFile } from "./JsonFile.js"
import { removeTree } from "./RemoveTree.js"

/**
 * A sandbox as it was asked for. Times are milliseconds since the epoch.
 */
export const SandboxRecord = Schema.Struct({
  id: Schema.String.pipe(Schema.pattern(/^sbx_[a-z2-7]{20}$/)),
  userId: Schema.String,
  options: CreateSandboxOptions,
  template: SandboxTemplate,
  createdAt: Schema.Number,
  updatedAt: Schema.Number,
  expiresAt: Schema.optional(Schema.Number)
})

/** @category models */
export type SandboxRecord = typeof SandboxRecord.Type

const RECORD = "sandbox.json"

const RecordFile = Schema.parseJson(SandboxRecord)
const encode = Schema.encodeSync(RecordFile)
const decode = Schema.decodeUnknownEither(RecordFile)

/**
 * The folders of sandboxes, and the record in each.
 */
export interface SandboxFolders {
  /** Makes the folder of a sandbox that is new, and gives the path that its workspace is to have. */
  readonly create: (record: SandboxRecord) => Effect.Effect<string, SandboxError>
  /** Replaces the record of a sandbox. */
  readonly save: (record: SandboxRecord) => Effect.Effect<void, SandboxError>
  readonly workspace: (id: string) => string
  readonly remove: (id: string) => Effect.Effect<void>
  /** The records of all sandboxes, oldest first. A folder whose record was never written whole is removed. */
  readonly load: Effect.Effect<ReadonlyArray<SandboxRecord>>
}

/**
 * Folders below `directory`.
 */
export const makeSandboxFolders = (directory: string): SandboxFolders => {
  const folder = (id: string) => Path.join(directory, id)

  const save = (record: SandboxRecord) => replaceFile(Path.join(folder(record.id), RECORD), encode(record))

  const read = Effect.fnUntraced(function*(id: string) {
    const text = yield* Effect.promise(() => Fs.readFile(Path.join(folder(id), RECORD), "utf8").catch(() => undefined))
    const record = decode(text)
    if (Either.isRight(record) && record.right.id === id) {
      return [record.right]
    }
    yield* Effect.logWarning("Removed the folder of a sandbox without a readable record").pipe(
      Effect.annotateLogs({ sandboxId: id })
    )
    yield* removeTree(folder(id))
    return []
  })

  return {
    create: (record) =>
      Effect.as(Effect.zipRight(makePassage(folder(record.id)), save(record)), `${folder(record.id)}/workspace`),
    save,
    workspace: (id) => `${folder(id)}/workspace`,
    remove: (id) => removeTree(folder(id)),
    load: Effect.gen(function*() {
      const ids = yield* Effect.promise(() => Fs.readdir(directory).catch(() => []))
      const records = yield* Effect.forEach(ids, read, { concurrency: 16 })
      return records.flat().sort((a, b) => a.createdAt - b.createdAt)
    })
  }
}
