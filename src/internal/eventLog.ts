/**
 * The numbered events of one execution: kept within a limit, and read from any number on by any number of readers, each at
 * its own pace.
 *
 * An event is given up, the oldest first, when room is needed and nobody needs it any more: every reader that there is has
 * had it, and so has every name that events are held for. What nobody has read yet is kept. So there is room as readers
 * move on, and none when the slowest does not: who appends has to ask for it first (`roomFor`).
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as Pulls from "./pulls.js"

/**
 * One who reads. `next` is the number of the event that it gets next, `done` that of the first one which it may still be
 * busy with.
 */
export interface Reader {
  readonly hold: string | undefined
  next: number
  done: number
  wake: (() => void) | undefined
  /** From how many bytes on, counted since the beginning of the log, it is woken up before the end. */
  wakeAt: number
}

/**
 * Reads something to its end: `each` is given what has arrived, and then what has arrived meanwhile. Who does not need it at
 * once says how many bytes are worth being woken up for (`atLeast`), and gets fewer only at the end.
 */
export type Reading<A, E> = (
  each: (events: ReadonlyArray<A>) => Effect.Effect<void>,
  atLeast?: number
) => Effect.Effect<void, E>

/**
 * A log.
 */
export interface EventLog<A, E> {
  /** The number of the next event. */
  readonly next: () => number
  /** The number of the oldest event that is kept; that of the next one when none is. */
  readonly first: () => number
  /** How many bytes are kept. */
  readonly bytes: () => number
  /** Adds the next event, which counts `weight` bytes. Ignored after the end. */
  readonly append: (event: A, weight: number) => void
  /** Ends it: what was appended is still read. Only the first end counts. */
  readonly end: (exit: Exit.Exit<unknown, E>) => void
  readonly ended: () => boolean
  /** How many bytes there is room for; to have room for so many, what nobody needs any more is given up. */
  readonly roomFor: (bytes: number) => number
  /** Whether everything that is kept could be given up. */
  readonly isIdle: () => boolean
  /** How many events no reader has taken. */
  readonly untaken: () => number
  /** Called before a reader takes what there is: what is held back can be appended. */
  readonly onTake: (listener: () => void) => void
  /** Called when there may be more room than before: somebody has moved on, or left. */
  readonly onRoom: (listener: () => void) => void
  /** Gives up the oldest events that nobody needs, until only so many bytes are kept. */
  readonly shrink: (bytes: number) => void

  /** A reader of what lies after the event with this number. With a name (`hold`), also what that name has now got. */
  readonly open: (after: number, hold: string | undefined) => Reader
  /** Ends a reader. What it has taken counts as read, but for what is held for its name. */
  readonly close: (reader: Reader, now: number) => void
  /** All events that a reader has not had; waits for one when there is none. */
  readonly stream: (reader: Reader) => Stream.Stream<A, E>
  /** The same, each time with all that there are by then: at a fraction of what a stream costs for a few events. */
  readonly read: (reader: Reader) => Reading<A, E>
  /** How many readers there are. */
  readonly readers: () => number
  /** Since when the first of the names has had no reader; `undefined` when each has one. */
  readonly heldSince: () => number | undefined
  /** No longer holds anything for the names that have had no reader since then, or longer. */
  readonly release: (since: number) => void
}

interface Hold {
  from: number
  readers: number
  since: number
}

/** What an event takes beside its text, in bytes: an estimate from above. */
export const EVENT_COST = 256

/** So many slots of events that were given up are left in the list before it is cut. */
const SLACK = 256

/**
 * Makes a log.
 *
 * @param limit how many bytes it keeps, and not more than one event above that.
 */
