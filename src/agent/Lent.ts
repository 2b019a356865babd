/**
 * Files that the agent has open and lends to the engine, which then reads and writes their bytes itself, instead of having
 * them brought by frames.
 *
 * It is the agent that opens a file, by the rules of the sandbox, and gives it its name; lending changes nothing but the
 * way of the bytes. So each of these can be broken off at any byte, and frames carry the rest.
 */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import type { FileHandle } from "node:fs/promises"

/**
 * A file that was lent cannot be read on.
 */
class NotRead extends Data.TaggedError("NotRead")<{ readonly reason: string }> {}

/**
 * How the engine gets at what the agent has open.
 */
export interface Lender {
  /**
   * Opens the file that the agent has open at one of its descriptors, until the scope closes. The number is the agent's
   * word: what is opened is a plain file of this sandbox's workspace, or nothing.
   */
  readonly open: (
    descriptor: number,
    access: "read" | "write"
  ) => Effect.Effect<FileHandle, unknown, Scope.Scope>
  /** Does something that changes files: while the sandbox stands still, it waits. */
  readonly changing: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Up to which size a file may be written, in bytes. */
  readonly most: number
  /** Whether what is written has to be brought to the disk as it comes. */
  readonly sync: boolean
}

/** What is read at once into new memory. More of it at once takes longer. */
const READ_BYTES = 256 * 1024

/** What is read at once into memory that is used again. */
const REUSED_BYTES = 1024 * 1024

/** What is written at once; one such piece is filled while another is written. */
const WRITE_BYTES = 512 * 1024

/** How much is written before it is brought to the disk, as the agent does. */
const SYNC_STEP = 8 * 1024 * 1024

const notRead = (cause: unknown): NotRead =>
  new NotRead({ reason: cause instanceof Error ? cause.message : String(cause) })

/** Memory for a piece: a new one each time. */
const anew = () => () => Buffer.allocUnsafeSlow(READ_BYTES)

/** The same two in turns: one is read into while the other is with whoever has asked for it. */
const inTurns = () => {
  let next = Buffer.allocUnsafeSlow(REUSED_BYTES)
  let other = Buffer.allocUnsafeSlow(REUSED_BYTES)
  return () => {
    const taken = next
    next = other
    other = taken
    return taken
  }
}

/**
 * The bytes of a file, from its beginning to where it ends when that is reached. One piece is read ahead.
 *
 * @param reuse whether a piece may change as soon as the next one is asked for (`internal/reusing.ts`).
 */
export const read = (file: FileHandle, reuse: boolean): Stream.Stream<Uint8Array, NotRead> =>
  Stream.suspend(() => {
    const memory = (reuse ? inTurns : anew)()
    let position = 0
    // Never rejects: it may be that nobody asks for it any more.
    const ask = (): Promise<Uint8Array | NotRead> =>
      file.read({ buffer: memory(), position }).then(
        ({ buffer, bytesRead }) => {
          position += bytesRead
          return bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead)
        },
        notRead
      )
    let ahead = ask()
    return Stream.repeatEffectChunkOption(
      Effect.flatMap(Effect.promise(() => ahead), (piece) => {
        if (piece instanceof NotRead) return Effect.fail(Option.some(piece))
        if (piece.length === 0) return Effect.fail(Option.none())
        ahead = ask()
        return Effect.succeed(Chunk.of(piece))
      })
    )
  })

/**
 * Writes to a lent file. What either gives is what could not be written, in order, and then the file ends before
 * these bytes, and the writer is not to be used any more.
 */
export interface LentWriter {
  /** Takes bytes, which may change as soon as this has succeeded. */
  readonly push: (bytes: Uint8Array) => Effect.Effect<ReadonlyArray<Uint8Array>>
  /** Writes what it still has. */
  readonly end: Effect.Effect<ReadonlyArray<Uint8Array>>
}

/**
 * Makes a writer, which writes on from a position. Its fibers end with the scope.
 */
export const makeWriter = Effect.fnUntraced(function*(
  file: FileHandle,
  from: number,
  { changing, most, sync }: Pick<Lender, "changing" | "most" | "sync">
): Effect.fn.Return<LentWriter, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let filling = Buffer.allocUnsafeSlow(WRITE_BYTES)
  let filled = 0
  let spare = Buffer.allocUnsafeSlow(WRITE_BYTES)
  let position = from
  let writing: Fiber.Fiber<Buffer> | undefined
  let unsynced = 0
  let syncing: Fiber.Fiber<boolean> | undefined

  /** Writes as much as it can; gives the rest. */
  const writeOut = (bytes: Buffer): Effect.Effect<Buffer> =>
    Effect.promise(async () => {
      let rest = bytes
      try {
        while (rest.length > 0 && position + rest.length <= most) {
          const { bytesWritten } = await file.write(rest, 0, rest.length, position)
          position += bytesWritten
          rest = rest.subarray(bytesWritten)
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
      unsynced += bytes.length - rest.length
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
    filling = spare
    spare = next.length === WRITE_BYTES ? next : Buffer.allocUnsafeSlow(WRITE_BYTES)
    filled = 0
    return []
  })

  return {
    push: (bytes) =>
      Effect.gen(function*() {
        let offset = 0
        while (offset < bytes.length) {
          const part = bytes.subarray(offset, offset + WRITE_BYTES - filled)
          filling.set(part, filled)
          filled += part.length
          offset += part.length
          if (filled === WRITE_BYTES) {
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
      return rest.length > 0 ? [rest] : []
    })
  }
})
