/**
 * Many small files in one request, one after the other.
 *
 * Each is written and read as `transfers.ts` does it. What makes it fast is that folders stay open from one file to the
 * next, and that all are written out to the disk together.
 */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import type { EngineMessage } from "../Protocol.js"
import { Errno } from "./errors.js"
import type { Files } from "./files.js"
import { bytesOf, explain, FileFailure, join, Place, type Raw, rawOf, within, type Workspace } from "./paths.js"
import { inSteps, type Steps } from "./steps.js"
import { syncFileSystem } from "./syncing.js"
import { NEW, refuseToReplace, REPLACING, statusIfAny, type Transfer } from "./transfers.js"

type Message<Op> = Extract<EngineMessage, { readonly op: Op }>

/** How many files are done between two looks at what else there is to do. */
const BATCH = 32

/** How many folders are open at a time: a sandbox may be limited to 64 descriptors. */
const FOLDERS = 24

const { O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } = Fs.constants

interface Found {
  readonly place: Place
  /** What is there, if anything. */
  readonly status: Fs.BigIntStats | undefined
}

/**
 * Open folders, by the path that they were asked for by.
 */
class Folders {
  readonly #known = new Map<string, Place>()

  constructor(private readonly workspace: Workspace) {}

  /** What a path means, links followed. The place is closed with all the others. */
  find(path: string, make: boolean): Found {
    const cut = path.lastIndexOf("/")
    const parent = path.slice(0, cut)
    const name = path.slice(cut + 1)
    // Names that are shown otherwise than they are, and `/workspace` itself.
    if (/[\uFFFD\0]/.test(path) || parent === "" || name === "" || name === "." || name === "..") {
      return this.#apart(path, make)
    }
    const folder = this.#known.get(parent) ?? this.#enter(parent, make)
    const raw = rawOf(name)
    const place = new Place(join(folder.path, raw), folder.folder, raw)
    const status = statusIfAny(place)
    return status?.isSymbolicLink() === true ? this.#apart(path, make) : { place, status }
  }

  #enter(parent: string, make: boolean): Place {
    const location = this.workspace.locate(parent)
    const folder = new Place(location, this.workspace.enter(location, make), ".")
    this.#known.set(parent, folder)
    return folder
  }

  #apart(path: string, make: boolean): Found {
    const place = this.workspace.open(path, { make })
    this.#known.set(`${path}/`, place)
    return { place, status: statusIfAny(place) }
  }

  get full(): boolean {
    return this.#known.size >= FOLDERS
  }

  close(): void {
    for (const place of this.#known.values()) {
      place.close()
    }
    this.#known.clear()
  }
}

/**
 * A request for many files, until it is done or forgotten.
 */
abstract class Many implements Transfer {
  readonly path = ""
  protected readonly folders: Folders
  /** The file that is worked on. */
  protected index = 0
  #open = true

  constructor(
    protected readonly files: Files,
    private readonly id: number,
    private readonly paths: ReadonlyArray<string>
  ) {
    this.folders = new Folders(files.workspace)
  }

  start(): void {
    inSteps(this.#run(), (error) => this.#fail(error))
  }

  *#run(): Steps {
    for (const [index, path] of this.paths.entries()) {
      if (!this.#open) {
        return
      }
      this.index = index
      if (this.folders.full) {
        this.settle()
        this.folders.close()
      }
      if (!this.one(index, path)) {
        break
      }
      if (index % BATCH === BATCH - 1) {
        yield
      }
    }
    if (this.#open) {
      this.settle()
      this.answer(this.id)
    }
  }

  /** What was before the file at fault is done all the same. */
  #fail(error: unknown): void {
    let fault = error
    let index = this.index
    try {
      this.settle()
    } catch (earlier) {
      fault = earlier
      index = this.index
    }
    this.files.fail(this.id, explain(fault, this.paths[index] ?? ""), index)
  }

  /** Does one; says whether to go on. */
  protected abstract one(index: number, path: string): boolean

  /** What has to be done while the folders are open. */
  protected abstract settle(): void

  /** Forgets the request, and says what came of it. */
  protected abstract answer(id: number): void

  close(): void {
    this.#open = false
    this.folders.close()
  }
}

interface Staged {
  readonly index: number
  readonly place: Place
  readonly temporary: Raw
}

const removeStaged = ({ place, temporary }: Staged): void => {
  try {
    Fs.unlinkSync(bytesOf(within(place.folder, temporary)))
  } catch {
    // Code in the sandbox has done so, or moved it.
  }
}

