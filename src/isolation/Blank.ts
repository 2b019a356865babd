/**
 * New file systems that are written as copies of the first of their size: what mkfs(8) writes of a sparse one is some
 * hundred kilobytes, and most of its time goes into waiting for the disk, several times over.
 */
import * as Effect from "effect/Effect"
import { Buffer } from "node:buffer"
import * as Fs from "node:fs/promises"
import * as Host from "./Host.js"
import * as Mounts from "./Mounts.js"

/** What a new file system has at one place; everywhere else there are zeros. */
interface Piece {
  readonly at: number
  readonly bytes: Buffer
}

/**
 * The file systems that are known, by how they were made.
 */
export interface Blanks {
  /**
   * Writes the file of a new file system, whose size is in bytes, if one like it is known: gives whether. With `kept`, it is
   * on the disk when this has succeeded.
   */
  readonly write: (kind: string, image: string, size: number, kept: boolean) => Effect.Effect<boolean, string>
  /** Takes note of one that has been made this moment. Where that cannot be, nothing is lost but time. */
  readonly learn: (kind: string, image: string) => Effect.Effect<void>
}

/** How many kinds are known at a time, and the most bytes of one. */
const KINDS = 8
const LARGEST = 1024 * 1024

/** `ext: logical_offset: physical_offset: length: …`, in blocks (filefrag(8), `-v`). */
const EXTENT = /^\s*\d+:\s*(\d+)\.\.\s*(\d+):/gm

/** How long the blocks are that filefrag(8) counts in. */
const BLOCK_BYTES = 4096

const PLACES = ["-v", `-b${BLOCK_BYTES}`]

/** What a file has that are not zeros. Fails where the host's file system does not tell, and when it is too much. */
const read = Effect.fnUntraced(function*(image: string) {
  const extents = [...(yield* Mounts.tool("filefrag", [...PLACES, image])).matchAll(EXTENT)].map(([, first, last]) => ({
    at: Number(first) * BLOCK_BYTES,
    length: (Number(last) - Number(first) + 1) * BLOCK_BYTES
  }))
  const length = extents.reduce((sum, extent) => sum + extent.length, 0)
  if (length === 0 || length > LARGEST) return yield* Effect.fail(`it has ${length} bytes`)
  return yield* Effect.tryPromise({
    try: async () => {
      const pieces: Array<Piece> = []
      const file = await Fs.open(image, "r")
      try {
        for (const { at, length } of extents) {
          const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
          const bytes = buffer.subarray(0, bytesRead)
          if (bytes.some((byte) => byte !== 0)) pieces.push({ at, bytes })
        }
      } finally {
        await file.close()
      }
      return pieces
    },
    catch: String
  })
})

const write = (image: string, size: number, pieces: ReadonlyArray<Piece>, kept: boolean): Effect.Effect<void, string> =>
  Host.untilDone({
    try: async () => {
      const file = await Fs.open(image, "wx", 0o600)
      try {
        await file.truncate(size)
        await Promise.all(pieces.map(async ({ at, bytes }) => {
          const { bytesWritten } = await file.write(bytes, 0, bytes.length, at)
          if (bytesWritten < bytes.length) throw new Error("no space left on the device")
        }))
        if (kept) await file.sync()
      } finally {
        await file.close()
      }
    },
    catch: String
  })

/**
 * Knows of none.
 */
export const make = (): Blanks => {
  const known = new Map<string, ReadonlyArray<Piece>>()
  return {
    write: (kind, image, size, kept) => {
      const pieces = known.get(kind)
      return pieces === undefined
        ? Effect.succeed(false)
        : Effect.as(write(image, size, pieces, kept), true)
    },
    learn: (kind, image) =>
      Effect.suspend(() => known.has(kind) ? Effect.void : read(image)).pipe(
        Effect.tap((pieces) =>
          Effect.sync(() => {
            if (pieces === undefined) return
            const [oldest] = known.keys()
            if (known.size >= KINDS && oldest !== undefined) known.delete(oldest)
            known.set(kind, pieces)
          })
        ),
        Effect.catchAll((reason) =>
          Effect.logDebug("New file systems of this kind are made one by one").pipe(
            Effect.annotateLogs({ kind, reason })
          )
        )
      )
  }
}
