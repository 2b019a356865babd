/**
 * The stream of a container's standard streams: what is written to it is the container's input; what is read from it comes
 * in pieces of output and of errors, each with a header of eight bytes (Docker Engine API, "Attach to a container").
 */
import { Buffer } from "node:buffer"
import { Duplex, PassThrough } from "node:stream"

const HEADER_BYTES = 8
const STDOUT = 1
const STDERR = 2

/**
 * Input and output of a container as one stream, byte by byte as they are, with what it writes to standard error beside it.
 * Reading waits for whoever reads: nothing is kept but what has come in one piece.
 */
export class Multiplexed extends Duplex {
  /** What the container writes to standard error. It must be read. */
  readonly errors = new PassThrough()
  readonly #header = Buffer.alloc(HEADER_BYTES)
  readonly #socket: Duplex
  #filled = 0
  #left = 0
  #kind = STDOUT

  constructor(socket: Duplex) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    socket.on("data", (bytes: Buffer) => {
      if (!this.#take(bytes)) socket.pause()
    })
    socket.once("end", () => this.#finish())
    socket.once("close", () => this.#finish())
    socket.on("error", (error) => this.destroy(error))
  }

  #finish(): void {
    this.errors.end()
    if (!this.destroyed && !this.readableEnded) this.push(null)
  }

  /** Whether more may come. */
  #take(bytes: Buffer): boolean {
    let more = true
    let at = 0
    while (at < bytes.length && !this.destroyed) {
      if (this.#left === 0) {
        const part = bytes.subarray(at, at + HEADER_BYTES - this.#filled)
        part.copy(this.#header, this.#filled)
        this.#filled += part.length
        at += part.length
        if (this.#filled < HEADER_BYTES) return more
        this.#filled = 0
        this.#kind = this.#header.readUInt8(0)
        this.#left = this.#header.readUInt32BE(4)
        if ((this.#kind !== STDOUT && this.#kind !== STDERR) || this.#header.readUIntBE(1, 3) !== 0) {
          this.destroy(new Error("the container engine sent what is no piece of a stream"))
        }
      } else {
        const part = bytes.subarray(at, at + this.#left)
        this.#left -= part.length
        at += part.length
        if (this.#kind === STDERR) this.errors.write(part)
        else more = this.push(part) && more
      }
    }
    return more
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.errors.end()
    this.#socket.destroy()
    done(error)
  }
}
