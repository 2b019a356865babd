/**
 * The contents of files, streamed under credit.
 */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import type { EngineMessage } from "../Protocol.js"
import { codeOf, Errno, messageOf } from "./errors.js"
import type { Files } from "./files.js"
import { bytesOf, explain, FileFailure, type Place, type Raw, within } from "./paths.js"
import { inSteps, type Steps } from "./steps.js"
import { syncFileSystem } from "./syncing.js"

type Message<Op> = Extract<EngineMessage, { readonly op: Op }>

const CHUNK = 256 * 1024

/** How much of a file is written before it is written out, so that each time takes a moment only. */
const SYNC_STEP = 8 * 1024 * 1024

/** How the names begin that files have for a moment: before the first one of that name, and before a replacement. */
export const NEW = ".sandbox-new-"
export const REPLACING = ".sandbox-old-"

/** What is there, if anything. */
export const statusIfAny = (place: Place): Fs.BigIntStats | undefined => {
  try {
    return place.status()
  } catch (error) {
    if (codeOf(error) === "ENOENT") {
      return undefined
    }
    throw error
  }
}

/** Only a file can be replaced by one. */
export const refuseToReplace = (status: Fs.BigIntStats, path: string): void => {
  if (!status.isFile()) {
    throw new FileFailure("not_a_file", `${path} is ${status.isDirectory() ? "a directory" : "not a regular file"}.`)
  }
}

const { O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } = Fs.constants

/**
 * What goes on under the number of a request.
 */
export interface Transfer {
  /** As the engine calls it. */
  readonly path: string
  readonly data?: (blob: Buffer, last: boolean) => void
  readonly allow?: (bytes: number) => void
  readonly pump?: () => void
  readonly close: () => void
}

/**
 * One file on its way to the engine.
 */
export class Reading implements Transfer {
  readonly path: string
  readonly status: Fs.BigIntStats
  readonly #id: number
  #credit: number
  #fd: number
  #busy = false

  constructor(private readonly files: Files, { credit, id, path }: Message<"file.read">, place: Place) {
    this.path = path
    this.#id = id
    this.#credit = credit
    // A FIFO without a writer must not hold up the agent.
    this.#fd = place.open(O_RDONLY | O_NONBLOCK | O_NOCTTY)
    try {
      this.status = Fs.fstatSync(this.#fd, { bigint: true })
      if (!this.status.isFile()) {
        throw new FileFailure("not_a_file", `${path} is not a regular file.`)
      }
    } catch (error) {
      Fs.closeSync(this.#fd)
      throw error
    }
  }

  allow(bytes: number): void {
    this.#credit += bytes
    this.pump()
  }

  /** Sends what credit and the queue allow, in one piece a turn. */
  pump(): void {
    if (!this.#busy) {
      this.#busy = true
      inSteps(this.#turns(), (error) => this.files.fail(this.#id, explain(error, this.path)))
    }
  }

  *#turns(): Steps {
    while (this.#fd >= 0 && this.#credit > 0 && !this.files.link.congested) {
      const data = Buffer.allocUnsafe(Math.min(CHUNK, this.#credit))
      const count = Fs.readSync(this.#fd, data, 0, data.length, null)
      this.#credit -= count
      this.files.link.send({ ev: "file.data", id: this.#id, last: count === 0 }, data.subarray(0, count))
      if (count === 0) {
        this.files.forget(this.#id)
        return
      }
      yield
    }
    this.#busy = false
  }

  close(): void {
    if (this.#fd >= 0) {
      Fs.closeSync(this.#fd)
      this.#fd = -1
    }
  }
}

/**
 * One file on its way from the engine: it gets its name when it is complete, in one step.
 *
 * Until then it has a name that is told apart by how it begins: Node cannot give a name to a file that has none
 * (linkat(2), `AT_SYMLINK_FOLLOW`). The engine sweeps such names away when an agent was lost meanwhile.
 */
export class Writing implements Transfer {
  readonly path: string
  readonly #id: number
  readonly #temporary: Raw
  #named = true
  #fd: number
  #size = 0
  #unsynced = 0

  constructor(private readonly files: Files, { id, path }: Message<"file.write">, private readonly place: Place) {
    this.path = path
    this.#id = id
    const before = statusIfAny(place)
    if (before !== undefined) {
      refuseToReplace(before, path)
    }
    if (path.endsWith("/")) {
      throw new FileFailure("not_a_file", `${path} names a directory.`)
    }
    this.#temporary = (before === undefined ? NEW : REPLACING) + randomBytes(9).toString("hex")
    this.#fd = Fs.openSync(this.#at, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    Fs.fchmodSync(this.#fd, before === undefined ? 0o644 : Number(before.mode & 0o7777n))
  }

  get #at(): Buffer {
    return bytesOf(within(this.place.folder, this.#temporary))
  }

  data(blob: Buffer, last: boolean): void {
    this.#size += blob.length
    const most = this.files.settings.fileSize
    if (most !== undefined && this.#size > most) {
      throw new Errno("EFBIG")
    }
    for (let offset = 0; offset < blob.length;) {
      offset += Fs.writeSync(this.#fd, blob, offset)
    }
    this.#unsynced += blob.length
    if (last || this.#unsynced >= SYNC_STEP) {
      this.#sync()
    }
    if (last) {
      this.#finish()
    } else if (blob.length > 0) {
      this.files.link.send({ ev: "file.credit", id: this.#id, bytes: blob.length })
    }
  }

  /** Where the workspace is a disk of its own, only now is it certain that the host's disk had room for this. */
  #sync(): void {
    this.#unsynced = 0
    if (this.files.settings.sync) {
      try {
        Fs.fsyncSync(this.#fd)
      } catch (error) {
        const what = "could not be written to the disk of the machine that the sandbox is on"
        throw new FileFailure("disk_full", `${this.path} ${what}: ${messageOf(error)}.`)
      }
    }
  }

  #finish(): void {
    Fs.renameSync(this.#at, this.place.at)
    this.#named = false
    const info = this.files.describe(this.place)
    if (!this.files.settings.sync) {
      this.files.forget(this.#id)
      this.files.changed(this.#id, info)
      return
    }
    // Its name, and what the file system notes of the room that it takes.
    syncFileSystem(this.place.folder, () => {
      this.files.forget(this.#id)
      this.files.changed(this.#id, info)
    })
  }

  close(): void {
    if (this.#fd < 0) {
      return
    }
    if (this.#named) {
      try {
        Fs.unlinkSync(this.#at)
      } catch {
        // Code in the sandbox has done so, or moved it.
      }
    }
    Fs.closeSync(this.#fd)
    this.#fd = -1
    this.place.close()
  }
}
