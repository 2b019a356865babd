/**
 * Writes to files that the agent has open and lends to the engine.
 *
 * A workspace that is a disk of its own is a file of the host behind a loop device. What is written there in the common way
 * is copied twice, into the kernel's cache of the file and from there into that of the host's file, and then has to be
 * waited for. Around the first of them (open(2), `O_DIRECT`) it is in the second, and has its room on the host's disk, as
 * soon as it is written.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import type { FileHandle } from "node:fs/promises"
import * as Spare from "../internal/spare.js"
import type { Lender } from "./Lent.js"

/** What is written at once; one such piece is filled while another is written. Less at once takes longer. */
const WRITE_BYTES = 4 * 1024 * 1024

/** What is written around the cache begins and ends at one of these, in the file and in memory: a page, or more blocks. */
const BLOCK_BYTES = 4096

/** How much is written through the cache before it is brought to the disk, as the agent does. */
const SYNC_STEP = 8 * 1024 * 1024

/**
 * Writes to a lent file. What either gives is what could not be written, in order, and then the file ends before
 * these bytes, and the writer is not to be used any more.
 */
export interface LentWriter {
  /** Where bytes can be put that are pushed next, so that they need not be copied. */
  readonly free: () => Uint8Array
  /** Takes bytes, which may change as soon as this has succeeded. */
  readonly push: (bytes: Uint8Array) => Effect.Effect<ReadonlyArray<Uint8Array>>
  /** Writes what it still has. */
  readonly end: Effect.Effect<ReadonlyArray<Uint8Array>>
}

/** Memory that begins at a page: an `ArrayBuffer` that could be made larger is made of pages, by V8. */
const pages = () => Buffer.from(new ArrayBuffer(WRITE_BYTES, { maxByteLength: WRITE_BYTES }))

const pairs = Spare.make(() => ({ filling: pages(), spare: pages() }))

const isInvalid = (error: unknown) => error instanceof Error && "code" in error && error.code === "EINVAL"

/**
 * Makes a writer, which writes on from a position. Its fibers end with the scope.
 *
 * @param direct the same file, opened around the cache, if that can be had and is of use.
 */
export const make = Effect.fnUntraced(function*(
  file: FileHandle,
  direct: Option.Option<FileHandle>,
  from: number,
  { changing, most, sync }: Pick<Lender, "changing" | "most" | "sync">
): Effect.fn.Return<LentWriter, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let around = Option.getOrUndefined(direct)
  let { filling, spare } = pairs.take()
  let filled = 0
  // The first piece ends where a block does, so that all others begin there.
  let size = WRITE_BYTES - from % BLOCK_BYTES
  let position = from
  let writing: Fiber.Fiber<Buffer> | undefined
  let unsynced = 0
  let syncing: Fiber.Fiber<boolean> | undefined

  /** Writes some of it, around the cache where that is possible. Rejects when nothing can be written. */
  const writeSome = async (bytes: Buffer): Promise<number> => {
    const whole = bytes.length - bytes.length % BLOCK_BYTES
    if (around !== undefined && whole > 0 && position % BLOCK_BYTES === 0) {
      try {
        return (await around.write(bytes, 0, whole, position)).bytesWritten
      } catch (error) {
        // The kernel wants it in another way (larger blocks): as it is always possible, then.
        if (!isInvalid(error)) throw error
        around = undefined
      }
    }
    const { bytesWritten } = await file.write(bytes, 0, bytes.length, position)
    unsynced += bytesWritten
    return bytesWritten
  }

  /** Writes as much as it can; gives the rest. */
  const writeOut = (bytes: Buffer): Effect.Effect<Buffer> =>
    Effect.promise(async () => {
      let rest = bytes
      try {
        while (rest.length > 0 && position + rest.length <= most) {
          const written = await writeSome(rest)
          position += written
          rest = rest.subarray(written)
        }
      } catch {
        // The agent will be told the same, and has the words for it.
      }
      return rest
    })

  /** Whether what was written before has reached the disk. */
  const synced = Effect.suspend(() => syncing === undefined ? Effect.succeed(true) : Fiber.join(syncing))

  const beginSync = Effect.gen(function*() {
    unsynced = 0
    syncing = yield* Effect.forkIn(
      Effect.isSuccess(Effect.tryPromise(() => file.datasync())),
      scope
    )
  })

  /** Not interruptible where it writes: what is under way could not be called back. */
  const writePiece = (bytes: Buffer): Effect.Effect<Buffer> =>
    Effect.gen(function*() {
      const rest = yield* changing(Effect.uninterruptible(writeOut(bytes)))
      if (rest.length > 0 || !sync || unsynced < SYNC_STEP) return rest
      if (yield* synced) yield* beginSync
      return rest
    })

  /** Waits for the piece that is being written, and has what is filled written next. Gives what is left when that fails. */
  const turn = Effect.gen(function*() {
    const rest = writing === undefined ? undefined : yield* Fiber.join(writing)
    const next = filling.subarray(0, filled)
    if (rest !== undefined && rest.length > 0) return [rest, next]
    writing = yield* Effect.forkIn(writePiece(next), scope)
    const free = spare
    spare = filling
    filling = free
    filled = 0
    size = WRITE_BYTES
    return []
  })

  const isInPlace = (bytes: Uint8Array) =>
    bytes.buffer === filling.buffer && bytes.byteOffset === filling.byteOffset + filled

  return {
    free: () => filling.subarray(filled, size),
    push: (bytes) =>
      Effect.gen(function*() {
        let offset = 0
        while (offset < bytes.length) {
          const part = bytes.subarray(offset, offset + size - filled)
          if (!isInPlace(part)) filling.set(part, filled)
          filled += part.length
          offset += part.length
          if (filled === size) {
            const rest = yield* turn
            if (rest.length > 0) return [...rest, bytes.subarray(offset)]
          }
        }
        return []
      }),
    end: Effect.gen(function*() {
      const left = yield* turn
      if (left.length > 0 || writing === undefined) return left
      const rest = yield* Fiber.join(writing)
      yield* synced
      if (rest.length > 0) return [rest]
      pairs.giveBack({ filling, spare })
      return []
    })
  }
})
