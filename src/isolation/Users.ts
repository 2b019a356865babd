/**
 * Whom sandboxes run as on the host.
 *
 * An engine that runs as root gives each sandbox a user number of its own: the owner of its workspace. A sandbox of
 * root itself could write to `/proc/sys`, where the kernel asks for the number and not for capabilities. An engine of
 * an ordinary user can only use that user's number.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomInt } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as Host from "./Host.js"

/**
 * User and group of one sandbox.
 */
export interface User {
  readonly uid: number
  readonly gid: number
}

/**
 * The numbers that sandboxes may have, both ends included.
 */
export interface Range {
  readonly first: number
  readonly last: number
}

/** Above what distributions and container tools hand out, below the sign bit that some programs stumble over. */
const PREFERRED: Range = { first: 0x70000000, last: 0x7fffffff }

/** System users and people are below. */
const LOWEST = 20_000

const contains = (range: Range, id: number): boolean => id >= range.first && id <= range.last

/** The stretches of numbers that exist in a user namespace (user_namespaces(7)). */
const parseMap = (text: string): ReadonlyArray<Range> =>
  text.split("\n").flatMap((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number)
    return first === undefined || count === undefined || !(count > 0) ? [] : [{ first, last: first + count - 1 }]
  })

const overlap = (a: Range, b: Range): Range => ({
  first: Math.max(a.first, b.first),
  last: Math.min(a.last, b.last)
})

/**
 * The numbers to use, given the maps of users and groups: the preferred ones, or the upper half of what a container
 * with fewer has. None when there is no room for a thousand.
 */
export const chooseRange = (uidMap: string, gidMap: string): Option.Option<Range> => {
  const free = { first: LOWEST, last: 0xfffffffd }
  const both = parseMap(uidMap).flatMap((users) =>
    parseMap(gidMap).map((groups) => overlap(overlap(users, groups), free))
  )
  if (both.some((range) => contains(range, PREFERRED.first) && contains(range, PREFERRED.last))) {
    return Option.some(PREFERRED)
  }
  const size = (range: Range) => range.last - range.first + 1
  const largest = both.reduce((a, b) => size(b) > size(a) ? b : a, { first: 0, last: -1 })
  return size(largest) < 2_000
    ? Option.none()
    : Option.some({ first: largest.first + Math.floor(size(largest) / 2), last: largest.last })
}

const range = Effect.gen(function*() {
  const read = (name: string) => Effect.map(Host.readText(`/proc/self/${name}`), Option.getOrElse(() => ""))
  const found = chooseRange(yield* read("uid_map"), yield* read("gid_map"))
  if (Option.isSome(found)) return found.value
  return yield* new SandboxError({
    code: "isolation_unavailable",
    message:
      "The engine runs as root in a container that has too few user numbers to give each sandbox one of its own. " +
      "Run the engine as an ordinary user, or give the container at least 65536 user and group numbers"
  })
})

/** Numbers in use by workspaces that this process has made; the rest is chance, one in two hundred million. */
const taken = new Set<number>()

/**
 * A user number for a new sandbox.
 */
export const next: Effect.Effect<User, SandboxError> = Effect.gen(function*() {
  if (Host.userId() !== 0) return { uid: Host.userId(), gid: Host.groupId() }
  const { first, last } = yield* range
  const draw = (): number => {
    const id = randomInt(first, last + 1)
    return taken.has(id) ? draw() : id
  }
  const id = draw()
  if (taken.size > (last - first) / 2) taken.clear()
  taken.add(id)
  return { uid: id, gid: id }
})

/**
 * Whether the user of sandboxes can pass through all folders above a path. Gives the first that is closed.
 */
const closedFolder = Effect.fnUntraced(function*(path: string) {
  const parent = Path.dirname(path)
  const folders = parent.split("/").map((_, index, parts) => parts.slice(0, index + 1).join("/") || "/")
  return yield* Effect.findFirst(
    folders,
    (folder) => Effect.map(Host.stat(folder), Option.exists((stats) => (stats.mode & 0o001) === 0))
  )
})

/**
 * Makes the folder of a workspace, with mode 0700 and a user of its own, who is given. Fails with `start_failed`: it
 * cannot be made, or that user could not reach it.
 */
export const makeWorkspace = Effect.fn("Isolation.makeWorkspace")(function*(path: string) {
  const { gid, uid } = yield* next
  yield* Host.untilDone({
    try: async () => {
      await Fs.mkdir(path, { mode: 0o700 })
      await Fs.chmod(path, 0o700)
      if (Host.userId() === 0) await Fs.chown(path, uid, gid)
    },
    catch: (cause) =>
      new SandboxError({
        code: Host.isNoSpace(cause) ? "disk_full" : "start_failed",
        message: `The workspace ${path} could not be made: ${String(cause)}`
      })
  })
  const closed = Host.userId() === 0 ? yield* closedFolder(path) : Option.none()
  if (Option.isSome(closed)) {
    return yield* new SandboxError({
      code: "start_failed",
      message:
        `The workspace ${path} is out of reach for the user that its sandbox runs as: others may not pass through ` +
        `${closed.value}. Allow it (chmod o+x ${closed.value}), or use another folder for the engine's data`
    })
  }
  return { uid, gid } satisfies User
})

/**
 * The user that a sandbox with this workspace runs as. Fails with `start_failed` when the folder was not made by
 * {@link makeWorkspace}.
 */
export const ofWorkspace = Effect.fnUntraced(function*(path: string) {
  const stats = yield* Host.lstat(path)
  if (Option.isNone(stats) || !stats.value.isDirectory()) {
    return yield* new SandboxError({ code: "start_failed", message: `The workspace ${path} is not a folder` })
  }
  const { gid, uid } = stats.value
  const fits = Host.userId() === 0 ? contains(yield* range, uid) && uid === gid : uid === Host.userId()
  if (!fits) {
    return yield* new SandboxError({
      code: "start_failed",
      message: `The workspace ${path} belongs to user ${uid}, whom no sandbox may run as: make it by makeWorkspace`
    })
  }
  return { uid, gid: Host.userId() === 0 ? gid : Host.groupId() } satisfies User
})
