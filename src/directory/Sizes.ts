/**
 * What goes together when a directory is copied, and what is too much.
 */
import { SandboxError } from "../Errors.js"

/** The bytes that are copied out of a sandbox at most, unless something else is said. */
export const DEFAULT_BYTES = 10 * 1024 ** 3

/**
 * There is more in the sandbox than is to be copied.
 */
export const tooMuch = (operation: string, field: "maxBytes" | "maxEntries", limit: number) =>
  new SandboxError({
    code: "quota_exceeded",
    field,
    message: `${operation}: there is more than ${field} allows, ${limit}; raise it if all of that is wanted.`
  })

/** A file that is larger goes by itself, in pieces. */
export const SMALL_BYTES = 256 * 1024

/** Entries that go together. */
const BATCH_ENTRIES = 1_000

/** Bytes of small files that go together: they are in memory. */
const BATCH_BYTES = 4 * 1024 * 1024

/** Files of this machine that are used at the same time. */
export const CONCURRENCY = 8

/**
 * Collects entries until there is enough for a round trip.
 */
export const makeBatch = <A>(sizeOf: (entry: A) => number) => {
  let entries: Array<A> = []
  let bytes = 0
  return {
    /** Adds one. Says whether all of them should go now. */
    add: (entry: A): boolean => {
      const size = sizeOf(entry)
      entries.push(entry)
      bytes += size <= SMALL_BYTES ? size : 0
      return entries.length >= BATCH_ENTRIES || bytes >= BATCH_BYTES
    },
    /** All of them; there are none then. */
    take: (): ReadonlyArray<A> => {
      const taken = entries
      entries = []
      bytes = 0
      return taken
    }
  }
}
