/**
 * Limits for all processes of a sandbox together, by control groups of version 1 and 2 (cgroups(7)), where this user
 * may make them.
 *
 * Under the group of this engine, or the nearest one above it that is allowed, stands one group per engine, named after
 * its owner, and in it one per sandbox. Everything here waits for the kernel off the event loop: to move a process can
 * take it 15 ms.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { acquireRelease, addFinalizer } from "../internal/finalizing.js"
import { findPlain, findTrees, ownGroups, type Tree } from "./CgroupTree.js"
import type { Counting } from "./Consumption.js"
import * as Host from "./Host.js"
import * as Owner from "./Owner.js"

/**
 * A group that could not be made, limited or joined.
 */
export class CgroupError extends Data.TaggedError("CgroupError")<{ readonly message: string }> {}

/**
 * What all processes of one group may use together.
 */
export interface Limits {
  readonly memoryBytes: number
  readonly processes: number
  /** In cores. */
  readonly cpus: number
}

/**
 * Freezes by the kernel's `cgroup.freeze` (cgroup-v2.rst): what is frozen cannot wake itself, and SIGKILL still ends it. The
 * freezer of version 1 is not used: what that has frozen does not even die with its engine.
 */
export interface Freezer {
  /** Succeeds when nothing of it runs any more; when it fails, all of it does. */
  readonly freeze: Effect.Effect<void, CgroupError>
  readonly thaw: Effect.Effect<void, CgroupError>
}

/**
 * The group of one sandbox; it is removed when its scope closes.
 */
export interface Group {
  /** Puts a process, and all that it will start, into the group. */
  readonly attach: (pid: number) => Effect.Effect<void, CgroupError>
  /** How many processes the kernel has killed in it so far because memory ran out. */
  readonly outOfMemoryKills: Effect.Effect<number>
  /** Takes the limit of processor time away: a throttled group is slow to die. */
  readonly unthrottle: Effect.Effect<void>
  /** Kills all that is in it, again and again until nothing is; at the longest for five seconds. */
  readonly killAll: Effect.Effect<void>
  /**
   * Stops what is in it where it is; none where no group of version 2 can be made or joined. What starts later is in it
   * from its first moment: nobody could catch by looking what is another process each time.
   */
  readonly freezer: Option.Option<Freezer>
  /** Where its use of memory and processor is counted. */
  readonly counting: Counting
  /** The numbers of the processes in it, as this process sees them. */
  readonly processes: Effect.Effect<ReadonlyArray<number>>
  /** The path that `/proc/<pid>/cgroup` ends with for what is in it. */
  readonly name: string
}

/**
 * What a host enforces for groups, and by what.
 */
export interface Support {
  readonly memory: Option.Option<string>
  readonly processes: Option.Option<string>
  readonly cpu: Option.Option<string>
}

/**
 * The control groups of this host as this user may use them.
 */
export interface Cgroups {
  readonly support: Support
  readonly make: (label: string, limits: Limits) => Effect.Effect<Group, CgroupError, Scope.Scope>
  /**
   * A process is about to be put into a group: has the kernel get ready for that, which otherwise takes most of the time.
   * Does not wait for it.
   */
  readonly expect: Effect.Effect<void>
  /** Kills what is left in the groups of engines that are gone, and removes those groups. */
  readonly reap: Effect.Effect<void>
}

/** Length of the window in which processor time is counted, in microseconds; the kernel's default. */
const CPU_PERIOD = 100_000

/** The smallest share that the kernel takes, in microseconds. */
const CPU_MINIMUM = 1_000

const write = (path: string, text: string): Effect.Effect<void, CgroupError> =>
  Effect.tryPromise({
    try: () => Fs.writeFile(path, text),
    catch: (cause) => new CgroupError({ message: `cannot write ${text} to ${path}: ${String(cause)}` })
  })

const makeFolder = (path: string): Effect.Effect<void, CgroupError> =>
  Effect.tryPromise({
    try: () => Fs.mkdir(path, { recursive: true, mode: 0o755 }),
    catch: (cause) => new CgroupError({ message: `cannot make ${path}: ${String(cause)}` })
  })

