/**
 * Watching a directory: what Node tells of inotify(7), turned into events about entries.
 *
 * Node says that something happened to a name, and neither what nor that events were lost. So each folder's entries are
 * remembered, and looked at again when their name is mentioned: what is told is the difference. What came and went
 * between two looks is not told. While there is no credit, nothing is looked at, and only the names are kept; when they
 * become too many, or so many came at once that the kernel may have dropped some, the watch fails instead of going on with
 * a gap.
 */
import * as Fs from "node:fs"
import type { FileEvent } from "../../File.js"
import type { EngineMessage } from "../Protocol.js"
import { codeOf, Errno } from "./errors.js"
import type { Files } from "./files.js"
import { explain, FileFailure, inProc, join, lstat, namesIn, type Raw, within } from "./paths.js"
import { inSteps, type Steps } from "./steps.js"
import { NEW, REPLACING, type Transfer } from "./transfers.js"

type Message = Extract<EngineMessage, { readonly op: "file.watch" }>

/** What the kernel holds back of events; beyond that it drops them. */
const mostEvents = (): number => {
  try {
    return Number(Fs.readFileSync("/proc/sys/fs/inotify/max_queued_events", "latin1")) || 16_384
  } catch {
    return 16_384
  }
}

/** An entry of a folder, as it was seen last. */
interface Entry {
  /** Tells it from all others, also from a later one with the same number. */
  readonly key: string
  readonly isDirectory: boolean
  readonly status: Fs.BigIntStats
}

/** A folder that is watched. */
interface Folder {
  path: Raw
  /**
   * It is looked into by this, whatever it is called by now. The one at the top has none: the kernel does not tell that a
   * folder is gone for as long as somebody has it open.
   */
  readonly fd: number | undefined
  readonly watcher: Fs.FSWatcher
  readonly entries: Map<Raw, Entry>
  /** Whether it is watched no more. */
  dropped: boolean
}

/** Something that happened to a name. */
interface Mention {
  readonly folder: Folder
  readonly name: Raw
  /** Whether it was told that the file changed, and not that its name came or went. */
  changed: boolean
}

/** A mention, and what the look at it showed. */
interface Look extends Mention {
  readonly before: Entry | undefined
  readonly now: Entry | undefined
  /** Whether it is another one than before that has the name, or none. */
  readonly goes: boolean
}

const entryAt = (fd: number, name: Raw): Entry | undefined => {
  try {
    const status = lstat(within(fd, name))
    return {
      key: `${status.dev}:${status.ino}:${status.birthtimeNs}`,
      isDirectory: status.isDirectory(),
      status
    }
  } catch {
    return undefined
  }
}

const close = ({ fd, watcher }: Folder): void => {
  watcher.close()
  if (fd !== undefined) {
    Fs.closeSync(fd)
  }
}

const identityOf = (fd: number): string => {
  const { dev, ino } = Fs.fstatSync(fd, { bigint: true })
  return `${dev}:${ino}`
}

const isOwn = (name: Raw): boolean => name.startsWith(NEW) || name.startsWith(REPLACING)

/** How many events have come since the last turn of the loop: all watches have one queue in the kernel. */
let burst = 0
let counting = false

const count = (): number => {
  burst += 1
  if (!counting) {
    counting = true
    setImmediate(() => {
      burst = 0
      counting = false
    })
  }
  return burst
}

/** Whether a file that was told of as changed has another content, rather than other attributes. */
const isModified = (before: Fs.BigIntStats, now: Fs.BigIntStats): boolean => {
  if (before.size !== now.size) {
    return true
  }
  if (before.mtimeNs !== now.mtimeNs) {
    // A time that somebody has set is none of those at which something can have been written.
    return now.mtimeNs >= before.ctimeNs && now.mtimeNs <= now.ctimeNs
  }
  // Within one tick of the clock, a write leaves no other trace.
  return before.ctimeNs === now.ctimeNs && now.ctimeNs === now.mtimeNs
}

export class Watching implements Transfer {
  readonly path: string
  readonly #id: number
  readonly #recursive: boolean
  readonly #root: Raw
  readonly #whole: boolean | undefined
  readonly #most = mostEvents()
  readonly #folders = new Map<Raw, Folder>()
  /** Which the folder at the top is. */
  #identity = ""
  /** By folder and name, in the order in which they came. */
  #mentions = new Map<Folder, Map<Raw, Mention>>()
  #mentioned: Array<Mention> = []
  #credit: number
  #pending: Array<string> = []
  #failure: FileFailure | undefined
  #scheduled = false
  #started = false
  #closed = false

