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
import { DRAFT, replaceFile } from "./JsonFile.js"
import { removeTree } from "./RemoveTree.js"

const Id = Schema.String.pipe(Schema.pattern(/^sbx_[a-z2-7]{20}$/))

/**
 * A sandbox as it was asked for. Times are milliseconds since the epoch.
 */
export const SandboxRecord = Schema.Struct({
  id: Id,
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

/** The folder of the agent's pipes, where nothing isolates it. */
const RUN_FOLDER = /^run-/

const RecordFile = Schema.parseJson(SandboxRecord)
const encode = Schema.encodeSync(RecordFile)
const decode = Schema.decodeUnknownEither(RecordFile)
const isId = Schema.is(Id)

/**
 * The folders of sandboxes, and the record in each.
 *
 * A sandbox is there when its record is: the record is the last that is made and the first that is removed, each in one
 * step. So an engine that is killed at any moment leaves whole sandboxes, and folders without a record.
 */
export interface SandboxFolders {
  /** Makes the folder of a sandbox that is new, has its workspace made at a path in it, and writes its record. */
  readonly create: <E, R>(
    record: SandboxRecord,
    makeWorkspace: (path: string) => Effect.Effect<void, E, R>
  ) => Effect.Effect<void, SandboxError | E, R>
  /** Replaces the record of a sandbox. */
  readonly save: (record: SandboxRecord) => Effect.Effect<void, SandboxError>
  readonly folder: (id: string) => string
  readonly workspace: (id: string) => string
  readonly remove: (id: string) => Effect.Effect<void>
  /** The records of all sandboxes, oldest first. What is left of those that have none is removed. */
  readonly load: Effect.Effect<ReadonlyArray<SandboxRecord>>
}

/** The text of a file; `undefined` when there is none. */
const readIfThere = (path: string): Promise<string | undefined> =>
  Fs.readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") {
      return undefined
    }
    throw cause
  })

/**
 * Folders below `directory`.
 */
export const makeSandboxFolders = (directory: string): SandboxFolders => {
  const folder = (id: string) => Path.join(directory, id)
  const workspace = (id: string) => `${folder(id)}/workspace`

  const save = (record: SandboxRecord) => replaceFile(Path.join(folder(record.id), RECORD), encode(record))

  /** Removes what a killed engine was in the middle of writing. */
  const tidy = (id: string) =>
    Effect.promise(async () => {
      for (const name of await Fs.readdir(folder(id))) {
        if (name.endsWith(DRAFT) || RUN_FOLDER.test(name)) {
          await Fs.rm(Path.join(folder(id), name), { recursive: true, force: true })
        }
      }
    })

  const read = Effect.fnUntraced(function*(id: string) {
    const found = yield* Effect.either(Effect.tryPromise(() => readIfThere(Path.join(folder(id), RECORD))))
    if (Either.isRight(found) && found.right === undefined) {
      yield* Effect.logDebug("Removed the folder of a sandbox that was half made or half deleted").pipe(
        Effect.annotateLogs({ sandboxId: id })
      )
      yield* removeTree(folder(id))
      return []
    }
    const record = Either.flatMap(found, decode)
    if (Either.isRight(record) && record.right.id === id) {
      yield* tidy(id)
      return [record.right]
    }
    // Whoever wrote it, its files may be dear to somebody.
    yield* Effect.logError("A sandbox is left out, because its record cannot be read").pipe(
      Effect.annotateLogs({ sandboxId: id, path: Path.join(folder(id), RECORD) })
    )
    return []
  })

  return {
    create: Effect.fnUntraced(function*(record, makeWorkspace) {
      yield* makePassage(folder(record.id))
      yield* makeWorkspace(workspace(record.id))
      yield* save(record)
    }),
    save,
    folder,
    workspace,
    remove: (id) =>
      Effect.zipRight(
        Effect.promise(() => Fs.rm(Path.join(folder(id), RECORD), { force: true }).catch(() => undefined)),
        removeTree(folder(id))
      ),
    load: Effect.gen(function*() {
      const names = yield* Effect.promise(() => Fs.readdir(directory).catch(() => []))
      const records = yield* Effect.forEach(names.filter(isId), read, { concurrency: 16 })
      return records.flat().sort((a, b) => a.createdAt - b.createdAt)
    })
  }
}