/** A group is busy for a moment after its last process has ended. */
const removeGroup = (path: string): Effect.Effect<void> =>
  Effect.tryPromise(() => Fs.rmdir(path)).pipe(
    Effect.catchIf(
      ({ error }) => error instanceof Error && "code" in error && error.code === "ENOENT",
      () => Effect.void
    ),
    Effect.retry(Schedule.intersect(Schedule.exponential(2, 1.6), Schedule.recurs(14))),
    Effect.catchAll(({ error }) => Effect.logWarning(`The cgroup ${path} could not be removed: ${String(error)}`))
  )

const processesOf = (directory: string): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(
    Host.readText(Path.join(directory, "cgroup.procs")),
    Option.match({
      onNone: () => [],
      // 0 is a process that this process namespace does not see.
      onSome: (text) => text.split("\n").map(Number).filter((pid) => pid > 0)
    })
  )

const killIn = (directory: string, tree: Tree): Effect.Effect<void> =>
  Effect.gen(function*() {
    // cgroup.kill came with Linux 5.14.
    if (tree.version === 2) yield* Effect.ignore(write(Path.join(directory, "cgroup.kill"), "1"))
    for (const pid of yield* processesOf(directory)) {
      yield* Effect.ignore(Effect.try(() => process.kill(pid, "SIGKILL")))
    }
    if ((yield* processesOf(directory)).length > 0) return yield* Effect.fail("busy")
  }).pipe(
    Effect.retry(Schedule.intersect(Schedule.exponential(5, 1.5), Schedule.recurs(14))),
    Effect.ignore
  )

/**
 * What to write where, for the controllers of a tree. The kernel may refuse one that is marked optional.
 *
 * `memory.oom.group` stays 0: the kernel ends one process for want of memory, a program of the user's before the agent, and
 * not the sandbox as a whole.
 */
export const settings = (
  tree: Tree,
  limits: Limits
): ReadonlyArray<{ readonly file: string; readonly text: string; readonly optional: boolean }> => {
  const quota = Math.max(CPU_MINIMUM, Math.round(limits.cpus * CPU_PERIOD))
  const has = (controller: string) => tree.controllers.includes(controller)
  const memory = String(limits.memoryBytes)
  const set = (file: string, text: string, optional = false) => ({ file, text, optional })
  return tree.version === 1
    ? [
      ...has("memory")
        ? [set("memory.limit_in_bytes", memory), set("memory.memsw.limit_in_bytes", memory, !tree.countsSwap)]
        : [],
      ...has("pids") ? [set("pids.max", String(limits.processes))] : [],
      ...has("cpu") ? [set("cpu.cfs_period_us", String(CPU_PERIOD)), set("cpu.cfs_quota_us", String(quota))] : []
    ]
    : [
      ...has("memory") ? [set("memory.max", memory), set("memory.swap.max", "0", !tree.countsSwap)] : [],
      ...has("pids") ? [set("pids.max", String(limits.processes))] : [],
      ...has("cpu") ? [set("cpu.max", `${quota} ${CPU_PERIOD}`)] : []
    ]
}

/** Lets the groups below one have controllers (version 2). */
const handDown = (directory: string, controllers: ReadonlyArray<string>): Effect.Effect<void, CgroupError> =>
  write(Path.join(directory, "cgroup.subtree_control"), controllers.map((name) => `+${name}`).join(" "))

const delegate = (directory: string, tree: Tree): Effect.Effect<void, CgroupError> =>
  tree.version === 1 || tree.controllers.length === 0 ? Effect.void : handDown(directory, tree.controllers)

const openGroup = Effect.fnUntraced(
  function*(tree: Tree, engine: string, name: string, limits: Limits) {
    const parent = Path.join(tree.parent, engine)
    const directory = Path.join(parent, name)
    // Made anew each time: another layer in this process may just have closed and removed it.
    yield* makeFolder(parent)
    yield* delegate(parent, tree)
    yield* acquireRelease(makeFolder(directory), () => removeGroup(directory))
    for (const { file, optional, text } of settings(tree, limits)) {
      const setting = write(Path.join(directory, file), text)
      yield* optional ? Effect.ignore(setting) : setting
    }
    return directory
  }
)

const outOfMemoryKills = (directory: string, tree: Tree): Effect.Effect<Option.Option<number>> =>
  Effect.map(
    Host.readText(Path.join(directory, tree.version === 1 ? "memory.oom_control" : "memory.events")),
    Option.flatMap((text) => Option.map(Option.fromNullable(/^oom_kill (\d+)$/m.exec(text)?.[1]), Number))
  )