  constructor(private readonly files: Files, { credit, id, path, recursive, whole }: Message) {
    this.path = path
    this.#id = id
    this.#credit = credit
    this.#recursive = recursive
    this.#whole = whole
    this.#root = files.workspace.use(path, { whole }, (place) => place.path)
    inSteps(this.#start(), (error) => files.fail(id, explain(error, path)))
  }

  /** Watches the directory, and with `recursive` all below it; then answers. */
  *#start(): Steps {
    if (this.#closed) {
      return
    }
    const root = this.#add(this.#root)
    if (this.#recursive) {
      for (const _ of this.#descend(root, false)) {
        yield
      }
    }
    if (!this.#closed) {
      this.files.workspace.use(
        this.path,
        { whole: this.#whole },
        (place) => this.files.reply(this.#id, this.files.describe(place))
      )
      this.#started = true
      this.pump()
    }
  }

  #add(path: Raw): Folder {
    const fd = this.files.workspace.enter(path)
    try {
      if (inProc(Fs.fstatSync(fd, { bigint: true }))) {
        throw new Errno("EACCES")
      }
      // First the watch, then the look: what comes between is told twice, and not never.
      const watcher = Fs.watch(`/proc/self/fd/${fd}/.`, { encoding: "latin1" })
      const isTop = path === this.#root
      const folder: Folder = { path, fd: isTop ? undefined : fd, watcher, entries: new Map(), dropped: false }
      watcher.on("change", (type, name) => this.#onEvent(folder, type, String(name)))
      watcher.on("error", (error) => this.#fail(explain(error, this.path)))
      this.#folders.set(path, folder)
      for (const name of namesIn(within(fd, ".")).sort()) {
        const entry = isOwn(name) ? undefined : entryAt(fd, name)
        if (entry !== undefined) {
          folder.entries.set(name, entry)
        }
      }
      if (isTop) {
        this.#identity = identityOf(fd)
        Fs.closeSync(fd)
      }
      return folder
    } catch (error) {
      if (!this.#folders.has(path)) {
        Fs.closeSync(fd)
      }
      throw ["ENOSPC", "EMFILE", "ENOMEM"].includes(codeOf(error) ?? "")
        ? new FileFailure("quota_exceeded", `${this.path} has more directories than can be watched here.`)
        : error
    }
  }

  /** Watches what is below; `announce` tells of the entries that are there already. */
  *#descend(top: Folder, announce: boolean): Steps {
    const folders = [top]
    for (let folder = folders.pop(); folder !== undefined && !this.#closed; folder = folders.pop()) {
      for (const [name, { isDirectory }] of folder.entries) {
        const path = join(folder.path, name)
        if (announce) {
          this.#tell("created", path, isDirectory)
        }
        if (isDirectory) {
          const below = this.#addIfThere(path)
          if (below !== undefined) {
            folders.push(below)
          }
        }
      }
      yield
    }
  }

  #addIfThere(path: Raw): Folder | undefined {
    try {
      return this.#closed ? undefined : this.#add(path)
    } catch (error) {
      if (error instanceof FileFailure) {
        throw error
      }
      // It went away meanwhile, or may not be read.
      return undefined
    }
  }

  /** Watches a folder no more, and what is below it. */
  #drop(path: Raw): void {
    for (const folder of [...this.#folders.values()]) {
      if (folder.path === path || folder.path.startsWith(`${path}/`)) {
        this.#folders.delete(folder.path)
        folder.dropped = true
        close(folder)
      }
    }
  }

  /** The watches of a directory go with it. */
  #rename(before: Raw, path: Raw): void {
    const moved = [...this.#folders.values()].filter((folder) =>
      folder.path === before || folder.path.startsWith(`${before}/`)
    )
    for (const folder of moved) {
      this.#folders.delete(folder.path)
    }
    for (const folder of moved) {
      folder.path = path + folder.path.slice(before.length)
      this.#folders.set(folder.path, folder)
    }
  }

  // ---- events -------------------------------------------------------------------------------------------------------

