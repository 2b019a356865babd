/**
 * Paths of a workspace: where they lead, whether that is inside, and how names that are no UTF-8 are shown.
 *
 * On the wire a path starts with `/workspace`, unless a request may reach the whole sandbox. Inside, a path is a string in which each character is one byte (`Raw`),
 * for a name on Linux is bytes. A byte that is not part of valid UTF-8 is shown as U+FFFD; and a path with U+FFFD in it
 * leads to the one entry that is shown like it.
 *
 * Node has no calls that take a folder and a name: the name `/proc/self/fd/N/name` stands for them. The kernel goes to the
 * folder that is open as N, wherever it is called by now, and from there to the name (proc(5)).
 */
import * as Fs from "node:fs"
import { codeOf, Errno, messageOf } from "./errors.js"

/** Bytes, a character each (Latin-1). */
export type Raw = string

export const PUBLIC = "/workspace"

/** asm-generic/fcntl.h; Node knows it not. */
export const O_PATH = 0o10000000

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = Fs.constants

const ENTER = O_PATH | O_DIRECTORY | O_NOFOLLOW

/** As many links as the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40

export type Field = "path" | "to"

export type FileCode =
  | "file_not_found"
  | "file_exists"
  | "not_a_file"
  | "not_a_directory"
  | "directory_not_empty"
  | "permission_denied"
  | "path_outside_workspace"
  | "disk_full"
  | "quota_exceeded"
  | "file_error"

/**
 * Becomes a `failed` message.
 */
export class FileFailure extends Error {
  constructor(readonly code: FileCode, message: string, readonly field: Field = "path") {
    super(message)
  }
}

const FULL = "cannot be written: the disk of the sandbox is full (resources.diskMb); delete some files"

const CODES: ReadonlyMap<string, readonly [code: FileCode, reason: string]> = new Map([
  ["ENOENT", ["file_not_found", "does not exist"]],
  ["EEXIST", ["file_exists", "exists already"]],
  ["EISDIR", ["not_a_file", "is a directory"]],
  ["ENOTDIR", ["not_a_directory", "is not a directory, or a part of it is not"]],
  ["ENOTEMPTY", ["directory_not_empty", "is a directory that is not empty"]],
  ["EACCES", ["permission_denied", "cannot be accessed: permission denied"]],
  ["EPERM", ["permission_denied", "cannot be changed: operation not permitted"]],
  ["EROFS", ["permission_denied", "is on a file system that is read-only"]],
  ["ENOSPC", ["disk_full", FULL]],
  ["EDQUOT", ["disk_full", FULL]],
  ["EFBIG", ["quota_exceeded", "would be larger than a file of this sandbox may be (resources.fileSizeMb)"]],
  ["EMFILE", ["quota_exceeded", "cannot be opened: as many files are open as may be (resources.openFiles)"]],
  ["ELOOP", ["file_error", "has too many symbolic links in it"]],
  ["ENAMETOOLONG", ["file_error", "is too long, or a name in it is"]],
  ["EXDEV", ["file_error", "is on another file system"]],
  ["EINVAL", ["file_error", "cannot be used like this (moved into itself?)"]]
])

/** The failure for an error of the operating system about a path. */
export const explain = (error: unknown, shown: string, field: Field = "path"): FileFailure => {
  if (error instanceof FileFailure) {
    return error
  }
  const [code, reason] = CODES.get(codeOf(error) ?? "") ?? ["file_error", `failed: ${messageOf(error)}`]
  return new FileFailure(code, `${shown} ${reason}.`, field)
}

/** A name or path as text. */
export const show = (raw: Raw): string => bytesOf(raw).toString("utf8")

/** The bytes of a path, as Node's functions take them. */
export const bytesOf = (raw: Raw): Buffer => Buffer.from(raw, "latin1")

/** Text as bytes. */
export const rawOf = (text: string): Raw => Buffer.from(text, "utf8").toString("latin1")

export const join = (folder: Raw, name: Raw): Raw => folder.endsWith("/") ? folder + name : `${folder}/${name}`

/** The names in a folder. */
export const namesIn = (path: Raw): Array<Raw> => Fs.readdirSync(bytesOf(path), { encoding: "latin1" })

export const readLink = (path: Raw): Raw => Fs.readlinkSync(bytesOf(path), { encoding: "latin1" })