/**
 * Files on their way from the engine: each gets its name in one step, in the order of the request.
 */
export class WritingMany extends Many {
  readonly #sizes: ReadonlyArray<number>
  readonly #make: boolean
  readonly #written: Array<string> = []
  #rest: Buffer
  #staged: Array<Staged> = []

  constructor(files: Files, { createParents, id, paths, sizes }: Message<"file.writeMany">, blob: Buffer) {
    super(files, id, paths)
    this.#sizes = sizes
    this.#make = createParents
    this.#rest = blob
  }

  protected one(index: number, path: string): boolean {
    const size = this.#sizes[index] ?? 0
    const content = this.#rest.subarray(0, size)
    this.#rest = this.#rest.subarray(size)
    const { place, status } = this.folders.find(path, this.#make)
    if (status !== undefined) {
      refuseToReplace(status, path)
    }
    const { fileSize, sync } = this.files.settings
    if (fileSize !== undefined && size > fileSize) {
      throw new Errno("EFBIG")
    }
    const temporary = (status === undefined ? NEW : REPLACING) + randomBytes(9).toString("hex")
    const staged = { index, place, temporary }
    const fd = Fs.openSync(bytesOf(within(place.folder, temporary)), O_WRONLY | O_CREAT | O_EXCL, 0o600)
    try {
      Fs.fchmodSync(fd, status === undefined ? 0o644 : Number(status.mode & 0o7777n))
      for (let offset = 0; offset < content.length;) {
        offset += Fs.writeSync(fd, content, offset)
      }
      if (sync) {
        Fs.fsyncSync(fd)
      }
    } catch (error) {
      removeStaged(staged)
      throw error
    } finally {
      Fs.closeSync(fd)
    }
    this.#staged.push(staged)
    return true
  }

  protected settle(): void {
    while (this.#staged[0] !== undefined) {
      const { index, place, temporary } = this.#staged[0]
      this.index = index
      Fs.renameSync(bytesOf(within(place.folder, temporary)), place.at)
      this.#staged.shift()
      this.#written.push(this.files.workspace.public(place.path))
    }
  }

  protected answer(id: number): void {
    const answer = (): void => {
      this.files.forget(id)
      this.files.answered(() =>
        this.files.link.send({ ev: "file.written", id }, Buffer.from(JSON.stringify(this.#written)))
      )
    }
    if (this.files.settings.sync) {
      const root = Fs.openSync(bytesOf(this.files.workspace.root), O_RDONLY)
      syncFileSystem(root, () => {
        Fs.closeSync(root)
        answer()
      })
    } else {
      answer()
    }
  }

  override close(): void {
    this.#staged.forEach(removeStaged)
    this.#staged = []
    super.close()
  }
}

/**
 * Files on their way to the engine: as many of them, from the first on, as have room in what was asked for.
 */
export class ReadingMany extends Many {
  readonly #contents: Array<Buffer> = []
  #room: number

  constructor(files: Files, { id, most, paths }: Message<"file.readMany">) {
    super(files, id, paths)
    this.#room = most
  }

  protected one(_index: number, path: string): boolean {
    const { place } = this.folders.find(path, false)
    // A FIFO without a writer must not hold up the agent.
    const fd = place.open(O_RDONLY | O_NONBLOCK | O_NOCTTY)
    try {
      const status = Fs.fstatSync(fd)
      if (!status.isFile()) {
        throw new FileFailure("not_a_file", `${path} is not a regular file.`)
      }
      if (status.size > this.#room) {
        return false
      }
      // One more than it says, so that one that grows, or says nothing of its size, is noticed.
      const room = this.#room
      const pieces: Array<Buffer> = []
      let size = 0
      for (let wanted = status.size + 1; size <= room; wanted = room - size + 1) {
        const piece = Buffer.allocUnsafe(Math.min(wanted, room - size + 1))
        const count = Fs.readSync(fd, piece, 0, piece.length, null)
        if (count === 0) {
          break
        }
        pieces.push(piece.subarray(0, count))
        size += count
      }
      if (size > room) {
        return false
      }
      this.#room -= size
      this.#contents.push(Buffer.concat(pieces, size))
      return true
    } finally {
      Fs.closeSync(fd)
    }
  }

  protected settle(): void {}

  protected answer(id: number): void {
    this.files.forget(id)
    const sizes = this.#contents.map(({ length }) => length)
    this.files.link.send({ ev: "file.contents", id, sizes }, Buffer.concat(this.#contents))
  }
}