/** Until the kernel has done it; some four seconds at the longest. */
const soon = Schedule.intersect(Schedule.exponential(2, 1.5), Schedule.recurs(16))

/** Effects are made when they are needed, here and below: most sandboxes need none of them before their end. */
const makeFreezer = (directory: string): Freezer => {
  const set = (text: "0" | "1") => write(Path.join(directory, "cgroup.freeze"), text)
  const isFrozen = Effect.suspend(() =>
    Effect.map(
      Host.readText(Path.join(directory, "cgroup.events")),
      Option.exists((text) => /^frozen 1$/m.test(text))
    )
  )
  return {
    freeze: Effect.suspend(() =>
      Effect.zipRight(
        set("1"),
        Effect.retry(
          Effect.filterOrFail(
            isFrozen,
            (frozen) => frozen,
            () => new CgroupError({ message: "its processes did not stop" })
          ),
          soon
        )
      ).pipe(Effect.asVoid, Effect.onError(() => Effect.ignore(set("0"))))
    ),
    thaw: Effect.suspend(() => set("0"))
  }
}

/** A group that limits nothing, for freezing alone, where it can be made. */
const openPlain = (directory: Option.Option<string>): Effect.Effect<Option.Option<string>, never, Scope.Scope> =>
  Effect.map(
    Effect.transposeMapOption(
      directory,
      (path) => Effect.option(Effect.as(acquireRelease(makeFolder(path), () => removeGroup(path)), path))
    ),
    Option.flatten
  )

const makeGroup = Effect.fn("Cgroup.make")(
  function*(trees: ReadonlyArray<Tree>, plain: Option.Option<Tree>, engine: string, label: string, limits: Limits) {
    const name = `${label.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64)}-${randomBytes(4).toString("hex")}`
    const [opened, own] = yield* Effect.all([
      Effect.forEach(
        trees,
        (tree) => Effect.map(openGroup(tree, engine, name, limits), (directory) => ({ tree, directory })),
        { concurrency: "unbounded" }
      ),
      openPlain(Option.map(plain, ({ parent }) => Path.join(parent, engine, name)))
    ], { concurrency: "unbounded" })
    const memory = opened.find(({ tree }) => tree.controllers.includes("memory"))
    const cpu = opened.find(({ tree }) => tree.controllers.includes("cpu"))
    const kills = yield* Ref.make(0)
    const folderOf = (one: (typeof opened)[number] | undefined) =>
      Option.map(
        Option.fromNullable(one),
        ({ directory, tree }) => ({ version: tree.version, path: directory })
      )
    const directory = Option.orElse(
      Option.fromNullable(opened.find(({ tree }) => tree.version === 2)?.directory),
      () => own
    )
    let freezer = Option.map(directory, makeFreezer)
    const join = (directory: string, pid: number) => write(Path.join(directory, "cgroup.procs"), String(pid))
    const group: Group = {
      name: `/${engine}/${name}`,
      // One after the other: the kernel makes the first wait for all processors, and the rest then pass at once.
      attach: (pid) =>
        Effect.zipRight(
          Effect.forEach(opened, ({ directory }) => join(directory, pid), { discard: true }),
          // An ordinary user may not always move what it may group.
          Effect.catchAll(
            Effect.transposeMapOption(own, (directory) => join(directory, pid)),
            () => Effect.sync(() => void (freezer = Option.none()))
          )
        ).pipe(Effect.asVoid),
      outOfMemoryKills: memory === undefined
        ? Effect.succeed(0)
        : Effect.suspend(() =>
          Effect.flatMap(outOfMemoryKills(memory.directory, memory.tree), (found) =>
            // The last count is still the answer when the group is gone.
            Ref.updateAndGet(kills, (last) => Option.getOrElse(found, () => last)))
        ),
      unthrottle: cpu === undefined
        ? Effect.void
        : Effect.suspend(() =>
          Effect.ignore(
            cpu.tree.version === 1
              ? write(Path.join(cpu.directory, "cpu.cfs_quota_us"), "-1")
              : write(Path.join(cpu.directory, "cpu.max"), `max ${CPU_PERIOD}`)
          )
        ),
      get freezer() {
        return freezer
      },
      // Version 2 counts in every group (cgroup-v2.rst, `cpu.stat`).
      counting: { memory: folderOf(memory), cpu: folderOf(cpu ?? opened.find(({ tree }) => tree.version === 2)) },
      killAll: Effect.forEach(opened, ({ directory, tree }) => killIn(directory, tree), { discard: true }),
      processes: Effect.suspend(() =>
        Effect.map(
          Effect.forEach(opened, ({ directory }) => processesOf(directory)),
          (lists) => [...new Set(lists.flat())]
        )
      )
    }
    return group
  }
)