export const makeEventLog = <A extends object, E>(limit: number): EventLog<A, E> => {
  // Parallel lists: an event costs no object of its own here. A slot is emptied when its event is given up.
  let events: Array<A | undefined> = []
  let weights: Array<number> = []
  let head = 0
  let first = 0
  let bytes = 0
  let appended = 0
  let delivered = 0
  let exit: Exit.Exit<unknown, E> | undefined
  let listener: (() => void) | undefined
  let beforeTake: (() => void) | undefined
  const readers = new Set<Reader>()
  const holds = new Map<string, Hold>()

  const next = (): number => first + events.length - head

  /** The number below which nobody needs an event. */
  const floor = (): number => {
    let lowest = readers.size === 0 ? delivered : Infinity
    for (const { done } of readers) lowest = Math.min(lowest, done)
    for (const { from } of holds.values()) lowest = Math.min(lowest, from)
    return lowest
  }

  const shrink = (most: number): void => {
    if (bytes <= most) return
    const end = Math.min(floor(), next())
    while (bytes > most && first < end) {
      bytes -= weights[head] ?? 0
      events[head] = undefined
      head += 1
      first += 1
    }
    if (head === events.length || (head > SLACK && head * 2 > events.length)) {
      events = events.slice(head)
      weights = weights.slice(head)
      head = 0
    }
  }

  const notify = (): void => {
    for (const reader of readers) {
      const { wake } = reader
      if (wake !== undefined && (appended >= reader.wakeAt || exit !== undefined)) {
        reader.wake = undefined
        wake()
      }
    }
  }

  /** What a reader has not had; `undefined` when it has had all. */
  const unread = (reader: Reader): ReadonlyArray<A> | undefined => {
    // It asks for more, so it has dealt with what it has had.
    if (reader.done < reader.next) {
      reader.done = reader.next
      listener?.()
    }
    beforeTake?.()
    const end = next()
    if (reader.next === end) return undefined
    const found: Array<A> = []
    for (let index = head + reader.next - first; index < events.length; index++) {
      const event = events[index]
      if (event !== undefined) found.push(event)
    }
    reader.next = end
    return found
  }

  /** Waits for so many bytes of events, or for the end. Who is interrupted may be woken up for nothing, which costs less. */
  const news = (reader: Reader, atLeast: number): Effect.Effect<void> =>
    Effect.async((resume) => {
      // Since the look that found nothing, this fiber may have given way to the one that appends.
      if (reader.next !== next() || exit !== undefined) return resume(Effect.void)
      reader.wakeAt = appended + atLeast
      reader.wake = () => resume(Effect.void)
    })

  const take = (reader: Reader): Effect.Effect<Chunk.Chunk<A>, Option.Option<E>> =>
    Effect.suspend(() => {
      const found = unread(reader)
      if (found !== undefined) return Effect.succeed(Chunk.unsafeFromArray(found))
      if (exit !== undefined) {
        return exit._tag === "Success"
          ? Effect.fail(Option.none())
          : Effect.failCause(Cause.map(exit.cause, Option.some))
      }
      return Effect.zipRight(news(reader, 0), take(reader))
    })

  const read = (reader: Reader): Reading<A, E> => (each, atLeast = 0) => {
    // What waits here takes room from what is to come.
    const least = Math.min(atLeast, limit / 8)
    const rest: Effect.Effect<void, E> = Effect.suspend(() => {
      const found = unread(reader)
      if (found !== undefined) return Effect.zipRight(each(found), rest)
      return exit === undefined ? Effect.zipRight(news(reader, least), rest) : Effect.asVoid(exit)
    })
    return rest
  }

  return {
    next,
    first: () => first,
    bytes: () => bytes,
    append: (event, weight) => {
      if (exit === undefined) {
        events.push(event)
        weights.push(weight)
        bytes += weight
        appended += weight
        shrink(limit)
        notify()
      }
    },
    end: (how) => {
      if (exit === undefined) {
        exit = how
        // They have to do with who appends, and that is far more than what there is to read.
        listener = undefined
        beforeTake = undefined
        // There will be no more: no room for some is kept.
        events = events.slice(head)
        weights = weights.slice(head)
        head = 0
        notify()
      }
    },
    ended: () => exit !== undefined,
    roomFor: (wanted) => {
      shrink(limit - wanted)
      return limit - bytes
    },
    isIdle: () => floor() >= next(),
    untaken: () => {
      let taken = delivered
      for (const reader of readers) taken = Math.max(taken, reader.next)
      return next() - taken
    },
    onTake: (listen) => {
      beforeTake = listen
    },
    onRoom: (listen) => {
      listener = listen
    },
    shrink,
    open: (after, name) => {
      const position = after + 1
      const reader: Reader = { hold: name, next: position, done: position, wake: undefined, wakeAt: 0 }
      readers.add(reader)
      if (name !== undefined) {
        holds.set(name, { from: position, readers: (holds.get(name)?.readers ?? 0) + 1, since: 0 })
      }
      listener?.()
      return reader
    },
    close: (reader, now) => {
      if (readers.delete(reader)) {
        delivered = Math.max(delivered, reader.next)
        const hold = reader.hold === undefined ? undefined : holds.get(reader.hold)
        if (hold !== undefined) {
          hold.readers -= 1
          hold.since = now
        }
        listener?.()
      }
    },
    stream: (reader) => Pulls.repeat(take(reader)),
    read,
    readers: () => readers.size,
    heldSince: () => {
      let since: number | undefined
      for (const hold of holds.values()) {
        if (hold.readers === 0) since = Math.min(since ?? Infinity, hold.since)
      }
      return since
    },
    release: (since) => {
      for (const [name, hold] of holds) {
        if (hold.readers === 0 && hold.since <= since) holds.delete(name)
      }
      listener?.()
    }
  }
}
