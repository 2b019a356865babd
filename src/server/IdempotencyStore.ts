/**
 * What a server knows of requests, in memory: of each user, within limits.
 */
import type * as Deferred from "effect/Deferred"
import type * as Fiber from "effect/Fiber"
import type { JournalRecord } from "./IdempotencyJournal.js"

/**
 * Which request this is: `fingerprint` stands for all of it that may not differ when it is made again.
 */
export interface Keyed {
  readonly user: string
  readonly key: string
  readonly fingerprint: string
}

/**
 * An answer as it can be given again.
 */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/**
 * Limits of what is kept of each user.
 */
export interface IdempotencyLimits {
  /** How many keys. The oldest are forgotten first. */
  readonly maxKeys: number
  /** Bytes of answers. Of the oldest, only that they were given is kept. */
  readonly maxBytes: number
  /** How long after its end a request is known, in milliseconds. */
  readonly maxAgeMs: number
}

/**
 * What has become of a request.
 */
export type State =
  | {
    readonly _tag: "Running"
    /** `undefined` once the request has been released: whoever waits carries it out itself then. */
    readonly outcome: Deferred.Deferred<Answer | undefined>
    fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
    waiting: number
  }
  | { readonly _tag: "Starting"; readonly executionId: Deferred.Deferred<string | undefined> }
  | { readonly _tag: "Run"; readonly executionId: string; readonly hasEnded: boolean }
  | { readonly _tag: "Done"; readonly answer: Answer }
  /** Carried out, its answer is not kept. */
  | { readonly _tag: "Gone"; readonly status: number }
  | { readonly _tag: "Unknown" }

/**
 * A request.
 */
export interface Entry extends Keyed {
  at: number
  state: State
}

/**
 * One that is being carried out.
 */
export type Running = Extract<State, { readonly _tag: "Running" }>

/**
 * Whether nothing of it goes on.
 */
export const isOver = ({ state }: Entry): boolean =>
  state._tag === "Run" ? state.hasEnded : state._tag !== "Running" && state._tag !== "Starting"

const sizeOf = ({ state }: Entry): number => state._tag === "Done" ? state.answer.body.length : 0

/** What is kept of one user: entries in the order in which they ended. */
interface Kept {
  readonly entries: Map<string, Entry>
  bytes: number
}

/**
 * What the next server is to know of it.
 */
export const recordOf = ({ at, fingerprint, key, state, user }: Entry): JournalRecord | undefined => {
  switch (state._tag) {
    case "Done":
      return { _tag: "Done", user, key, fingerprint, at, ...state.answer }
    case "Gone":
      return { _tag: "Done", user, key, fingerprint, at, status: state.status, headers: {} }
    default:
      return { _tag: "Begun", user, key, fingerprint, at }
  }
}

/**
 * What the next server knows of a request.
 */
export const stateOf = (record: Exclude<JournalRecord, { readonly _tag: "Released" }>): State =>
  record._tag === "Begun"
    ? { _tag: "Unknown" }
    : record.body === undefined
    ? { _tag: "Gone", status: record.status }
    : { _tag: "Done", answer: { status: record.status, headers: record.headers, body: record.body } }

/**
 * Makes a store.
 */
export const makeStore = ({ maxAgeMs, maxBytes, maxKeys }: IdempotencyLimits) => {
  const users = new Map<string, Kept>()

  const ofUser = (user: string): Kept => {
    const kept = users.get(user) ?? { entries: new Map<string, Entry>(), bytes: 0 }
    users.set(user, kept)
    return kept
  }

  const remove = (entry: Entry): void => {
    const kept = users.get(entry.user)
    if (kept?.entries.get(entry.key) === entry) {
      kept.entries.delete(entry.key)
      kept.bytes -= sizeOf(entry)
      if (kept.entries.size === 0) {
        users.delete(entry.user)
      }
    }
  }

  /** Forgets what is too old, or too much. */
  const bound = (user: string, now: number): void => {
    const kept = ofUser(user)
    for (const entry of kept.entries.values()) {
      const isTooOld = entry.at + maxAgeMs <= now || kept.entries.size > maxKeys
      if (!isTooOld && kept.bytes <= maxBytes) {
        break
      }
      if (isOver(entry) && isTooOld) {
        remove(entry)
      } else if (entry.state._tag === "Done" && kept.bytes > maxBytes) {
        kept.bytes -= sizeOf(entry)
        entry.state = { _tag: "Gone", status: entry.state.answer.status }
      }
    }
  }

  return {
    find: (user: string, key: string): Entry | undefined => users.get(user)?.entries.get(key),
    /** Adds one, or puts it last again with another state. */
    put: (entry: Entry, state: State, now: number): void => {
      remove(entry)
      entry.state = state
      entry.at = now
      const kept = ofUser(entry.user)
      kept.entries.set(entry.key, entry)
      kept.bytes += sizeOf(entry)
      bound(entry.user, now)
    },
    remove,
    all: function*(): Iterable<Entry> {
      for (const { entries } of users.values()) {
        yield* entries.values()
      }
    }
  }
}
