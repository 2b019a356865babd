/**
 * File operations, in the sandbox's own view and by the rights of its user.
 */
import * as Fs from "node:fs"
import type { FileInfo, FileType } from "../../File.js"
import { MAX_BLOB_BYTES } from "../Limits.js"
import type { EngineMessage } from "../Protocol.js"
import { codeOf, Errno } from "./errors.js"
import type { Link } from "./link.js"
import { ReadingMany, WritingMany } from "./many.js"
import {
  explain,
  FileFailure,
  join,
  lstat,
  namesIn,
  type Place,
  type Raw,
  readLink,
  show,
  within,
  Workspace
} from "./paths.js"
import { inSteps, type Steps } from "./steps.js"
import { Reading, type Transfer, Writing } from "./transfers.js"
import { removeTree } from "./trees.js"
import { Watching } from "./watching.js"

type FileMessage = Extract<EngineMessage, { readonly op: `file.${string}` }>
type Message<Op> = Extract<FileMessage, { readonly op: Op }>

/** How much is done between two looks at what else there is to do. */
const BATCH = 200

/** What is to be known of a file, as `FileInfo` has it encoded. */
export type Info = typeof FileInfo.Encoded

const kindOf = (status: Fs.BigIntStats): FileType =>
  status.isFile()
    ? "file"
    : status.isDirectory()
    ? "directory"
    : status.isSymbolicLink()
    ? "symlink"
    : status.isFIFO()
    ? "fifo"
    : status.isSocket()
    ? "socket"
    : status.isCharacterDevice() || status.isBlockDevice()
    ? "device"
    : "unknown"

const milliseconds = (nanoseconds: bigint): number => Number(nanoseconds / 1_000_000n)

const least = (...times: ReadonlyArray<bigint>): bigint => times.reduce((a, b) => a < b ? a : b)

/** The milliseconds since the epoch when it was made; the time of the last change where the file system keeps no other. */
const createdAt = ({ birthtimeNs, ctimeNs, mtimeNs }: Fs.BigIntStats): number =>
  milliseconds(birthtimeNs > 0n ? birthtimeNs : least(ctimeNs, mtimeNs))

const targetOf = (path: Raw): { readonly target?: string } => {
  try {
    return { target: show(readLink(path)) }
  } catch {
    return {}
  }
}

/** A `FileInfo` of a name in an open folder. The status is that of a link itself, not of what it points to. */
const describe = (
  workspace: Workspace,
  path: Raw,
  folder: number,
  name: Raw,
  status: Fs.BigIntStats
): Info => {
  const shown = workspace.public(path)
  const type = kindOf(status)
  return {
    path: shown,
    name: shown.slice(shown.lastIndexOf("/") + 1),
    type,
    isDirectory: type === "directory",
    size: Number(status.size),
    mode: Number(status.mode & 0o7777n),
    createdAt: createdAt(status),
    modifiedAt: milliseconds(status.mtimeNs),
    ...(type === "symlink" ? targetOf(within(folder, name)) : {})
  }
}

/** In the order of the characters that they are shown with. */
const sorted = (names: ReadonlyArray<Raw>): ReadonlyArray<Raw> =>
  names.map((name) => ({ name, shown: Buffer.from(show(name)) }))
    .sort((a, b) => Buffer.compare(a.shown, b.shown))
    .map(({ name }) => name)

/**
 * How files are written.
 */
export interface FileSettings {
  /** Whether a file is answered for only when the file system has all of it written out. */
  readonly sync: boolean
  /** The most bytes that a file may have. */
  readonly fileSize: number | undefined
}

export class Files {
  readonly workspace: Workspace
  settings: FileSettings = { sync: false, fileSize: undefined }
  readonly #transfers = new Map<number, Transfer>()

  constructor(readonly link: Link, root: string) {
    this.workspace = new Workspace(root)
  }

  configure(settings: FileSettings): void {
    this.settings = settings
  }

  onMessage(message: FileMessage, blob: Buffer): void {
    const { id } = message
    const transfer = this.#transfers.get(id)
    switch (message.op) {
      case "file.data":
        return this.guard(id, transfer?.path ?? "", () => transfer?.data?.(blob, message.last))
      case "file.credit":
        return this.guard(id, transfer?.path ?? "", () => transfer?.allow?.(message.bytes))
      case "file.cancel":
        return this.forget(id)
      case "file.writeMany":
        return this.#many(id, new WritingMany(this, message, blob))
      case "file.readMany":
        return this.#many(id, new ReadingMany(this, message))
      case "file.stat":
      case "file.list":
      case "file.delete":
      case "file.makeDirectory":
      case "file.move":
      case "file.read":
      case "file.write":
      case "file.watch":
        return this.guard(id, message.path, () => this.#begin(message))
    }
  }

  #begin(
    message: Exclude<
      FileMessage,
      Message<"file.data" | "file.credit" | "file.cancel" | "file.writeMany" | "file.readMany">
    >
  ): void {
    switch (message.op) {
      case "file.stat":
        return this.workspace.use(
          message.path,
          { follow: false, whole: message.whole },
          (place) => this.reply(message.id, this.describe(place))
        )
      case "file.list":
        return this.#list(message)
      case "file.delete":
        return this.#delete(message)
      case "file.makeDirectory":
        return this.#makeDirectory(message)
      case "file.move":
        return this.#move(message)
      case "file.read":
        return this.#read(message)
      case "file.write":
        return this.#write(message)
      case "file.watch":
        return this.#watch(message)
    }
  }

  /** Turns what goes wrong into a `failed` message. */
  guard(id: number, path: string, operation: () => void): void {
    try {
      operation()
    } catch (error) {
      this.fail(id, explain(error, path))
    }
  }

