/**
 * Writing to descriptors that do not block, as if they did.
 *
 * A write that blocks in the kernel could not be interrupted. So the descriptors are opened with O_NONBLOCK, and when
 * the reader is slow the thread sleeps between tries, in a way that an interrupt can end.
 */
import * as fs from "node:fs"
import type { Critical } from "./critical.js"

const { writeSync } = fs

/** Longest sleep between two tries, in milliseconds. */
const LONGEST_PAUSE = 4

const codeOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "code" in error ? error.code : undefined

/**
 * Writes what fits at once. Gives the number of bytes, 0 when the reader is slow, and -1 when there is no reader left.
 */
export const tryWrite = (fd: number, bytes: Uint8Array, start: number, end: number): number => {
  try {
    return writeSync(fd, bytes, start, end - start)
  } catch (error) {
    return codeOf(error) === "EAGAIN" ? 0 : -1
  }
}

/**
 * Calls `step` until it says that it is done, with growing pauses while it makes no progress. `step` gives the number
 * of bytes that it wrote, or `undefined` when nothing is left to do.
 */
export const persist = (critical: Critical, step: () => number | undefined): void => {
  let pause = 0.05
  for (;;) {
    const written = critical.run(step)
    if (written === undefined) {
      return
    }
    if (written === 0) {
      critical.pause(pause)
      pause = pause < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE
    } else {
      pause = 0.05
    }
  }
}
