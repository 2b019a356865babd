/**
 * One run: its streams and what is open about it.
 */
import type { Critical } from "./critical.js"
import { applyEnvironment } from "./environment.js"
import type { RunRequest } from "./request.js"
import { makeSinkBuffer, Sink } from "./sink.js"
import { Timers } from "./timers.js"

const buffers = { stdout: makeSinkBuffer(), stderr: makeSinkBuffer() }

export class Run {
  readonly stdout: Sink
  readonly stderr: Sink
  readonly timers = new Timers()
  /** Displays that wait for a promise. */
  readonly held: Array<PromiseLike<unknown>> = []
  private interrupted = false
  private readonly restoreEnvironment: () => void

  constructor(readonly request: RunRequest, critical: Critical, onBuffered: () => void) {
    this.stdout = new Sink({ path: request.stdout, buffer: buffers.stdout, critical, onBuffered })
    this.stderr = new Sink({ path: request.stderr, buffer: buffers.stderr, critical, onBuffered })
    this.restoreEnvironment = applyEnvironment(request.env)
  }

  /** Whether it was interrupted: then its timers are stopped, and it makes no ticks any more. */
  get cancelled(): boolean {
    return this.interrupted
  }

  cancel(): void {
    this.interrupted = true
    this.timers.cancel()
  }

  flush(): void {
    this.stdout.flush()
    this.stderr.flush()
  }

  /**
   * Hands over what is buffered as far as it goes at once. Gives false when something is left.
   */
  flushSoon(): boolean {
    const stdout = this.stdout.flushSoon()
    return this.stderr.flushSoon() && stdout
  }

  close(): void {
    this.stdout.close()
    this.stderr.close()
    this.restoreEnvironment()
  }
}