  /** A long operation, piece by piece. */
  steps(id: number, path: string, steps: Steps): void {
    inSteps(steps, (error) => this.fail(id, explain(error, path)))
  }

  #many(id: number, many: WritingMany | ReadingMany): void {
    this.#transfers.set(id, many)
    many.start()
  }

  /** `index`: that of the file at fault, of many. */
  fail(id: number, { code, field, message }: FileFailure, index?: number): void {
    this.forget(id)
    this.link.send({ ev: "failed", id, code, message, field, ...(index === undefined ? {} : { index }) })
  }

  forget(id: number): void {
    const transfer = this.#transfers.get(id)
    this.#transfers.delete(id)
    transfer?.close()
  }

  reply(id: number, value: Info | null): void {
    this.link.send({ ev: "reply", id, value })
  }

  /**
   * Answers for a change. Whoever watches is to look at it before the next one: the loop goes to what the kernel tells of
   * files in each turn, after what was asked for in the turn before.
   */
  changed(id: number, value: Info | null): void {
    this.answered(() => this.reply(id, value))
  }

  /** The same, with another answer. */
  answered(answer: () => void): void {
    const after = (turns: number): void => {
      if (turns === 0) {
        answer()
      } else {
        setImmediate(() => after(turns - 1))
      }
    }
    after([...this.#transfers.values()].some((transfer) => transfer instanceof Watching) ? 3 : 0)
  }

  /** The engine has read on: so can files be. */
  pump(): void {
    for (const [id, transfer] of [...this.#transfers]) {
      this.guard(id, transfer.path, () => transfer.pump?.())
    }
  }

  describe(place: Place, status: Fs.BigIntStats = place.status()): Info {
    return describe(this.workspace, place.path, place.folder, place.name, status)
  }

  // ---- the operations -----------------------------------------------------------------------------------------------

  #refuseTop(what: string, ...places: ReadonlyArray<Place>): void {
    for (const { path } of places) {
      if (path === this.workspace.root || path === "/") {
        throw new FileFailure("permission_denied", `${this.workspace.public(path)} itself cannot be ${what}.`)
      }
    }
  }

  #list({ id, path, whole }: Message<"file.list">): void {
    const { O_DIRECTORY, O_RDONLY } = Fs.constants
    this.workspace.use(path, { whole }, (place) => {
      const folder = place.open(O_RDONLY | O_DIRECTORY)
      this.steps(id, path, this.#listing(id, place.path, folder))
    })
  }

  *#listing(id: number, path: Raw, folder: number): Steps {
    const entries: Array<Info> = []
    try {
      for (const name of sorted(namesIn(within(folder, ".")))) {
        try {
          const status = lstat(within(folder, name))
          entries.push(describe(this.workspace, join(path, name), folder, name, status))
        } catch (error) {
          // It went away meanwhile.
          if (codeOf(error) !== "ENOENT") {
            throw error
          }
        }
        if (entries.length % BATCH === 0) {
          yield
        }
      }
    } finally {
      Fs.closeSync(folder)
    }
    const blob = Buffer.from(JSON.stringify(entries))
    if (blob.length > MAX_BLOB_BYTES) {
      throw new FileFailure("file_error", "The directory has too many entries to be listed at once.")
    }
    this.link.send({ ev: "reply", id, value: null }, blob)
  }

  #delete({ id, path, whole }: Message<"file.delete">): void {
    this.workspace.use(path, { follow: false, whole }, (place) => {
      this.#refuseTop("deleted", place)
      if (place.status().isDirectory()) {
        this.steps(id, path, this.#deletion(id, removeTree(place.openFolder(), place.name)))
      } else {
        Fs.unlinkSync(place.at)
        this.changed(id, null)
      }
    })
  }

  *#deletion(id: number, tree: Steps): Steps {
    let count = 0
    for (const step of tree) {
      count += 1
      if (count % BATCH === 0) {
        yield step
      }
    }
    this.changed(id, null)
  }

  #makeDirectory({ id, parents, path, whole }: Message<"file.makeDirectory">): void {
    this.workspace.use(path, { make: parents, whole }, (place) => {
      if (place.name === ".") {
        if (!parents) {
          throw new Errno("EEXIST")
        }
      } else {
        try {
          Fs.mkdirSync(place.at)
        } catch (error) {
          if (codeOf(error) !== "EEXIST" || !parents || !place.status().isDirectory()) {
            throw error
          }
        }
      }
      this.changed(id, this.describe(place))
    })
  }

  #move({ id, path, to, whole }: Message<"file.move">): void {
    this.workspace.use(
      path,
      { follow: false, whole },
      (place) =>
        this.workspace.use(to, { field: "to", follow: false, whole }, (target) => {
          this.#refuseTop("moved or replaced", place, target)
          place.status()
          try {
            Fs.renameSync(place.at, target.at)
          } catch (error) {
            throw explain(error, to, "to")
          }
          this.changed(id, this.describe(target))
        })
    )
  }

  #read(message: Message<"file.read">): void {
    const { id, path, whole } = message
    const reading = this.workspace.use(path, { whole }, (place) => {
      const reading = new Reading(this, message, place)
      this.#transfers.set(id, reading)
      this.reply(id, this.describe(place, reading.status))
      return reading
    })
    reading.pump()
  }

  #write(message: Message<"file.write">): void {
    const place = this.workspace.open(message.path, { make: message.createParents, whole: message.whole })
    try {
      this.#transfers.set(message.id, new Writing(this, message, place))
    } catch (error) {
      place.close()
      throw error
    }
  }

  #watch(message: Message<"file.watch">): void {
    this.#transfers.set(message.id, new Watching(this, message))
  }
}