export const lstat = (path: Raw): Fs.BigIntStats => Fs.lstatSync(bytesOf(path), { bigint: true })

const exists = (path: Raw): boolean => Fs.lstatSync(bytesOf(path), { throwIfNoEntry: false }) !== undefined

/** What an open folder is called; with a name, what that name is in it. */
export const within = (folder: number, name: Raw): Raw => `/proc/self/fd/${folder}/${name}`

/** Whether something is in /proc. The agent sees more there than the code does: itself. */
export const inProc = ({ dev }: Fs.BigIntStats): boolean => {
  try {
    return dev === Fs.lstatSync("/proc", { bigint: true }).dev
  } catch {
    return false
  }
}

/**
 * A name in a folder that is open, and inside of the workspace unless more was asked for; `close` it.
 *
 * What is done by the two cannot be led elsewhere: code may turn any part of a path into a link once it has been looked
 * at, but a folder that is open stays the one that it is, and cannot be moved out of the file system of the workspace.
 */
export class Place {
  #open = true

  constructor(readonly path: Raw, readonly folder: number, readonly name: Raw) {}

  /** The name for Node's functions, none of which may follow a link at its end. */
  get at(): Buffer {
    return bytesOf(within(this.folder, this.name))
  }

  /** That of a link itself, not of what it points to. */
  status(): Fs.BigIntStats {
    return Fs.lstatSync(this.at, { bigint: true })
  }

  open(flags: number, mode = 0o777): number {
    return Fs.openSync(this.at, flags | O_NOFOLLOW, mode)
  }

  /** The folder once more, for whoever needs it for longer; to be closed by that one. */
  openFolder(): number {
    return Fs.openSync(within(this.folder, "."), O_PATH | O_DIRECTORY)
  }

  /** The names in it. */
  names(): Array<Raw> {
    const folder = this.open(O_RDONLY | O_DIRECTORY)
    try {
      return namesIn(within(folder, "."))
    } finally {
      Fs.closeSync(folder)
    }
  }

  close(): void {
    if (this.#open) {
      this.#open = false
      Fs.closeSync(this.folder)
    }
  }
}

export interface OpenOptions {
  readonly field?: Field
  /** Whether a symbolic link at the end is followed; it is that place itself otherwise. */
  readonly follow?: boolean
  /** Whether the folders above are made. */
  readonly make?: boolean
  /** Whether it may be anywhere in the sandbox but in /proc. */
  readonly whole?: boolean | undefined
}

/**
 * The folder that the file operations are confined to, where a request does not reach the whole sandbox.
 */
export class Workspace {
  readonly root: Raw

  constructor(root: string) {
    this.root = realPath(rawOf(root))
  }

  inside(path: Raw): boolean {
    return path === this.root || path.startsWith(`${this.root}/`)
  }

  /** A path as it is called on the wire. */
  public(path: Raw): string {
    return this.inside(path) ? PUBLIC + show(path.slice(this.root.length)) : show(path)
  }

  /**
   * Opens the folder with this path, which has no symbolic links in it; with `make`, makes what is missing of it.
   *
   * It goes one step at a time from the top and follows nothing, so that a part which has become a link since the path
   * was resolved fails (`ENOTDIR`) in place of leading out.
   */
  enter(path: Raw, make = false): number {
    const top = this.inside(path) ? this.root : "/"
    let here = Fs.openSync(bytesOf(top), O_PATH | O_DIRECTORY)
    try {
      for (const part of path.slice(top.length).split("/")) {
        if (part !== "") {
          const below = this.#step(here, part, make)
          Fs.closeSync(here)
          here = below
        }
      }
      return here
    } catch (error) {
      Fs.closeSync(here)
      throw error
    }
  }

