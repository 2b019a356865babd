/**
 * What a program reads as its standard input: written as fast as it takes it, and given back as credit then.
 */
import * as Fs from "node:fs"
import { Socket } from "node:net"
import type { Agent } from "./agent.js"
import { codeOf } from "./errors.js"

/** What a pipe takes as a whole or not at all (pipe(7), `PIPE_BUF`). */
const PIECE = 4096

/**
 * The writing end of a pipe, which does not block.
 */
export class Input {
  readonly #socket: Socket
  readonly #queue: Array<Buffer> = []
  #finishing = false
  #waiting = false
  #open = true

  constructor(private readonly agent: Agent, private readonly run: number, private readonly fd: number) {
    this.#socket = new Socket({ fd, readable: false, writable: true })
    this.#socket.on("error", () => this.#broken())
  }

  put(data: Buffer): void {
    if (this.#open && !this.#finishing && data.length > 0) {
      this.#queue.push(Buffer.from(data))
      this.#write()
    }
  }

  /** Closes it when all before has been taken. */
  finish(): void {
    this.#finishing = true
    this.#write()
  }

  #write(): void {
    let taken = 0
    while (this.#open && !this.#waiting) {
      const [data] = this.#queue
      if (data === undefined) {
        break
      }
      const written = this.#tryWrite(data)
      if (written === undefined) {
        return this.#broken(taken)
      }
      taken += written
      this.#queue.shift()
      const rest = data.subarray(written)
      if (rest.length > 0) {
        this.#waitWith(rest)
      }
    }
    this.#credit(taken)
    if (this.#finishing && this.#queue.length === 0 && !this.#waiting) {
      this.close()
    }
  }

  /** How much of it the pipe takes at once; nothing at all when nobody can read it any more. */
  #tryWrite(data: Buffer): number | undefined {
    try {
      return Fs.writeSync(this.fd, data)
    } catch (error) {
      return codeOf(error) === "EAGAIN" ? 0 : undefined
    }
  }

  /** Leaves a piece to the loop, and goes on with the rest when that has been taken. */
  #waitWith(rest: Buffer): void {
    const piece = rest.subarray(0, PIECE)
    if (rest.length > piece.length) {
      this.#queue.unshift(rest.subarray(piece.length))
    }
    this.#waiting = true
    this.#socket.write(piece, (error) => {
      this.#waiting = false
      if (this.#open && (error === undefined || error === null)) {
        this.#credit(piece.length)
        this.#write()
      }
    })
  }

  #credit(bytes: number): void {
    if (bytes > 0) {
      this.agent.link.send({ ev: "stdin.credit", run: this.run, bytes })
    }
  }

  #broken(taken = 0): void {
    if (this.#open) {
      this.#credit(taken)
      this.close()
      this.agent.link.send({ ev: "stdin.closed", run: this.run })
    }
  }

  close(): void {
    if (this.#open) {
      this.#open = false
      this.#queue.length = 0
      this.#socket.destroy()
    }
  }
}
