/**
 * The control socket, from the main thread: requests that the watcher has read, and frames to the agent.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import type { Critical } from "./critical.js"
import { persist, tryWrite } from "./descriptor.js"
import { encodeFrame } from "./framing.js"
import { isRequest, type RunRequest } from "./request.js"

const CONTROL = 3

export class Control {
  constructor(private readonly critical: Critical, private readonly requests: MessagePort) {}

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
    const bytes = encodeFrame(header, blob)
    let offset = 0
    this.critical.run(() =>
      persist(this.critical, () => {
        const written = tryWrite(CONTROL, bytes, offset, bytes.length)
        offset = written < 0 ? bytes.length : offset + written
        return offset === bytes.length ? undefined : written
      })
    )
  }
}
