/**
 * Watches over workspaces that the kernel does not limit, with one fiber for all of them. What is too much is found out
 * after it has been written, and then what writes is stopped. Writes through the API are refused before.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SandboxError } from "../Errors.js"
import * as Disk from "../isolation/Disk.js"
import { walk } from "./DiskUsage.js"

/**
 * A workspace to watch.
 */
export interface Watched {
  readonly sandboxId: string
  readonly workspace: string
  readonly diskMb: number
  /**
   * Called when there is too much, and again each time that there is more. `far` says that it is more than twice as much
   * as may be, and was too much before.
   */
  readonly onExcess: (error: SandboxError, far: boolean) => Effect.Effect<void>
}

/**
 * A file or directory that is being made through the API.
 */
export interface Upload {
  /** Lets so many bytes more through, or fails with `disk_full`. */
  readonly admit: (bytes: number) => Effect.Effect<void, SandboxError>
  /** All that was let through is there now, or nowhere. */
  readonly end: Effect.Effect<void>
}

/**
 * How full a watched workspace is.
 */
export interface Gauge {
  /** Something is about to be written. */
  readonly upload: Effect.Effect<Upload>
}

/**
 * Watches.
 */
export interface DiskWatch {
  /** Watches a workspace until the scope closes. */
  readonly watch: (watched: Watched) => Effect.Effect<Gauge, never, Scope.Scope>
}

/** The least time between two looks at everything, in milliseconds. */
const PAUSE = 1_000

/** How many times as long as a look takes is waited until the next, so that looking costs little, however much there is. */
const RATIO = 20

const MIB = 1024 * 1024

const add = (a: Disk.Room, b: Disk.Room): Disk.Room => ({ bytes: a.bytes + b.bytes, files: a.files + b.files })

const subtract = (a: Disk.Room, b: Disk.Room): Disk.Room => ({ bytes: a.bytes - b.bytes, files: a.files - b.files })

const NOTHING: Disk.Room = { bytes: 0, files: 0 }

interface Entry {
  readonly watched: Watched
  readonly room: Disk.Room
  /** What was there at the last look, and what has been let through and arrived since. */
  known: Disk.Room
  /** What has been let through and arrived, ever: a look may miss what arrives while it goes on. */
  arrived: Disk.Room
  /** What was there when it was last found to be too much. */
  excess: Disk.Room | undefined
  /** What is on its way into files that have no name yet. */
  pending: Disk.Room
}

const isOver = (entry: Entry, { bytes, files }: Disk.Room): boolean =>
  bytes > entry.room.bytes || files > entry.room.files

const full = ({ room, watched: { diskMb, sandboxId } }: Entry, found: Disk.Room): SandboxError =>
  new SandboxError({
    code: "disk_full",
    sandboxId,
    message: found.files > room.files
      ? `The disk of the sandbox is full: /workspace may hold ${room.files} files (one for each 16 KiB of ` +
        `resources.diskMb, which is ${diskMb}). Delete some files.`
      : `The disk of the sandbox is full: the files in /workspace take ${
        Math.ceil(found.bytes / MIB)
      } of ${diskMb} MiB ` +
        "(resources.diskMb). Delete some files."
  })

/**
 * Makes a watch that lasts until the scope closes.
 */
export const make: Effect.Effect<DiskWatch, never, Scope.Scope> = Effect.gen(function*() {
  const entries = new Set<Entry>()
  const some = yield* Effect.makeLatch(false)
  const clock = yield* Effect.clock

  const look = Effect.fnUntraced(function*(entry: Entry) {
    const before = entry.arrived
    const found = yield* walk(entry.watched.workspace)
    entry.known = add(found, subtract(entry.arrived, before))
    return found
  })

  const judge = Effect.fnUntraced(function*(entry: Entry) {
    const found = yield* look(entry)
    if (!isOver(entry, found)) {
      entry.excess = undefined
      return
    }
    const { excess } = entry
    entry.excess = found
    // Who deletes is left alone, also where it takes a while.
    if (excess === undefined || found.bytes > excess.bytes || found.files > excess.files) {
      const twice = found.bytes > 2 * entry.room.bytes || found.files > 2 * entry.room.files
      yield* entry.watched.onExcess(full(entry, found), twice && excess !== undefined)
    }
  })

  const round = Effect.gen(function*() {
    const startedAt = clock.unsafeCurrentTimeMillis()
    yield* Effect.forEach([...entries], judge, { discard: true })
    const took = clock.unsafeCurrentTimeMillis() - startedAt
    yield* Effect.sleep(Duration.millis(Math.max(PAUSE, took * RATIO)))
  })
  yield* Effect.forkScoped(Effect.forever(some.whenOpen(round)))

  /** Succeeds when what is on its way fits, having looked anew before it fails. */
  const requireRoom = Effect.fnUntraced(function*(entry: Entry) {
    if (!isOver(entry, add(entry.known, entry.pending))) return
    yield* look(entry)
    const wanted = add(entry.known, entry.pending)
    if (isOver(entry, wanted)) yield* full(entry, wanted)
  })

  const beginUpload = (entry: Entry): Upload => {
    let mine: Disk.Room = { bytes: 0, files: 1 }
    entry.pending = add(entry.pending, mine)
    return {
      admit: (bytes) =>
        Effect.suspend(() => {
          mine = { ...mine, bytes: mine.bytes + bytes }
          entry.pending = { ...entry.pending, bytes: entry.pending.bytes + bytes }
          return requireRoom(entry)
        }),
      end: Effect.sync(() => {
        entry.pending = subtract(entry.pending, mine)
        entry.known = add(entry.known, mine)
        entry.arrived = add(entry.arrived, mine)
        mine = NOTHING
      })
    }
  }

  const enter = (entry: Entry): Effect.Effect<void> =>
    Effect.zipRight(
      Effect.sync(() => entries.add(entry)),
      some.open
    )

  const leave = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      entries.delete(entry)
      return entries.size === 0 ? some.close : Effect.void
    })

  return {
    watch: (watched) =>
      Effect.gen(function*() {
        const entry: Entry = {
          watched,
          room: Disk.roomOf(watched.diskMb),
          known: NOTHING,
          arrived: NOTHING,
          excess: undefined,
          pending: NOTHING
        }
        yield* Effect.acquireRelease(enter(entry), () => leave(entry))
        yield* look(entry)
        return { upload: Effect.sync(() => beginUpload(entry)) } satisfies Gauge
      })
  }
})
