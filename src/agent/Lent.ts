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
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import type { FileHandle } from "node:fs/promises"
import * as Spare from "../internal/spare.js"

/**
 * A file that was lent cannot be read on.
 */
class NotRead extends Data.TaggedError("NotRead")<{ readonly reason: string }> {}

/**
 * For what a file is opened. `direct`: to be written around the kernel's cache of it (open(2), `O_DIRECT`), in whole blocks,
 * from memory that begins at a page.
 */
export type Access = "read" | "write" | "direct"

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
    access: Access
  ) => Effect.Effect<FileHandle, unknown, Scope.Scope>
  /** Does something that changes files: while the sandbox stands still, it waits. */
  readonly changing: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Up to which size a file may be written, in bytes. */
  readonly most: number
  /** Whether the workspace is a disk of its own, to which what is written has to be brought as it comes. */
  readonly sync: boolean
}

/** What is read at once into new memory. More of it at once takes longer. */
const READ_BYTES = 256 * 1024

/**
 * What is read at once into memory that is used again. For each piece, a thread is woken and Node hears of it, which takes
 * as long as copying one or two megabytes.
 */
const REUSED_BYTES = 4 * 1024 * 1024

const notRead = (cause: unknown): NotRead =>
  new NotRead({ reason: cause instanceof Error ? cause.message : String(cause) })

/** Where pieces are read to. */
interface Memory {
  readonly next: () => Buffer
  /** All pieces have been read and used. */
  readonly done: () => void
}

/** A new one for each piece. */
const anew = (): Memory => ({ next: () => Buffer.allocUnsafeSlow(READ_BYTES), done: () => {} })

const pairs = Spare.make(() => ({
  next: Buffer.allocUnsafeSlow(REUSED_BYTES),
  other: Buffer.allocUnsafeSlow(REUSED_BYTES)
}))

/** The same two in turns: one is read into while the other is with whoever has asked for it. */
const inTurns = (): Memory => {
  const pair = pairs.take()
  return {
    next: () => {
      const taken = pair.next
      pair.next = pair.other
      pair.other = taken
      return taken
    },
    done: () => pairs.giveBack(pair)
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
      file.read({ buffer: memory.next(), position }).then(
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
        if (piece.length === 0) {
          memory.done()
          return Effect.fail(Option.none())
        }
        ahead = ask()
        return Effect.succeed(Chunk.of(piece))
      })
    )
  })
