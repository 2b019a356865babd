/**
 * The stream to the engine: frames in, and frames out as fast as the engine reads.
 */
import { Socket } from "node:net"
import { encodeFrame, makeFrameParser } from "../Frames.js"
import { MAX_HEADER_BYTES } from "../Limits.js"
import type { AgentMessage, EngineMessage } from "../Protocol.js"

/** Above the first, pipes and files are not read any more; below the second, they are again. */
const LONG = 1024 * 1024
const SHORT = 256 * 1024

/** The engine is trusted, but its code blobs may be larger than what it accepts itself. */
const MAX_ENGINE_BLOB = 256 * 1024 * 1024

/**
 * The descriptors to read from and to write to; they may be one.
 */
export interface LinkDescriptors {
  readonly incoming: number
  readonly outgoing: number
}

export interface LinkHandlers {
  readonly onMessage: (message: EngineMessage, blob: Buffer) => void
  /** The engine is gone, or does not speak the protocol. */
  readonly onEnd: (violation?: string) => void
  /** The engine has read on. */
  readonly onRoom: () => void
}

const isMessage = (value: unknown): value is EngineMessage =>
  typeof value === "object" && value !== null && "op" in value && typeof value.op === "string"

export class Link {
  /** Whether so much waits to be written that nothing more is to be read. */
  congested = false
  readonly #onRoom: () => void
  readonly #writer: Socket
  #queued = 0

  constructor({ incoming, outgoing }: LinkDescriptors, { onEnd, onMessage, onRoom }: LinkHandlers) {
    this.#onRoom = onRoom
    let message: EngineMessage | undefined
    const parser = makeFrameParser({
      onHeader: (header) => {
        message = isMessage(header) ? header : undefined
        return false
      },
      onPiece: () => {},
      onFrame: (blob) => {
        if (message !== undefined) {
          onMessage(message, blob)
        }
      },
      onViolation: onEnd
    }, { header: MAX_HEADER_BYTES, blob: MAX_ENGINE_BLOB })
    const reader = new Socket({ fd: incoming, readable: true, writable: outgoing === incoming })
    this.#writer = outgoing === incoming ? reader : new Socket({ fd: outgoing, readable: false, writable: true })
    const end = (): void => onEnd()
    reader.on("data", (data: Buffer) => parser.push(data))
    reader.on("end", end)
    for (const socket of [reader, this.#writer]) {
      socket.on("error", end)
      socket.on("close", end)
    }
  }

  /** Queues one frame and writes what can be written now. */
  send(message: AgentMessage, blob?: Uint8Array): void {
    const frame = encodeFrame(message, blob)
    this.#queued += frame.length
    if (this.#queued > LONG) {
      this.congested = true
    }
    this.#writer.write(frame, () => {
      this.#queued -= frame.length
      if (this.congested && this.#queued < SHORT) {
        this.congested = false
        this.#onRoom()
      }
    })
  }
}