  #onEvent(folder: Folder, type: string, name: Raw): void {
    if (this.#closed || isOwn(name)) {
      return
    }
    if (count() >= this.#most || this.#mentioned.length >= this.#most) {
      this.#fail(new FileFailure("quota_exceeded", `So much changed in ${this.path} that events were lost.`))
      return
    }
    const names = this.#mentions.get(folder) ?? new Map<Raw, Mention>()
    this.#mentions.set(folder, names)
    const known = names.get(name)
    if (known === undefined) {
      const mention = { folder, name, changed: type === "change" }
      names.set(name, mention)
      this.#mentioned.push(mention)
    } else if (type === "change") {
      known.changed = true
    }
    this.#schedule()
  }

  /** What belongs together, such as the two names of a move, comes at once: it is looked at together. */
  #schedule(): void {
    if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.pump()
      })
    }
  }

  #fail(failure: FileFailure): void {
    this.#failure ??= failure
    this.#mentioned = []
    this.#mentions.clear()
    this.#schedule()
  }

  allow(bytes: number): void {
    this.#credit += bytes
    this.pump()
  }

  /** Goes on, as far as credit and the queue to the engine allow. */
  pump(): void {
    if (this.#closed || !this.#started) {
      return
    }
    this.#send()
    while (this.#pending.length === 0 && this.#mentioned.length > 0 && this.#failure === undefined) {
      try {
        this.#look()
      } catch (error) {
        this.#fail(explain(error, this.path))
      }
      this.#send()
    }
    if (this.#pending.length === 0 && this.#failure !== undefined) {
      this.files.fail(this.#id, this.#failure)
    }
  }

  #send(): void {
    while (this.#pending.length > 0 && this.#credit > 0 && !this.files.link.congested) {
      let count = 0
      let size = 1
      for (const event of this.#pending) {
        if (size + event.length + 1 > this.#credit) {
          break
        }
        size += event.length + 1
        count += 1
      }
      if (count === 0) {
        return
      }
      const blob = Buffer.from(`[${this.#pending.splice(0, count).join(",")}]`, "latin1")
      this.#credit -= blob.length
      this.files.link.send({ ev: "file.events", id: this.#id }, blob)
    }
  }

  /** Looks at all that was mentioned, and tells what is different. */
  #look(): void {
    const top = this.#openTop()
    const looks = this.#mentioned.filter(({ folder, name }) => !folder.dropped && name !== ".").map((mention): Look => {
      const before = mention.folder.entries.get(mention.name)
      const now = entryAt(mention.folder.fd ?? top, mention.name)
      return { ...mention, before, now, goes: before?.key !== now?.key }
    })
    Fs.closeSync(top)
    this.#mentioned = []
    this.#mentions.clear()
    const different = looks.filter(({ goes }) => goes)
    const left = new Map(different.flatMap((look) => look.before === undefined ? [] : [[look.before.key, look]]))
    const came = new Map(different.flatMap((look) => look.now === undefined ? [] : [[look.now.key, look]]))
    const told = new Set<string>()
    /** Whether what has this key went from one name to another; that is told once. */
    const moved = (key: string | undefined): boolean => {
      const source = left.get(key ?? "")
      const target = came.get(key ?? "")
      if (key === undefined || source?.before === undefined || target?.now === undefined) {
        return false
      }
      if (!told.has(key)) {
        told.add(key)
        this.#tellMove(source, source.before, target, target.now)
      }
      return true
    }
    for (const look of looks) {
      if (look.goes) {
        const went = moved(look.before?.key)
        const arrived = moved(look.now?.key)
        this.#tellChange(look, went ? undefined : look.before, arrived ? undefined : look.now)
      } else if (look.changed && look.before !== undefined && look.now !== undefined) {
        const modified = !look.now.isDirectory && isModified(look.before.status, look.now.status)
        look.folder.entries.set(look.name, look.now)
        this.#tell(modified ? "modified" : "attributes", join(look.folder.path, look.name), look.now.isDirectory)
      }
    }
  }

  /** The folder at the top, which has to be the one that it was. */
  #openTop(): number {
    const gone = new FileFailure("file_not_found", `${this.path} is gone.`)
    let fd
    try {
      fd = this.files.workspace.enter(this.#root)
    } catch {
      throw gone
    }
    if (identityOf(fd) !== this.#identity) {
      Fs.closeSync(fd)
      throw gone
    }
    return fd
  }

  /** What is told of a name when something else has it now, but for what moves tell. */
  #tellChange({ changed, folder, name }: Look, before: Entry | undefined, now: Entry | undefined): void {
    const path = join(folder.path, name)
    if (before !== undefined) {
      folder.entries.delete(name)
      if (before.isDirectory) {
        this.#drop(path)
      }
    }
    if (now === undefined) {
      return before === undefined ? undefined : this.#tell("deleted", path, before.isDirectory)
    }
    folder.entries.set(name, now)
    return before === undefined || before.isDirectory || now.isDirectory
      ? this.#tellNew(path, now, changed)
      : this.#tell("modified", path, false)
  }

  #tellMove(source: Look, before: Entry, target: Look, now: Entry): void {
    const from = join(source.folder.path, source.name)
    const to = join(target.folder.path, target.name)
    if (source.folder.entries.get(source.name) === before) {
      source.folder.entries.delete(source.name)
    }
    target.folder.entries.set(target.name, now)
    if (before.isDirectory) {
      this.#drop(to)
      this.#rename(from, to)
    }
    this.#tell("renamed", to, before.isDirectory, from)
  }

  #tellNew(path: Raw, { isDirectory, status }: Entry, changed: boolean): void {
    this.#tell("created", path, isDirectory)
    if (!isDirectory) {
      if (changed) {
        this.#tell(status.size > 0n ? "modified" : "attributes", path, false)
      }
      return
    }
    const folder = this.#recursive ? this.#addIfThere(path) : undefined
    if (folder !== undefined) {
      for (const _ of this.#descend(folder, true)) {
        // At once: what happens there meanwhile comes after this.
      }
    }
  }

  #tell(type: FileEvent["type"], path: Raw, isDirectory: boolean, before?: Raw): void {
    const { workspace } = this.files
    const event = {
      type,
      path: workspace.public(path),
      isDirectory,
      ...(before === undefined ? {} : { from: workspace.public(before) })
    }
    // As bytes, whose number is what counts.
    this.#pending.push(Buffer.from(JSON.stringify(event)).toString("latin1"))
  }

  close(): void {
    this.#closed = true
    for (const folder of this.#folders.values()) {
      close(folder)
    }
    this.#folders.clear()
  }
}
