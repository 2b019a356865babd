/**
 * Sections that an interrupt must not cut in half: writing a frame, flushing output, starting and ending a run.
 *
 * An interrupt terminates whatever JavaScript the main thread executes, at any function call or loop. The watcher
 * announces it (`TERMINATING`) before it looks whether the main thread is in a critical section, and the main thread
 * announces its section before it looks whether a termination is under way; so at least one of them sees the other. If
 * the main thread finds one under way it stops here until it is hit: the code below on the stack is the code that was to
 * be interrupted.
 */
import { CRITICAL, NEVER, TERMINATING } from "./shared.js"

const { load, notify, store, wait } = Atomics

export class Critical {
  private depth = 0

  constructor(private readonly cells: Int32Array) {}

  /** Whether the main thread is in such a section. */
  get held(): boolean {
    return this.depth > 0
  }

  /**
   * Runs a short function that no interrupt can end early.
   */
  run<A>(body: () => A): A {
    if (this.depth === 0) {
      this.enter()
    }
    this.depth++
    try {
      return body()
    } finally {
      this.depth--
      if (this.depth === 0) {
        store(this.cells, CRITICAL, 0)
        notify(this.cells, CRITICAL)
      }
    }
  }

  /**
   * Waits, for at most so many milliseconds; an interrupt ends the wait unless it is in a critical section.
   */
  pause(milliseconds: number): void {
    wait(this.cells, NEVER, 0, milliseconds)
  }

  private enter(): void {
    for (;;) {
      store(this.cells, CRITICAL, 1)
      if (load(this.cells, TERMINATING) === 0) {
        return
      }
      store(this.cells, CRITICAL, 0)
      notify(this.cells, CRITICAL)
      while (load(this.cells, TERMINATING) === 1) {
        // The termination hits this loop.
      }
    }
  }
}
