/**
 * The control socket, from the main thread: requests that the watcher has read, and frames to the agent.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import type { Critical } from "./critical.js"
import { persist, tryWrite } from "./descriptor.js"
import { encodeFrame } from "./framing.js"
import { isRequest, type RunRequest } from "./request.js"
import { cellOf, CONTINUED } from "./shared.js"

const CONTROL = 3

/** Milliseconds after which a wait looks again, so that a termination finds a loop to end. */
const LOOK_AGAIN = 20

const { load, wait } = Atomics
const { concat } = Buffer

export class Control {
  private ticket = 0
  private kept: Uint8Array | undefined

  constructor(
    private readonly critical: Critical,
    private readonly requests: MessagePort,
    private readonly cells: Int32Array
  ) {}

  /**
   * The next request that has arrived. To be called in a critical section.
   */
  take(): RunRequest | undefined {
    const received = receiveMessageOnPort(this.requests)
    return isRequest(received?.message) ? received.message : undefined
  }

  /**
   * Sends a frame. It has left when this returns, and no part of it is ever sent alone.
   */
  send(header: object, blob?: string): void {
    const frame = encodeFrame(header, blob)
    const bytes = this.kept === undefined ? frame : concat([this.kept, frame])
    this.kept = undefined
    let offset = 0
    this.critical.run(() =>
      persist(this.critical, () => {
        const written = tryWrite(CONTROL, bytes, offset, bytes.length)
        offset = written < 0 ? bytes.length : offset + written
        return offset === bytes.length ? undefined : written
      })
    )
  }

  /**
   * Sends a frame together with the next one.
   */
  keep(header: object, blob: string): void {
    this.kept = encodeFrame(header, blob)
  }

  /**
   * Sends a frame, and gives its ticket for {@link order}.
   */
  sendTicketed(header: object, blob: string): number {
    this.ticket = cellOf(this.ticket + 1)
    this.send({ ...header, sync: this.ticket }, blob)
    return this.ticket
  }

  /**
   * Waits until the agent has taken note of all output before the last frame of that ticket: what is printed from then
   * on comes after it. An interrupt ends the wait, unless it is in a critical section.
   */
  order(ticket: number): void {
    for (let last = load(this.cells, CONTINUED); last !== ticket; last = load(this.cells, CONTINUED)) {
      wait(this.cells, CONTINUED, last, LOOK_AGAIN)
    }
  }
}
