/**
 * The log of a build, which any number of readers follow. A build is never held up by who reads, and its log is bounded:
 * what there is no room for is counted, and its end is kept beside.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { BuildEvent } from "../TemplateBuild.js"

type WithoutNumber<A> = A extends unknown ? Omit<A, "seq"> : never

/** An event before it has a number. */
export type NewBuildEvent = WithoutNumber<BuildEvent>

/**
 * A log.
 */
export interface BuildLog {
  /** Adds an event; output beyond the bound is only counted. */
  readonly add: (event: NewBuildEvent) => void
  /** How many bytes of output there was no room for. */
  readonly dropped: () => number
  /** The end of the output, whatever was dropped. */
  readonly tail: () => string
  readonly events: () => ReadonlyArray<BuildEvent>
  /** The events after that number, and those that are still to come, up to the last one. */
  readonly follow: (after?: number) => Stream.Stream<BuildEvent>
}

/** How much output is kept, in bytes. */
const MOST_BYTES = 4 * 1024 * 1024

/** What an event takes beside its text. */
const EVENT_BYTES = 128

/** How much of its end is kept in any case, in characters. */
const TAIL = 4_096

/** How many events a reader is given at once. */
const AT_ONCE = 256

const isLast = (event: BuildEvent | undefined): boolean => event?._tag === "BuildEnded"

/**
 * Makes a log, with the events that it has already.
 */
export const makeBuildLog = (events: ReadonlyArray<BuildEvent> = []): BuildLog => {
  const all = [...events]
  let bytes = 0
  let dropped = 0
  let tail = ""
  let changed = Deferred.unsafeMake<void>(FiberId.none)

  const push = (event: BuildEvent): void => {
    all.push(event)
    Deferred.unsafeDone(changed, Effect.void)
    changed = Deferred.unsafeMake<void>(FiberId.none)
  }

  return {
    add: (event) => {
      if (event._tag === "BuildOutput") {
        tail = (tail + event.text).slice(-TAIL)
        const size = Buffer.byteLength(event.text)
        if (bytes + size + EVENT_BYTES > MOST_BYTES) {
          dropped += size
          return
        }
        bytes += size + EVENT_BYTES
      }
      push({ ...event, seq: all.length })
    },
    dropped: () => dropped,
    tail: () => tail,
    events: () => all,
    follow: (after = -1) =>
      Stream.unfoldChunkEffect(after + 1, function next(from): Effect.Effect<
        Option.Option<readonly [Chunk.Chunk<BuildEvent>, number]>
      > {
        if (from < all.length) {
          const some = all.slice(from, from + AT_ONCE)
          return Effect.succeed(Option.some([Chunk.unsafeFromArray(some), from + some.length]))
        }
        return isLast(all.at(-1))
          ? Effect.succeed(Option.none())
          : Effect.flatMap(Deferred.await(changed), () => next(from))
      })
  }
}

const LogFile = Schema.parseJson(Schema.Array(BuildEvent))

/** The events as the text of a file. */
export const encodeLog = Schema.encodeSync(LogFile)

/** Its events; none when it is no such file. */
export const decodeLog = Schema.decodeUnknownOption(LogFile)
