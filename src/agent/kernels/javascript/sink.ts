/**
 * One output stream of one run: buffered, byte-exact, and blocking when the reader is slow.
 *
 * What is written sparsely goes out at once. What comes in bursts is gathered until 64 kB are there or 20 ms have
 * passed; the watcher thread sees to the latter, so that it also holds while code computes without a pause.
 */
import * as fs from "node:fs"
import type { Critical } from "./critical.js"
import { persist, tryWrite } from "./descriptor.js"

const CAPACITY = 64 * 1024

/** Milliseconds that output may wait. */
export const FLUSH_INTERVAL = 20

const { closeSync, openSync } = fs
const { O_NONBLOCK, O_WRONLY } = fs.constants
const now = performance.now.bind(performance)
const { from } = Buffer

/**
 * A buffer that the sinks of successive runs take over from each other.
 */
export const makeSinkBuffer = (): Buffer => Buffer.allocUnsafeSlow(CAPACITY)

export interface SinkOptions {
  readonly path: string
  readonly buffer: Buffer
  readonly critical: Critical
  /** Called when bytes stay in the buffer: somebody has to call `flushSoon` within {@link FLUSH_INTERVAL}. */
  readonly onBuffered: () => void
}

export class Sink {
  private readonly fd: number
  private childFd: number | undefined
  private readonly options: SinkOptions
  private readonly buffer: Buffer
  private start = 0
  private end = 0
  private lastFlush = 0
  private appending = false
  private open = true

  constructor(options: SinkOptions) {
    this.options = options
    this.buffer = options.buffer
    this.fd = openSync(options.path, O_WRONLY | O_NONBLOCK)
  }

  /**
   * Adds output; after the end of the run it is dropped.
   */
  write(chunk: string | Uint8Array): void {
    if (!this.open) {
      return
    }
    if (typeof chunk === "string") {
      // One UTF-16 unit takes three bytes at most.
      if (chunk.length * 3 > CAPACITY) {
        this.writeThrough(from(chunk))
        return
      }
      if (this.end + chunk.length * 3 > CAPACITY) {
        this.flush()
      }
      this.appending = true
      this.end += this.buffer.write(chunk, this.end, "utf8")
      this.appending = false
    } else {
      if (chunk.length > CAPACITY) {
        this.writeThrough(chunk)
        return
      }
      if (this.end + chunk.length > CAPACITY) {
        this.flush()
      }
      this.appending = true
      this.buffer.set(chunk, this.end)
      this.end += chunk.length
      this.appending = false
    }
    if (now() - this.lastFlush >= FLUSH_INTERVAL) {
      this.flush()
    } else {
      this.options.onBuffered()
    }
  }

  /**
   * Hands over all that is buffered, however long the reader takes.
   */
  flush(): void {
    this.lastFlush = now()
    persist(this.options.critical, () => this.flushStep())
  }

  /**
   * Hands over what the reader takes at once. Gives false when something is left. May be called at any point of a
   * computation, even in the middle of a write.
   */
  flushSoon(): boolean {
    if (this.appending || this.options.critical.held) {
      return false
    }
    this.options.critical.run(() => {
      while ((this.flushStep() ?? 0) > 0) {
        // as long as it makes progress
      }
    })
    this.lastFlush = now()
    return this.start === this.end
  }

  /**
   * A descriptor for child processes of the run. It is another open file than ours, because they expect it to block.
   */
  forChildren(): number | undefined {
    if (!this.open) {
      return undefined
    }
    this.flush()
    this.childFd ??= openSync(this.options.path, O_WRONLY)
    return this.childFd
  }

  close(): void {
    if (this.open) {
      this.flush()
      this.open = false
      closeSync(this.fd)
      if (this.childFd !== undefined) {
        closeSync(this.childFd)
      }
    }
  }

  private writeThrough(bytes: Uint8Array): void {
    this.flush()
    let offset = 0
    persist(this.options.critical, () => {
      if (offset === bytes.length) {
        return undefined
      }
      const written = tryWrite(this.fd, bytes, offset, bytes.length)
      offset = written < 0 ? bytes.length : offset + written
      return written
    })
    this.lastFlush = now()
  }

  private flushStep(): number | undefined {
    if (this.start === this.end) {
      this.start = 0
      this.end = 0
      return undefined
    }
    const written = tryWrite(this.fd, this.buffer, this.start, this.end)
    // Without a reader the rest has nowhere to go.
    this.start = written < 0 ? this.end : this.start + written
    return written
  }
}
