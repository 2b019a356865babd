/**
 * Watches over workspaces that the kernel does not limit, with one fiber for all of them. What is too much is found out
 * after it has been written, and then what writes is stopped. Writes through the API are refused before.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
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
 * How full a watched workspace is.
 */
export interface Gauge {
  /** Lets content through to a file for as long as there is room; then it fails with `disk_full`. */
  readonly admit: <E>(content: Stream.Stream<Uint8Array, E>) => Stream.Stream<Uint8Array, E | SandboxError>
  /** Lets another directory be made, or fails with `disk_full`. */
  readonly admitDirectory: Effect.Effect<void, SandboxError>
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

/** What a new directory takes. */
const DIRECTORY: Disk.Room = { bytes: 4096, files: 1 }

interface Entry {
  readonly watched: Watched
  readonly room: Disk.Room
  /** What was there at the last look, and what has been let through since. */
  known: Disk.Room
  /** What was there when it was last found to be too much. */
  excess: Disk.Room | undefined
  /** Bytes that are on their way into files that have no name yet. */
  pending: number
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
      : `The disk of the sandbox is full: the files in /workspace take ${Math.ceil(found.bytes / MIB)} of ${diskMb} MiB ` +
        "(resources.diskMb). Delete some files."
  })

/**
 * Makes a watch that lasts until the scope closes.
 */
export const make: Effect.Effect<DiskWatch, never, Scope.Scope> = Effect.gen(function*() {
  const entries = new Set<Entry>()
  const some = yield* Effect.makeLatch(false)
  const clock = yield* Effect.clock

  const look = (entry: Entry): Effect.Effect<Disk.Room> =>
    Effect.tap(walk(entry.watched.workspace), (found) =>
      Effect.sync(() => {
        entry.known = found
      }))

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

  /** Succeeds when so much more would fit, having looked anew before it fails. */
  const require = Effect.fnUntraced(function*(entry: Entry, more: Disk.Room) {
    const plus = (known: Disk.Room) => ({ bytes: known.bytes + more.bytes, files: known.files + more.files })
    if (!isOver(entry, plus(entry.known))) return
    const wanted = plus(yield* look(entry))
    if (isOver(entry, wanted)) yield* full(entry, wanted)
  })

  const admit = <E>(
    entry: Entry,
    content: Stream.Stream<Uint8Array, E>
  ): Stream.Stream<Uint8Array, E | SandboxError> => {
    let mine = 0
    const arrived = Effect.sync(() => {
      entry.pending -= mine
      entry.known = { bytes: entry.known.bytes + mine, files: entry.known.files + 1 }
    })
    return content.pipe(
      Stream.mapEffect((piece) => {
        mine += piece.length
        entry.pending += piece.length
        return Effect.as(require(entry, { bytes: entry.pending, files: 1 }), piece)
      }),
      Stream.ensuring(arrived)
    )
  }

  const add = (entry: Entry): Effect.Effect<void> =>
    Effect.zipRight(
      Effect.sync(() => entries.add(entry)),
      some.open
    )

  const remove = (entry: Entry): Effect.Effect<void> =>
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
          known: { bytes: 0, files: 0 },
          excess: undefined,
          pending: 0
        }
        yield* Effect.acquireRelease(add(entry), () => remove(entry))
        yield* look(entry)
        return {
          admit: (content) => admit(entry, content),
          admitDirectory: Effect.zipRight(
            require(entry, DIRECTORY),
            Effect.sync(() => {
              entry.known = { bytes: entry.known.bytes + DIRECTORY.bytes, files: entry.known.files + DIRECTORY.files }
            })
          )
        } satisfies Gauge
      })
  }
})
