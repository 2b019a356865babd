/**
 * `process.stdout` and `process.stderr` of user code, and file operations on descriptors 1 and 2.
 *
 * Descriptors 1 and 2 of the interpreter lead nowhere useful; what code writes to them through `fs` goes to its run's
 * streams instead (`writeSync`, `write`, `writev`, `writeFileSync`, `appendFileSync`, also by the names in `/dev`).
 */
import type * as nodeFs from "node:fs"
import { createRequire } from "node:module"
import { Writable } from "node:stream"

const { apply } = Reflect

/** A stream of the current run. */
export interface Target {
  readonly write: (chunk: string | Uint8Array) => void
}

/** Standard output or standard error of the run that the calling code belongs to. */
export type Route = (fd: 1 | 2) => Target

type Callback = (error?: Error | null) => void

// The mutable object that `require("fs")` gives; an ES import is a read-only view of it.
const fs: typeof nodeFs = createRequire(__filename)("node:fs")
const { nextTick } = process
const { from } = Buffer

const bytesOf = (chunk: unknown, encoding: unknown): string | Uint8Array => {
  if (typeof chunk === "string") {
    const name = typeof encoding === "string" ? encoding.toLowerCase() : "utf8"
    return name === "utf8" || name === "utf-8" || !Buffer.isEncoding(name) ? chunk : from(chunk, name)
  }
  if (chunk instanceof Uint8Array) {
    return chunk
  }
  if (ArrayBuffer.isView(chunk)) {
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }
  const type = chunk === null ? "null" : typeof chunk
  throw Object.assign(
    new TypeError(
      `The "chunk" argument must be of type string or an instance of Buffer or Uint8Array. Received ${type}`
    ),
    { code: "ERR_INVALID_ARG_TYPE" }
  )
}

class OutputStream extends Writable {
  readonly fd: 1 | 2
  readonly #route: Route

  constructor(fd: 1 | 2, route: Route) {
    super({ decodeStrings: false, emitClose: false, autoDestroy: false })
    this.fd = fd
    this.#route = route
  }

  override write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    this.#route(this.fd).write(bytesOf(chunk, encoding))
    const done = typeof encoding === "function" ? encoding : callback
    if (typeof done === "function") {
      nextTick(() => apply(done, this, [null]))
    }
    return true
  }

  /** The streams of a process have no end before the process has. */
  override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
    if (typeof chunk === "function") {
      nextTick(() => apply(chunk, this, []))
      return this
    }
    if (chunk !== undefined && chunk !== null) {
      this.write(chunk, typeof encoding === "function" ? undefined : encoding)
    }
    const done = typeof encoding === "function" ? encoding : callback
    nextTick(() => {
      if (typeof done === "function") {
        apply(done, this, [])
      }
      this.emit("finish")
    })
    return this
  }

  override destroy(): this {
    return this
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: Callback): void {
    this.#route(this.fd).write(bytesOf(chunk, encoding))
    callback()
  }
}

const NAMES: ReadonlyMap<unknown, 1 | 2> = new Map<unknown, 1 | 2>([
  [1, 1],
  [2, 2],
  ["/dev/stdout", 1],
  ["/dev/stderr", 2],
  ["/dev/fd/1", 1],
  ["/dev/fd/2", 2],
  ["/proc/self/fd/1", 1],
  ["/proc/self/fd/2", 2]
])

const isBytes = (value: unknown): value is NodeJS.ArrayBufferView => ArrayBuffer.isView(value)

/** What `fs.write(fd, …)` means by its arguments: the bytes to write. */
const bytesToWrite = (data: unknown, args: ReadonlyArray<unknown>): Uint8Array => {
  if (!isBytes(data)) {
    return from(bytesOf(data, args[1]))
  }
  const all = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const [first] = args
  const options: Record<string, unknown> = typeof first === "object" && first !== null
    ? { ...first }
    : { offset: first, length: args[1] }
  const offset = typeof options["offset"] === "number" ? options["offset"] : 0
  const length = typeof options["length"] === "number" ? options["length"] : all.length - offset
  if (offset < 0 || length < 0 || offset + length > all.length) {
    throw Object.assign(new RangeError("The value of \"offset\" and \"length\" is out of range."), {
      code: "ERR_OUT_OF_RANGE"
    })
  }
  return all.subarray(offset, offset + length)
}

const patchFileSystem = (route: Route): void => {
  const patch = (name: string, make: (original: Function) => Function): void => {
    const original: unknown = Reflect.get(fs, name)
    if (typeof original === "function") {
      const replacement = make(original)
      Object.defineProperty(replacement, "name", { value: name })
      Object.defineProperties(replacement, {
        ...Object.getOwnPropertyDescriptors(original),
        ...Object.getOwnPropertyDescriptors(replacement)
      })
      Reflect.set(fs, name, replacement)
    }
  }
  const sync = (fd: 1 | 2, data: unknown, args: ReadonlyArray<unknown>): number => {
    const bytes = bytesToWrite(data, args)
    route(fd).write(bytes)
    return bytes.length
  }
  patch(
    "writeSync",
    (original) => (fd: unknown, data: unknown, ...args: ReadonlyArray<unknown>) =>
      fd === 1 || fd === 2 ? sync(fd, data, args) : apply(original, fs, [fd, data, ...args])
  )
  patch("write", (original) => (fd: unknown, data: unknown, ...args: ReadonlyArray<unknown>) => {
    const callback = args[args.length - 1]
    if ((fd !== 1 && fd !== 2) || typeof callback !== "function") {
      return apply(original, fs, [fd, data, ...args])
    }
    const written = sync(fd, data, args.slice(0, -1))
    nextTick(() => apply(callback, undefined, [null, written, data]))
    return undefined
  })
  patch(
    "writevSync",
    (original) => (fd: unknown, buffers: ReadonlyArray<unknown>, ...args: ReadonlyArray<unknown>) =>
      fd === 1 || fd === 2
        ? buffers.reduce((sum: number, data) => sum + sync(fd, data, []), 0)
        : apply(original, fs, [fd, buffers, ...args])
  )
  patch("writev", (original) => (fd: unknown, buffers: ReadonlyArray<unknown>, ...args: ReadonlyArray<unknown>) => {
    const callback = args[args.length - 1]
    if ((fd !== 1 && fd !== 2) || typeof callback !== "function") {
      return apply(original, fs, [fd, buffers, ...args])
    }
    const written = buffers.reduce((sum: number, data) => sum + sync(fd, data, []), 0)
    nextTick(() => apply(callback, undefined, [null, written, buffers]))
    return undefined
  })
  for (const name of ["writeFileSync", "appendFileSync"]) {
    patch(name, (original) => (file: unknown, data: unknown, options: unknown) => {
      const fd = NAMES.get(file)
      if (fd === undefined) {
        return apply(original, fs, [file, data, options])
      }
      const encoding = typeof options === "object" && options !== null && "encoding" in options
        ? options.encoding
        : options
      route(fd).write(bytesOf(data, encoding))
      return undefined
    })
  }
}

/**
 * Puts the streams in place.
 */
export const installStdio = (route: Route): { readonly stdout: Writable; readonly stderr: Writable } => {
  const stdout = new OutputStream(1, route)
  const stderr = new OutputStream(2, route)
  const define = (name: string, stream: Writable): void => {
    Object.defineProperty(process, name, { value: stream, configurable: true, enumerable: true, writable: true })
  }
  define("stdout", stdout)
  define("stderr", stderr)
  patchFileSystem(route)
  return { stdout, stderr }
}
