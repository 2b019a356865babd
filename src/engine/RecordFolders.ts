/**
 * Folders that each belong to one thing, with a record of it in a file.
 *
 * A thing is there when its record is: the record is the last that is made and the first that is removed, each in one
 * step. So an engine that is killed at any moment leaves whole things, and folders without a record.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { SandboxError } from "../Errors.js"
import { makePassage } from "./DataDirectory.js"
import { DRAFT, replaceFile } from "./JsonFile.js"
import { removeTree } from "./RemoveTree.js"

/**
 * What every record has.
 */
interface Recorded {
  readonly id: string
}

/**
 * Folders of things of one kind.
 */
export interface RecordFolders<A extends Recorded> {
  /** Makes the folder of a thing that is new, has it filled, and writes its record. */
  readonly create: <E, R>(
    record: A,
    fill: (folder: string) => Effect.Effect<void, E, R>
  ) => Effect.Effect<void, SandboxError | E, R>
  /** Makes a folder that has no record yet. */
  readonly make: (id: string) => Effect.Effect<void, SandboxError>
  /** Replaces the record of a thing. */
  readonly save: (record: A) => Effect.Effect<void, SandboxError>
  readonly folder: (id: string) => string
  readonly remove: (id: string) => Effect.Effect<void>
  /** The records of all things. What is left of those that have none is removed. */
  readonly load: Effect.Effect<ReadonlyArray<A>>
}

/**
 * What the things are.
 */
export interface RecordFoldersOptions<A extends Recorded, I> {
  /** Holds the folders. */
  readonly directory: string
  /** What one of them is called in the log. */
  readonly what: string
  /** The name of the file with the record. */
  readonly file: string
  readonly schema: Schema.Schema<A, I>
  readonly isId: (name: string) => boolean
  /** Whether somebody comes to load the records; without, there are none. */
  readonly kept?: boolean
  /** What else a killed engine may have left in the folder of a thing that is there. */
  readonly isLeftover?: (name: string) => boolean
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
 * Makes them.
 */
export const makeRecordFolders = <A extends Recorded, I>(
  { directory, file, isId, isLeftover = () => false, kept = true, schema, what }: RecordFoldersOptions<A, I>
): RecordFolders<A> => {
  const RecordFile = Schema.parseJson(schema)
  const encode = Schema.encodeSync(RecordFile)
  const decode = Schema.decodeUnknownEither(RecordFile)
  const folder = (id: string) => Path.join(directory, id)

  const save = (record: A) => kept ? replaceFile(Path.join(folder(record.id), file), encode(record)) : Effect.void

  /** Removes what a killed engine was in the middle of writing. */
  const tidy = (id: string) =>
    Effect.promise(async () => {
      for (const name of await Fs.readdir(folder(id))) {
        if (name.endsWith(DRAFT) || isLeftover(name)) {
          await Fs.rm(Path.join(folder(id), name), { recursive: true, force: true })
        }
      }
    })

  const read = Effect.fnUntraced(function*(id: string) {
    const found = yield* Effect.either(Effect.tryPromise(() => readIfThere(Path.join(folder(id), file))))
    if (Either.isRight(found) && found.right === undefined) {
      yield* Effect.logDebug(`Removed the folder of a ${what} that was half made or half deleted`).pipe(
        Effect.annotateLogs({ id })
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
    yield* Effect.logError(`A ${what} is left out, because its record cannot be read`).pipe(
      Effect.annotateLogs({ id, path: Path.join(folder(id), file) })
    )
    return []
  })

  const make = (id: string) => makePassage(folder(id))

  return {
    create: Effect.fnUntraced(function*(record, fill) {
      yield* make(record.id)
      yield* fill(folder(record.id))
      yield* save(record)
    }),
    make,
    save,
    folder,
    remove: (id) =>
      Effect.zipRight(
        Effect.promise(() => Fs.rm(Path.join(folder(id), file), { force: true }).catch(() => undefined)),
        removeTree(folder(id))
      ),
    load: Effect.gen(function*() {
      const names = yield* Effect.promise(() => Fs.readdir(directory).catch(() => []))
      const records = yield* Effect.forEach(names.filter(isId), read, { concurrency: 16 })
      return records.flat()
    })
  }
}