  #step(here: number, part: Raw, make: boolean): number {
    const path = bytesOf(within(here, part))
    try {
      return Fs.openSync(path, ENTER)
    } catch (error) {
      if (!make || codeOf(error) !== "ENOENT") {
        throw error
      }
    }
    try {
      Fs.mkdirSync(path)
    } catch (error) {
      // Somebody else was faster; if that is no folder, the next line says so.
      if (codeOf(error) !== "EEXIST") {
        throw error
      }
    }
    return Fs.openSync(path, ENTER)
  }

  /**
   * The place that a path means, its folder open.
   *
   * Fails with `path_outside_workspace`, also by way of a symbolic link, and when the path is not absolute.
   */
  open(path: string, { field = "path", follow = true, make = false, whole = false }: OpenOptions = {}): Place {
    const place = this.locate(path, field, follow, whole)
    if (place === this.root || place === "/") {
      return new Place(place, this.enter(place), ".")
    }
    const cut = place.lastIndexOf("/")
    const opened = new Place(place, this.enter(place.slice(0, cut), make), place.slice(cut + 1))
    if (whole) {
      this.#keepOutOfProc(opened, path, field)
    }
    return opened
  }

  /** By what is open: nobody inside can mount, so what has been looked at stays where it is. */
  #keepOutOfProc(place: Place, path: string, field: Field): void {
    try {
      if (inProc(Fs.fstatSync(place.folder, { bigint: true })) || inProc(place.status())) {
        throw new FileFailure("permission_denied", `${path} is in /proc: use a command for that.`, field)
      }
    } catch (error) {
      if (codeOf(error) !== "ENOENT") {
        place.close()
        throw error
      }
    }
  }

  /** Does something with a place. */
  use<A>(path: string, options: OpenOptions, body: (place: Place) => A): A {
    const place = this.open(path, options)
    try {
      return body(place)
    } finally {
      place.close()
    }
  }

  /** The place that a path means, as things are at this moment. */
  locate(path: string, field: Field = "path", follow = true, whole = false): Raw {
    if (path.includes("\0")) {
      throw new FileFailure("file_error", "The path contains a NUL character.", field)
    }
    if (!path.startsWith("/")) {
      throw new FileFailure("path_outside_workspace", `${path} is not an absolute path.`, field)
    }
    const raw = path === PUBLIC || path.startsWith(`${PUBLIC}/`)
      ? this.root + rawOf(path.slice(PUBLIC.length))
      : rawOf(path)
    const place = resolve(findShown(raw), follow)
    if (!whole && !this.inside(place)) {
      throw new FileFailure("path_outside_workspace", `${path} leads outside of ${PUBLIC}.`, field)
    }
    return place
  }
}

/**
 * A path without links, `.` and `..`, as far as there is something; what follows on that stays as it is.
 */
const realPath = (raw: Raw): Raw => {
  const rest = raw.split("/").reverse()
  let done: Array<Raw> = []
  let links = 0
  for (let part = rest.pop(); part !== undefined; part = rest.pop()) {
    if (part === "" || part === ".") {
      continue
    }
    if (part === "..") {
      done.pop()
      continue
    }
    const target = linkAt(`/${[...done, part].join("/")}`)
    if (target === undefined) {
      done.push(part)
      continue
    }
    links += 1
    if (links > MOST_LINKS) {
      throw new Errno("ELOOP")
    }
    if (target.startsWith("/")) {
      done = []
    }
    rest.push(...target.split("/").reverse())
  }
  return `/${done.join("/")}`
}

/** Where a link points to; `undefined` when there is none. */
const linkAt = (path: Raw): Raw | undefined => {
  try {
    return readLink(path)
  } catch {
    return undefined
  }
}

const resolve = (raw: Raw, follow: boolean): Raw => {
  const trimmed = raw.replace(/\/+$/, "")
  const cut = trimmed.lastIndexOf("/")
  const name = trimmed.slice(cut + 1)
  return follow || name === "" || name === "." || name === ".."
    ? realPath(raw)
    : join(realPath(trimmed.slice(0, cut)), name)
}

const REPLACEMENT = rawOf("\uFFFD")

/** Replaces names with U+FFFD by the one entry that is shown like that, where there is no such name. */
const findShown = (raw: Raw): Raw => {
  if (!raw.includes(REPLACEMENT)) {
    return raw
  }
  return raw.split("/").reduce((found, part) => {
    if (!part.includes(REPLACEMENT) || exists(`${found}/${part}`)) {
      return `${found}/${part}`
    }
    const [alike, ...others] = namesShownAs(`${found}/`, show(part))
    return `${found}/${alike === undefined || others.length > 0 ? part : alike}`
  }, "")
}

const namesShownAs = (folder: Raw, wanted: string): ReadonlyArray<Raw> => {
  try {
    return namesIn(folder).filter((name) => show(name) === wanted)
  } catch {
    return []
  }
}