const reap = (trees: ReadonlyArray<Tree>): Effect.Effect<void> =>
  Effect.forEach(trees, (tree) =>
    Effect.gen(function*() {
      for (const engine of yield* Effect.filter(yield* Host.readFolder(tree.parent), Owner.isDead)) {
        const parent = Path.join(tree.parent, engine)
        for (const name of yield* Host.readFolder(parent)) {
          const directory = Path.join(parent, name)
          if (!(yield* Host.exists(Path.join(directory, "cgroup.procs")))) continue
          yield* killIn(directory, tree)
          yield* removeGroup(directory)
        }
        yield* removeGroup(parent)
      }
    }), { discard: true }).pipe(Effect.withSpan("Cgroup.reap"))

/**
 * Before the kernel moves a process it waits until each processor has been in a quiet state, ten milliseconds or so, and
 * then moves others at once for about as long (`percpu_down_write`, `rcu_sync_enter`). A process that is moved to where it
 * is has it wait as well, and nothing is changed.
 */
const makeReady = (own: Effect.Effect<ReadonlyArray<string>>): Effect.Effect<void> =>
  Effect.flatMap(own, (folders) =>
    Effect.asVoid(Effect.findFirst(
      folders,
      (folder) => Effect.isSuccess(write(Path.join(folder, "cgroup.procs"), String(process.pid)))
    )))

/** Whether groups can be made in a tree, found out by making one. */
const isUsable = (tree: Tree, engine: string): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const parent = Path.join(tree.parent, engine)
    if (tree.toEnable !== undefined) yield* handDown(tree.parent, tree.toEnable)
    yield* makeFolder(parent)
    yield* delegate(parent, tree)
  }).pipe(Effect.isSuccess)

/** Whether a group there can be frozen (Linux 5.2). */
const canFreeze = (tree: Tree, engine: string): Effect.Effect<boolean> =>
  Effect.zipWith(
    isUsable(tree, engine),
    Host.exists(Path.join(tree.parent, engine, "cgroup.freeze")),
    (usable, there) => usable && there,
    { concurrent: false }
  )

/**
 * Finds what this user may use here. The group of this engine is removed when the scope closes and no other layer in
 * this process uses it any more.
 */
export const make: Effect.Effect<Cgroups, never, Scope.Scope> = Effect.gen(
  function*(): Effect.fn.Return<Cgroups, never, Scope.Scope> {
    const engine = yield* Owner.nameHere
    const trees: Array<Tree> = []
    for (const candidates of yield* findTrees) {
      const usable = yield* Effect.findFirst(candidates, (tree) => isUsable(tree, engine))
      if (Option.isSome(usable)) trees.push(usable.value)
    }
    const plain = trees.some(({ version }) => version === 2)
      ? Option.none<Tree>()
      : yield* Effect.findFirst(yield* findPlain, (tree) => canFreeze(tree, engine))
    const all = [...trees, ...Option.toArray(plain)]
    yield* addFinalizer(() =>
      Effect.forEach(
        all,
        // Fails while it holds the groups of another layer, which then removes it.
        (tree) => Effect.ignore(Effect.tryPromise(() => Fs.rmdir(Path.join(tree.parent, engine)))),
        { discard: true }
      )
    )
    const by = (controller: string) =>
      Option.map(
        Option.fromNullable(trees.find((tree) => tree.controllers.includes(controller))),
        (tree) => `cgroup v${tree.version} ${controller}`
      )
    const scope = yield* Effect.scope
    const own = yield* ownGroups
    const alone = yield* Effect.makeSemaphore(1)
    return {
      support: { memory: by("memory"), processes: by("pids"), cpu: by("cpu") },
      expect: all.length === 0
        ? Effect.void
        : Effect.asVoid(Effect.forkIn(alone.withPermitsIfAvailable(1)(makeReady(own)), scope)),
      make: (label, limits) => makeGroup(trees, plain, engine, label, limits),
      reap: reap(all)
    }
  }
).pipe(Effect.withSpan("Cgroup.find"))
