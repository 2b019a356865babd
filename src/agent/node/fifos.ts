/**
 * FIFOs: the pipes that output goes through. What Node makes are pairs of sockets, which a program cannot open again by
 * name (`echo x > /dev/stderr`). The program `mkfifo` makes them, some ahead of their use.
 */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { Socket } from "node:net"
import { codeOf } from "./errors.js"
import { findProgram } from "./processes.js"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = Fs.constants

/** How many are made at a time, and how few are left when the next are. */
const BATCH = 16
const FEW = 6

/** What is read at once. */
const CHUNK = 64 * 1024

/** As large as a user may make a pipe (/proc/sys/fs/pipe-max-size), whoever did so. */
const largestPipe = (): number => {
  try {
    return Number(Fs.readFileSync("/proc/sys/fs/pipe-max-size", "latin1")) || 1024 * 1024
  } catch {
    return 1024 * 1024
  }
}

/** Reads are done one after the other, and what they gave is copied at once. */
const buffer = Buffer.allocUnsafeSlow(CHUNK)

const EMPTY = Buffer.alloc(0)

/**
 * The read end of a pipe. What is read is given out piece by piece; between two reads nothing is held but what the last
 * one gave.
 */
export class Source {
  readonly fd: number
  readonly #socket: Socket
  #held: Buffer = EMPTY
  #wanted = false
  #open = true
  /** Called when there is something to `take`. */
  onReadable: () => void = () => {}
  /** Called when nobody can write to it any more, and all has been taken. */
  onEnd: () => void = () => {}
  #ended = false

  constructor(fd: number) {
    this.fd = fd
    const onread = {
      buffer,
      callback: (count: number, data: Uint8Array) => this.#onRead(Buffer.from(data.subarray(0, count)))
    }
    // `onread` is an option of the constructor too, which its type does not say.
    const options = { fd, readable: true, writable: false, onread }
    this.#socket = new Socket(options)
    this.#socket.pause()
    const end = (): void => {
      this.#ended = true
      this.#tellEnd()
    }
    this.#socket.on("end", end)
    this.#socket.on("error", end)
  }

  #onRead(data: Buffer): boolean {
    this.#held = this.#held.length === 0 ? data : Buffer.concat([this.#held, data])
    if (this.#wanted) {
      this.onReadable()
    }
    return this.#wanted && this.#held.length === 0
  }

  #tellEnd(): void {
    if (this.#ended && this.#held.length === 0 && this.#open) {
      this.onEnd()
    }
  }

  /** Whether `onReadable` is to be called. */
  want(wanted: boolean): void {
    if (!this.#open || wanted === this.#wanted) {
      return
    }
    this.#wanted = wanted
    if (!wanted) {
      this.#socket.pause()
      return
    }
    if (this.#held.length > 0) {
      // Not at once: who asks is in the middle of something.
      setImmediate(() => {
        if (this.#open && this.#wanted && this.#held.length > 0) {
          this.onReadable()
          this.#goOn()
        }
      })
    } else {
      this.#socket.resume()
    }
  }

  #goOn(): void {
    if (this.#open && this.#wanted && this.#held.length === 0) {
      this.#socket.resume()
    }
  }

  /** At most so many bytes; none when there are none now. */
  take(most: number): Buffer {
    if (this.#held.length === 0) {
      return this.#read(Math.min(most, CHUNK))
    }
    const data = this.#held.subarray(0, most)
    this.#held = this.#held.subarray(data.length)
    this.#tellEnd()
    return data
  }

  #read(most: number): Buffer {
    try {
      const count = this.#open && !this.#ended ? Fs.readSync(this.fd, buffer, 0, most, null) : 0
      return count === 0 ? EMPTY : Buffer.from(buffer.subarray(0, count))
    } catch (error) {
      if (codeOf(error) === "EAGAIN") {
        return EMPTY
      }
      this.#ended = true
      return EMPTY
    }
  }

  /**
   * Takes over all that is in the pipe at this moment, and tells how much it is. Node cannot ask how many bytes wait
   * (FIONREAD), but no pipe holds more than the largest one does, so that a writer who goes on meanwhile is not followed
   * for ever.
   */
  capture(): number {
    const parts = [this.#held]
    let size = 0
    while (size < LARGEST_PIPE) {
      const data = this.#read(CHUNK)
      if (data.length === 0) {
        break
      }
      parts.push(data)
      size += data.length
    }
    this.#held = Buffer.concat(parts)
    return this.#held.length
  }

  /** Reads until nobody can write to it any more, and passes on what comes, if to anybody. */
  drain(onData: (data: Buffer) => void = () => {}): void {
    const pass = (): void => {
      const data = this.#held
      this.#held = EMPTY
      if (data.length > 0) {
        onData(data)
      }
      this.#tellEnd()
    }
    this.onReadable = pass
    this.onEnd = () => this.close()
    this.want(true)
    pass()
    this.#goOn()
  }

  /** While it is drained: passes on what is in it at this moment. */
  catchUp(): void {
    this.capture()
    this.onReadable()
  }

  close(): void {
    if (this.#open) {
      this.#open = false
      this.#held = EMPTY
      this.#socket.destroy()
    }
  }
}

