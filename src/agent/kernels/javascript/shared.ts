/**
 * What the main thread and the watcher thread know of each other, without waiting for each other's event loop.
 *
 * Each cell is one 32-bit integer in shared memory, read and written by `Atomics` only.
 */

/** Number of the run that goes on (modulo 2^31), or {@link IDLE}. */
export const RUN = 0

/** 1 while the main thread does what must not be cut in half. */
export const CRITICAL = 1

/** 1 while the watcher is about to terminate what the main thread executes. */
export const TERMINATING = 2

/** 1 when the watcher has queued both of its requests: what to do first, and the termination. */
export const POSTED = 3

/** How many pings the main thread has answered. */
export const ANSWERED = 4

/** Number of a run that was interrupted before the main thread knew of it, or {@link IDLE}. */
export const EARLY = 5

/** 1 while output waits for a flush that the watcher was asked for. */
export const UNFLUSHED = 6

/** Only ever waited on: nobody wakes it. */
export const NEVER = 7

/** Ticket of the last frame of which the agent has said that what comes after it will be read after it. */
export const CONTINUED = 8

export const CELLS = 9

/** No run. */
export const IDLE = -1

/** A run's number as a cell holds it. */
export const cellOf = (run: number): number => run % 0x80000000

/** What the main thread gets from the watcher: interrupt that run if it is the current one, and go on with what waits. */
export interface Ping {
  readonly run: number
}
