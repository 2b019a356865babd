/**
 * The control socket: frames in through the event loop, frames out at once.
 */
import * as net from "node:net"
import type { Critical } from "./critical.js"
import { persist, tryWrite } from "./descriptor.js"
import type { Frame } from "./framing.js"
import { encodeFrame, FrameReader } from "./framing.js"

const CONTROL = 3

export class Control {
  private readonly reader = new FrameReader()
  private readonly incoming: Array<Buffer> = []
  private readonly frames: Array<Frame> = []

  constructor(private readonly critical: Critical) {}

  /**
   * Starts to read. `onData` is called when there may be frames to take, `onEnd` when the agent has gone.
   */
  listen(onData: () => void, onEnd: () => void): void {
    const socket = new net.Socket({ fd: CONTROL, readable: true, writable: false })
    socket.on("data", (chunk: Buffer) => {
      // Kept before anything else: from here on a termination loses nothing.
      this.incoming.push(chunk)
      onData()
    })
    socket.on("error", onEnd)
    socket.on("close", onEnd)
  }

  /**
   * The next frame that has arrived. To be called in a critical section.
   */
  take(): Frame | undefined {
    for (let chunk = this.incoming.shift(); chunk !== undefined; chunk = this.incoming.shift()) {
      this.frames.push(...this.reader.push(chunk))
    }
    return this.frames.shift()
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
