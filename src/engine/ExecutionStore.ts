/**
 * Which executions an engine still knows: all that run, and of those that have ended the latest, as many as there is room
 * for.
 */
import type { Entry } from "./ExecutionEntry.js"
import { hasEnded } from "./ExecutionEntry.js"
import { makeOwned } from "./Owned.js"

/**
 * The executions of an engine.
 */
export interface ExecutionStore {
  readonly add: (entry: Entry) => void
  readonly get: (userId: string, id: string) => Entry | undefined
  /** Those of a sandbox, oldest first. */
  readonly of: (sandboxId: string) => ReadonlyArray<Entry>
  /** Those that have not ended. */
  readonly running: () => ReadonlyArray<Entry>
  /** One has ended: from now on it counts, and can be forgotten. */
  readonly ended: (entry: Entry) => void
  /** Somebody who cannot have missed anything has had all of one that has ended: not much of it is kept. */
  readonly read: (entry: Entry) => void
  /** When the first of those that have ended did; `undefined` when none has. */
  readonly firstEnd: () => number | undefined
  /** Forgets those that ended then, or before. */
  readonly forgetUntil: (time: number) => void
}

/** What an execution takes beside its events, in bytes: an estimate from above. */
const EXECUTION_COST = 2.5 * 1024

/** How many bytes of a log are kept that has been read to its end. */
const READ_BYTES = 8 * 1024

/** How many bytes the executions of a sandbox may take that have been read to their end. */
const SANDBOX_READ_BYTES = 32 * 1024

/** How many bytes all executions of a sandbox may take that have ended, and those of all sandboxes together. */
const SANDBOX_BYTES = 32 * 1024 * 1024
const ENGINE_BYTES = 256 * 1024 * 1024

/** The executions of one sandbox, and how many bytes those take that have ended, and of these those that were read. */
interface Ledger {
  readonly entries: Set<Entry>
  ended: number
  read: number
}

/**
 * Makes it.
 */
export const makeExecutionStore = (): ExecutionStore => {
  const owned = makeOwned<Entry>()
  const ledgers = new Map<string, Ledger>()
  const running = new Set<Entry>()
  /** In the order in which they ended. */
  const over = new Set<Entry>()
  let kept = 0

  const ledgerOf = (sandboxId: string): Ledger => {
    const known = ledgers.get(sandboxId)
    if (known !== undefined) return known
    const made: Ledger = { entries: new Set(), ended: 0, read: 0 }
    ledgers.set(sandboxId, made)
    return made
  }

  const count = (ledger: Ledger, entry: Entry, bytes: number): void => {
    const more = bytes - entry.cost
    kept += more
    ledger.ended += more
    if (entry.read) ledger.read += more
    entry.cost = bytes
  }

  const forget = (entry: Entry): void => {
    const { sandboxId, userId } = entry.about
    const ledger = ledgerOf(sandboxId)
    count(ledger, entry, 0)
    over.delete(entry)
    owned.delete(userId, entry.id)
    ledger.entries.delete(entry)
    if (ledger.entries.size === 0) ledgers.delete(sandboxId)
  }

  const forgetFirst = (entries: Iterable<Entry>, which: (entry: Entry) => boolean): void => {
    for (const entry of entries) {
      if (which(entry)) return forget(entry)
    }
  }

  const settle = (entry: Entry): void => {
    const ledger = ledgerOf(entry.about.sandboxId)
    count(ledger, entry, EXECUTION_COST + entry.events.log.bytes())
    while (ledger.read > SANDBOX_READ_BYTES) forgetFirst(ledger.entries, (one) => one.read)
    while (ledger.ended > SANDBOX_BYTES) forgetFirst(ledger.entries, hasEnded)
    while (kept > ENGINE_BYTES) forgetFirst(over, hasEnded)
  }

  return {
    add: (entry) => {
      owned.set(entry.about.userId, entry.id, entry)
      ledgerOf(entry.about.sandboxId).entries.add(entry)
      running.add(entry)
    },
    get: owned.get,
    of: (sandboxId) => [...ledgers.get(sandboxId)?.entries ?? []],
    running: () => [...running],
    ended: (entry) => {
      running.delete(entry)
      over.add(entry)
      settle(entry)
    },
    read: (entry) => {
      if (over.has(entry) && !entry.read) {
        entry.read = true
        ledgerOf(entry.about.sandboxId).read += entry.cost
        entry.events.log.shrink(READ_BYTES)
        settle(entry)
      }
    },
    firstEnd: () => {
      for (const { endedAt } of over) return endedAt
      return undefined
    },
    forgetUntil: (time) => {
      for (const entry of over) {
        if ((entry.endedAt ?? 0) > time) return
        forget(entry)
      }
    }
  }
}
