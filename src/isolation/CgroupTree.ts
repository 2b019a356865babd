/**
 * Where control groups are mounted here, and where among them this process stands.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Host from "./Host.js"
import * as Mounts from "./Mounts.js"

/** The controllers that limit a sandbox. */
const WANTED = ["memory", "pids", "cpu"]

/** Without these a tree of version 2 is no use. */
const NEEDED = ["memory", "pids"]

/**
 * A folder in which groups may be made, and what they can limit.
 */
export interface Tree {
  readonly version: 1 | 2
  readonly parent: string
  readonly controllers: ReadonlyArray<string>
  /** Those that the folder has, and has to hand down first (version 2). */
  readonly toEnable?: ReadonlyArray<string>
  /** Whether swap can be limited; a kernel without swap has no file for that. */
  readonly countsSwap: boolean
}

/** The folder of a group in a mount: a mount may show only a part of the tree. */
const place = (mount: Mounts.Mount, group: string): Option.Option<string> => {
  if (mount.root === "/" || group === mount.root || group.startsWith(`${mount.root}/`)) {
    return Option.some(Path.resolve(mount.path, `.${mount.root === "/" ? group : group.slice(mount.root.length)}`))
  }
  return Option.none()
}

const words = (path: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Host.readText(path),
    Option.match({ onNone: () => [], onSome: (text) => text.split(/\s+/).filter((word) => word !== "") })
  )

const mayWrite = (path: string): Effect.Effect<boolean> =>
  Effect.isSuccess(Effect.tryPromise(() => Fs.access(path, Fs.constants.W_OK)))

/**
 * The folder of this process and those above it, in which groups may be made: first those that hand all controllers down,
 * then those that have all of them and might be told to, then those that hand down what is needed; each time the nearest
 * first. A process can be moved only by who may write to a group above both places, and a group with processes in it cannot
 * hand controllers down (the kernel's cgroup-v2.rst, "No Internal Process Constraint"): hence often the one above.
 */
const version2 = Effect.fnUntraced(function*(mount: Mounts.Mount, own: string, without: ReadonlyArray<string>) {
  const wanted = WANTED.filter((name) => !without.includes(name))
  const all: Array<Tree> = []
  const possible: Array<Tree> = []
  const enough: Array<Tree> = []
  for (let folder = own;; folder = Path.dirname(folder)) {
    const control = yield* words(Path.join(folder, "cgroup.subtree_control"))
    const available = yield* words(Path.join(folder, "cgroup.controllers"))
    const handed = wanted.filter((name) => control.includes(name))
    const toEnable = wanted.filter((name) => !handed.includes(name) && available.includes(name))
    const tree: Tree = { version: 2, parent: folder, controllers: handed, countsSwap: false }
    const isEnough = (controllers: ReadonlyArray<string>) =>
      wanted.length > 0 && NEEDED.every((name) => !wanted.includes(name) || controllers.includes(name))
    if (yield* mayWrite(Path.join(folder, "cgroup.procs"))) {
      if (handed.length === wanted.length && isEnough(handed)) all.push(tree)
      else {
        const both = wanted.filter((name) => handed.includes(name) || toEnable.includes(name))
        if (toEnable.length > 0 && isEnough(both)) possible.push({ ...tree, controllers: both, toEnable })
        if (isEnough(handed)) enough.push(tree)
      }
    }
    if (folder === mount.path || !folder.startsWith(mount.path)) return [...all, ...possible, ...enough]
  }
})

const groupsOf = (cgroup: string) =>
  cgroup.split("\n").flatMap((line) => {
    const [, id, controllers, group] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    return id === undefined || controllers === undefined || group === undefined
      ? []
      : [{ unified: id === "0", controllers: controllers.split(","), group }]
  })

/**
 * The folders of version 2 in which a group might be made that limits nothing, the nearest first: each can be frozen, also
 * where version 1 has all controllers.
 */
const plainOf = (mountinfo: string, cgroup: string): ReadonlyArray<Tree> => {
  const mount = Mounts.parse(mountinfo).find(({ type }) => type === "cgroup2")
  const own = groupsOf(cgroup).find(({ unified }) => unified)
  const folder = mount === undefined || own === undefined ? Option.none() : place(mount, own.group)
  if (mount === undefined || Option.isNone(folder)) return []
  const found: Array<Tree> = []
  for (let parent = folder.value;; parent = Path.dirname(parent)) {
    found.push({ version: 2, parent, controllers: [], countsSwap: false })
    if (parent === mount.path || !parent.startsWith(mount.path)) return found
  }
}

/**
 * The trees that a process could use, each with its possible places in the order of preference, given what its
 * `/proc/<pid>/mountinfo` and `/proc/<pid>/cgroup` say.
 */
export const treesOf = Effect.fnUntraced(function*(mountinfo: string, cgroup: string) {
  const mounted = Mounts.parse(mountinfo)
  const groups = groupsOf(cgroup)
  const trees: Array<ReadonlyArray<Tree>> = []
  const taken: Array<string> = []
  for (const { controllers, group, unified } of groups) {
    const wanted = WANTED.filter((name) => controllers.includes(name))
    if (unified || wanted.length === 0) continue
    const mount = mounted.find(({ options, type }) =>
      type === "cgroup" && wanted.every((name) => options.includes(name))
    )
    const parent = mount === undefined ? Option.none() : place(mount, group)
    if (Option.isNone(parent)) continue
    const countsSwap = yield* Host.exists(Path.join(parent.value, "memory.memsw.limit_in_bytes"))
    trees.push([{ version: 1, parent: parent.value, controllers: wanted, countsSwap }])
    taken.push(...wanted)
  }
  const unified = groups.find(({ unified }) => unified)
  const mount = mounted.find(({ type }) => type === "cgroup2")
  if (unified !== undefined && mount !== undefined) {
    const own = place(mount, unified.group)
    if (Option.isSome(own)) trees.push(yield* version2(mount, own.value, taken))
  }
  return trees
})

const read = (name: string) => Effect.map(Host.readText(`/proc/self/${name}`), Option.getOrElse(() => ""))

/**
 * The folders of the groups that this process is in, one for each tree that it may be limited by.
 */
const ownOf = (mountinfo: string, cgroup: string): ReadonlyArray<string> => {
  const mounted = Mounts.parse(mountinfo)
  return groupsOf(cgroup).flatMap(({ controllers, group, unified }) => {
    const wanted = controllers.filter((name) => WANTED.includes(name))
    if (!unified && wanted.length === 0) return []
    const mount = mounted.find(({ options, type }) =>
      unified ? type === "cgroup2" : type === "cgroup" && wanted.every((name) => options.includes(name))
    )
    return mount === undefined ? [] : Option.toArray(place(mount, group))
  })
}

/**
 * The trees that this process could use.
 */
export const findTrees: Effect.Effect<ReadonlyArray<ReadonlyArray<Tree>>> = Effect.gen(function*() {
  return yield* treesOf(yield* read("mountinfo"), yield* read("cgroup"))
})

/**
 * Where this process might make groups of version 2 that limit nothing, the nearest first.
 */
export const findPlain: Effect.Effect<ReadonlyArray<Tree>> = Effect.gen(function*() {
  return plainOf(yield* read("mountinfo"), yield* read("cgroup"))
})

/**
 * How to find the folders of the groups that this process is in, which others may change.
 */
export const ownGroups: Effect.Effect<Effect.Effect<ReadonlyArray<string>>> = Effect.map(
  read("mountinfo"),
  (mountinfo) => Effect.map(read("cgroup"), (cgroup) => ownOf(mountinfo, cgroup))
)
