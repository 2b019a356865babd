/**
 * Files on their way into a sandbox, and what is left of those that never arrived.
 *
 * The agent removes what it had begun. When it is killed it cannot: where the file system has no files without a name, a
 * part of the file stays under the name that it had for the time being. So the first upload of each start leaves a mark,
 * which goes when the sandbox stops and all of them have arrived; where it is found before the next start, the workspace
 * is swept.
 */
import * as Effect from "effect/Effect"
import { constants, type Dirent } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

const MARK = "uploads"

/** The names that `transfers.py` gives. */
const UNFINISHED = /^\.sandbox-(?:new|old)-[0-9a-f]{18}$/

const OPEN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/**
 * Removes parts of files below a directory. Nothing may run there; links that were left there lead nowhere all the same,
 * because each directory is opened, links refused, and what is in it is only reached through its descriptor.
 */
const sweep = async (path: string): Promise<void> => {
  const directory = await Fs.open(path, OPEN_DIRECTORY).catch(() => undefined)
  if (directory === undefined) {
    return
  }
  try {
    const here = `/proc/self/fd/${directory.fd}`
    for (const entry of await Fs.readdir(here, { withFileTypes: true }).catch((): ReadonlyArray<Dirent> => [])) {
      if (entry.isDirectory()) {
        await sweep(Path.join(here, entry.name))
      } else if (entry.isFile() && UNFINISHED.test(entry.name)) {
        await Fs.rm(Path.join(here, entry.name), { force: true }).catch(() => undefined)
      }
    }
  } finally {
    await directory.close()
  }
}

/**
 * The uploads of one start of a sandbox.
 */
export interface Uploads {
  /** An upload: it is unfinished until it has succeeded. */
  readonly during: <A, E, R>(upload: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The sandbox has stopped. */
  readonly stopped: Effect.Effect<void>
}

/**
 * Sweeps what an earlier start has left, and counts those of this one. `folder` is that of the sandbox, in which only the
 * engine writes; nothing runs in the sandbox yet. `opening` opens the workspace, where it has to be swept.
 */
export const make = Effect.fnUntraced(function*<E>(
  folder: string,
  workspace: string,
  opening: Effect.Effect<unknown, E>
): Effect.fn.Return<Uploads, E> {
  const mark = Path.join(folder, MARK)
  const unmark = () => Effect.promise(() => Fs.rm(mark, { force: true }).catch(() => undefined))
  let marking: Promise<void> | undefined
  const isMarked = yield* Effect.promise(() => Fs.access(mark).then(() => true, () => false))
  if (isMarked) {
    yield* opening
    yield* Effect.promise(() => sweep(workspace))
    yield* unmark()
  }
  let unfinished = 0
  // A full disk may have no room for it, and is no reason to refuse.
  const marked = () => Effect.promise(() => marking ??= Fs.writeFile(mark, "").catch(() => undefined))
  return {
    during: (upload) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          unfinished += 1
          yield* marked()
          const arrived = yield* restore(upload)
          unfinished -= 1
          return arrived
        })
      ),
    stopped: Effect.suspend(() => unfinished === 0 ? unmark() : Effect.void)
  }
})

/**
 * Marks a copy of a workspace where there may be parts of files in it. Both are folders of sandboxes or snapshots.
 */
export const carryMark = (from: string, to: string): Effect.Effect<void> =>
  Effect.promise(() => Fs.copyFile(Path.join(from, MARK), Path.join(to, MARK)).catch(() => undefined))