const LARGEST_PIPE = largestPipe()

/**
 * A pipe for output: its read end, and a descriptor for programs to write to.
 */
export interface Pipe {
  readonly source: Source
  readonly writer: number
}

/** Opens a FIFO. What is none any more is somebody's in the sandbox: that must not hold up the agent. */
const openFifo = (path: string, flags: number): number => {
  const fd = Fs.openSync(path, flags | O_NOFOLLOW)
  if (!Fs.fstatSync(fd).isFIFO()) {
    Fs.closeSync(fd)
    throw Object.assign(new Error("its pipe was replaced by code in the sandbox"), { code: "EIO" })
  }
  return fd
}

/**
 * Makes FIFOs in a folder of its own.
 */
export class Fifos {
  readonly #folder: string
  readonly #ready: Array<string> = []
  #next = 0
  #refilling = false

  constructor(folder: string) {
    // A name that `ls` does not show.
    this.#folder = `${folder}/.fifos`
  }

  /** The program, with arguments that make so many, and their paths. */
  #order(
    count: number
  ): { readonly command: string; readonly args: ReadonlyArray<string>; readonly paths: Array<string> } {
    const command = findProgram("mkfifo", { PATH: process.env["PATH"] ?? "" })
    if (command === undefined) {
      throw Object.assign(new Error("there is no mkfifo in the sandbox, which the agent in Node needs"), {
        code: "ENOSHELL"
      })
    }
    Fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const paths = Array.from({ length: count }, () => `${this.#folder}/${this.#next++}`)
    return { command, args: ["-m", "600", ...paths], paths }
  }

  /** Makes some ahead, while nobody waits. */
  refill(): void {
    if (this.#refilling || this.#ready.length > FEW) {
      return
    }
    this.#refilling = true
    const { args, command, paths } = this.#order(BATCH)
    const child = spawn(command, args, { stdio: "ignore", env: {} })
    child.on("error", () => {
      this.#refilling = false
    })
    child.on("exit", (code) => {
      this.#refilling = false
      if (code === 0) {
        this.#ready.push(...paths)
      }
    })
  }

  /** One that nobody has opened, by its path. */
  #path(): string {
    const made = this.#ready.shift()
    if (made !== undefined) {
      if (this.#ready.length <= FEW) {
        this.refill()
      }
      return made
    }
    const { args, command, paths } = this.#order(BATCH)
    const { error, status, stderr } = spawnSync(command, args, { stdio: ["ignore", "ignore", "pipe"], env: {} })
    if (error !== undefined) {
      throw error
    }
    if (status !== 0) {
      const said = stderr.toString("utf8").trim()
      throw Object.assign(new Error(said), { code: said.includes("No space left") ? "ENOSPC" : "EIO" })
    }
    const [path, ...others] = paths
    this.#ready.push(...others)
    return path ?? ""
  }

  /** Its read end, and its path, for those that open it by that. Whoever takes it removes it. */
  named(): { readonly source: Source; readonly path: string } {
    const path = this.#path()
    return { source: new Source(openFifo(path, O_RDONLY | O_NONBLOCK)), path }
  }

  /** Both ends, and no name. */
  pipe(): Pipe {
    const { path, source } = this.named()
    try {
      // By the open one: the name may be somebody else's by now, and opening that could wait for ever.
      return { source, writer: Fs.openSync(`/proc/self/fd/${source.fd}`, O_WRONLY) }
    } catch (error) {
      source.close()
      throw error
    } finally {
      this.remove(path)
    }
  }

  /** A pipe for input: an end for a program to read from, and one to write to, which does not block. */
  input(): { readonly reader: number; readonly writer: number } {
    const path = this.#path()
    // Both ways: then nobody waits for the other end.
    const both = openFifo(path, O_RDWR | O_NONBLOCK)
    let reader = -1
    try {
      reader = Fs.openSync(`/proc/self/fd/${both}`, O_RDONLY)
      return { reader, writer: Fs.openSync(`/proc/self/fd/${both}`, O_WRONLY | O_NONBLOCK) }
    } catch (error) {
      if (reader >= 0) {
        Fs.closeSync(reader)
      }
      throw error
    } finally {
      Fs.closeSync(both)
      this.remove(path)
    }
  }

  remove(path: string): void {
    try {
      Fs.unlinkSync(path)
    } catch {
      // Code in the sandbox has done so.
    }
  }
}
