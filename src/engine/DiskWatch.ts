/**
 * Watches over the disks of sandboxes, with one fiber for all of them. What is too much is found out after it has been
 * written, and then what writes is stopped. Writes through the API are refused before.
 *
 * In a workspace that the kernel does not limit, too much is what is beyond its limit. For one that it does limit, too
 * much is what the host has no room for: its image grows as it is filled, and what the host's disk cannot take of it would
 * be lost after the program was told that it is written.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { SandboxError } from "../Errors.js"
import { acquireRelease } from "../internal/finalizing.js"
import * as Disk from "../isolation/Disk.js"
import { walk } from "./DiskUsage.js"

/**
 * A workspace to watch.
 */
export interface Watched {
  readonly sandboxId: string
  readonly workspace: string
  readonly diskMb: number
  readonly limitedByKernel: boolean
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
 * Tells how much there is room for.
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

/** How much is let through to a disk between two looks at the host's, in bytes. */
const HOST_STEP = 4 * MIB

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
  /** What was there when it, or the host's disk, was last found to be too full. */
  excess: Disk.Room | undefined
  /** Whether what writes has been stopped at the last look. */
  settling: boolean
  /** What is on its way into files that have no name yet. */
  pending: Disk.Room
}

const isOver = (entry: Entry, { bytes, files }: Disk.Room): boolean =>
  bytes > entry.room.bytes || files > entry.room.files

const grew = (before: Disk.Room, now: Disk.Room): boolean => now.bytes > before.bytes || now.files > before.files

const full = ({ room, watched: { diskMb, sandboxId } }: Entry, found: Disk.Room): SandboxError =>
  new SandboxError({
    code: "disk_full",
    sandboxId,
    message: found.files > room.files
      ? `The disk of the sandbox is full: /workspace may hold ${room.files} files (one for each 16 KiB of ` +
        `resources.diskMb, which is ${diskMb}). Delete some files.`
      : `The disk of the sandbox is full: the files in /workspace take ${
        Math.ceil(found.bytes / MIB)
      } of ${diskMb} MiB (resources.diskMb). Delete some files.`
  })

/**
 * Makes a watch over workspaces below a folder. It lasts until the scope closes.
 */
export const make = Effect.fnUntraced(function*(
  directory: string
): Effect.fn.Return<DiskWatch, never, Scope.Scope> {
  const entries = new Set<Entry>()
  const some = yield* Effect.makeLatch(false)
  // That of the machine, whatever the program goes by: disks fill in its time.
  const clock = Clock.make()

  const look = Effect.fnUntraced(function*(entry: Entry) {
    const before = entry.arrived
    const found = yield* walk(entry.watched.workspace)
    entry.known = add(found, subtract(entry.arrived, before))
    return found
  })

  const judgeFolder = Effect.fnUntraced(function*(entry: Entry) {
    const found = yield* look(entry)
    if (!isOver(entry, found)) {
      entry.excess = undefined
      return
    }
    const { excess } = entry
    entry.excess = found
    // Who deletes is left alone, also where it takes a while; and so is who comes after what has just been stopped, for
    // that had gone on until then.
    const isSettling = entry.settling
    entry.settling = false
    if (!isSettling && (excess === undefined || grew(excess, found))) {
      entry.settling = true
      const twice = found.bytes > 2 * entry.room.bytes || found.files > 2 * entry.room.files
      yield* entry.watched.onExcess(full(entry, found), twice && excess !== undefined)
    }
  })

  /** While the host's disk is nearly full: what is there is brought to it, and what writes on is stopped. */
  const judgeDisk = Effect.fnUntraced(function*(entry: Entry, lack: SandboxError) {
    const { onExcess, sandboxId, workspace } = entry.watched
    const found = Option.getOrElse(yield* Disk.used(workspace), () => NOTHING)
    const { excess, settling } = entry
    entry.excess = found
    entry.settling = false
    if (excess !== undefined && !grew(excess, found)) return
    yield* Disk.flush(workspace)
    if (excess === undefined || settling) return
    entry.settling = true
    yield* onExcess(new SandboxError({ ...lack, sandboxId, message: lack.message }), false)
  })

  const judgeDisks = Effect.fnUntraced(function*(disks: ReadonlyArray<Entry>) {
    const room = disks.length === 0 ? Either.void : yield* Effect.either(Disk.requireHostRoom(directory, 0))
    yield* Either.isLeft(room)
      ? Effect.forEach(disks, (entry) => judgeDisk(entry, room.left), { concurrency: 4, discard: true })
      : Effect.sync(() => {
        for (const entry of disks) entry.excess = undefined
      })
  })

  const round = Effect.gen(function*() {
    const startedAt = clock.unsafeCurrentTimeMillis()
    const all = [...entries]
    yield* Effect.forEach(all.filter(({ watched }) => !watched.limitedByKernel), judgeFolder, { discard: true })
    yield* judgeDisks(all.filter(({ watched }) => watched.limitedByKernel))
    const took = clock.unsafeCurrentTimeMillis() - startedAt
    yield* Effect.sleep(Duration.millis(Math.max(PAUSE, took * RATIO)))
  })
  yield* Effect.forkScoped(Effect.withClock(Effect.forever(some.whenOpen(round)), clock))

  /** Succeeds when what is on its way fits, having looked anew before it fails. */
  const requireRoom = Effect.fnUntraced(function*(entry: Entry) {
    if (!isOver(entry, add(entry.known, entry.pending))) return
    yield* look(entry)
    const wanted = add(entry.known, entry.pending)
    if (isOver(entry, wanted)) yield* full(entry, wanted)
  })

  const beginUploadToDisk = ({ watched: { sandboxId } }: Entry): Upload => {
    let step = HOST_STEP
    return {
      admit: (bytes) =>
        Effect.suspend(() => {
          step += bytes
          if (step < HOST_STEP) return Effect.void
          step = 0
          return Disk.requireHostRoom(directory, bytes, sandboxId)
        }),
      end: Effect.void
    }
  }

  const beginUploadToFolder = (entry: Entry): Upload => {
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
          settling: false,
          pending: NOTHING
        }
        yield* acquireRelease(enter(entry), () => leave(entry))
        if (watched.limitedByKernel) {
          return { upload: Effect.sync(() => beginUploadToDisk(entry)) } satisfies Gauge
        }
        const found = yield* look(entry)
        // It was left so. Who starts it may want to delete.
        if (isOver(entry, found)) entry.excess = found
        return { upload: Effect.sync(() => beginUploadToFolder(entry)) } satisfies Gauge
      })
  }
})
