/**
 * Output on its way from bytes to events: decoded with one decoder for each stream, cut at a limit, and counted.
 */
import { Buffer } from "node:buffer"
import type { ExecutionEvent } from "../Execution.js"
import { EVENT_COST, type EventLog } from "../internal/eventLog.js"
import { makeUtf8Decoder } from "./Utf8.js"

/**
 * Standard output or standard error.
 */
export type Fd = 1 | 2

/**
 * The output of one run.
 */
export interface Output {
  /** Bytes have arrived. They may be a view of something that is used again. */
  readonly push: (fd: Fd, bytes: Buffer) => void
  /** Makes events of what is held back: they come before whatever is appended next. */
  readonly flush: () => void
  /** Nothing more will arrive. */
  readonly end: () => void
  /** How many bytes have become part of events. */
  readonly delivered: () => number
}

/**
 * What becomes of output.
 */
export interface OutputOptions {
  readonly log: Pick<EventLog<ExecutionEvent, never>, "append" | "next" | "onTake" | "untaken">
  /** How many bytes are delivered; the rest is dropped and counted. */
  readonly maxOutputSize: number
  readonly dropped: { stdout: number; stderr: number }
  /** For how many of these bytes there is room; the rest is dropped and counted. */
  readonly room: (bytes: number) => number
  /** With how many events that nobody has taken the log is crowded. */
  readonly crowd: number
  /** Microseconds since the epoch. */
  readonly now: () => number
}

/** How many bytes of a stream are held back at most while the log is crowded. */
const HELD_BYTES = 64 * 1024

interface Lane {
  readonly decoder: ReturnType<typeof makeUtf8Decoder>
  held: Buffer | undefined
  length: number
  since: number
}

/**
 * Makes it.
 *
 * Each piece becomes an event, unless the log is crowded with events that nobody has taken: pieces are then put together
 * until somebody does, so that a program which writes byte by byte takes no more memory than one which does not.
 */
export const makeOutput = (options: OutputOptions): Output => {
  const { dropped, log } = options
  const makeLane = (): Lane => ({ decoder: makeUtf8Decoder(), held: undefined, length: 0, since: 0 })
  const lanes = { 1: makeLane(), 2: makeLane() }
  let budget = options.maxOutputSize
  let delivered = 0
  let holding = false

  const drop = (fd: Fd, bytes: number): void => {
    if (fd === 1) dropped.stdout += bytes
    else dropped.stderr += bytes
  }

  const emit = (
    fd: Fd,
    decoded: { readonly text: string; readonly base64?: string } | undefined,
    timestamp: number,
    bytes: number
  ): void => {
    if (decoded !== undefined) {
      log.append({ _tag: fd === 1 ? "Stdout" : "Stderr", seq: log.next(), timestamp, ...decoded }, bytes + EVENT_COST)
    }
  }

  const flushLane = (fd: Fd): void => {
    const lane = lanes[fd]
    if (lane.held !== undefined && lane.length > 0) {
      const { length } = lane
      lane.length = 0
      emit(fd, lane.decoder.push(lane.held.subarray(0, length)), lane.since, length)
    }
    lane.held = undefined
  }

  const flush = (): void => {
    if (holding) {
      holding = false
      const older = lanes[2].length > 0 && (lanes[1].length === 0 || lanes[2].since < lanes[1].since) ? 2 : 1
      flushLane(older)
      flushLane(older === 1 ? 2 : 1)
    }
  }

  const hold = (fd: Fd, bytes: Buffer): void => {
    const lane = lanes[fd]
    if (lane.length + bytes.length > HELD_BYTES) {
      flushLane(fd)
    }
    if (bytes.length > HELD_BYTES) {
      return emit(fd, lane.decoder.push(bytes), options.now(), bytes.length)
    }
    if (lane.length === 0) lane.since = options.now()
    lane.held ??= Buffer.allocUnsafe(HELD_BYTES)
    bytes.copy(lane.held, lane.length)
    lane.length += bytes.length
    holding = true
  }

  log.onTake(flush)

  return {
    push: (fd, bytes) => {
      const length = options.room(Math.min(bytes.length, budget))
      const kept = length < bytes.length ? bytes.subarray(0, length) : bytes
      budget -= kept.length
      delivered += kept.length
      drop(fd, bytes.length - kept.length)
      if (kept.length === 0) return
      if (log.untaken() > options.crowd) {
        return hold(fd, kept)
      }
      flush()
      emit(fd, lanes[fd].decoder.push(kept), options.now(), kept.length)
    },
    flush,
    end: () => {
      flush()
      for (const fd of [1, 2] as const) {
        const rest = lanes[fd].decoder.end()
        if ((fd === 1 ? dropped.stdout : dropped.stderr) === 0) {
          emit(fd, rest, options.now(), 0)
        } else if (rest !== undefined) {
          // The limit cut a character in two: its first half goes the way of the second.
          drop(fd, Buffer.byteLength(rest.base64 ?? "", "base64"))
        }
      }
    },
    delivered: () => delivered
  }
}
