/**
 * The interpreters that sandboxes find inside.
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"
import * as Path from "node:path"
import * as Host from "./Host.js"
import * as Spawn from "./Spawn.js"
import type { User } from "./Users.js"

/**
 * One interpreter: `path` as seen from inside the sandbox, `version` as it reports it (`3.11.2`).
 */
export const Runtime = Schema.Struct({
  path: Schema.String,
  version: Schema.String
})

/** @category models */
export type Runtime = typeof Runtime.Type

/**
 * All of them, newest first. The first Python runs the agent.
 */
export interface Runtimes {
  readonly python: ReadonlyArray<Runtime>
  readonly node: ReadonlyArray<Runtime>
  readonly bash: ReadonlyArray<Runtime>
}

/**
 * A file of the host that sandboxes see elsewhere.
 */
export interface Mount {
  readonly source: string
  readonly target: string
}

/**
 * What was found, and what has to be mounted for it.
 */
export interface Found extends Runtimes {
  readonly mounts: ReadonlyArray<Mount>
}

/**
 * How to look.
 */
export interface DiscoverOptions {
  /** Whom to try the interpreters as; this process' own user without it. */
  readonly user?: User | undefined
  /** Whether what is outside `/usr` counts as it is (nothing is mounted), or only after a mount. */
  readonly wholeHost: boolean
}

interface Candidate {
  readonly path: string
  readonly args: ReadonlyArray<string>
  readonly version: RegExp
}

const FOLDERS = ["/usr/local/bin", "/usr/bin"]

/** An interpreter that needs longer than this to tell its version is of no use. */
const TIMEOUT = 15_000

/** What is there of `/usr` in every sandbox; the others are links into it, or mounted like it. */
const SYSTEM = /^\/(usr|bin|lib|lib64)\//

/** The folders that commands are looked for in. */
const searchPath = (): ReadonlyArray<string> =>
  (process.env["PATH"] ?? "").split(":").filter((folder) => Path.isAbsolute(folder))

const candidates = Effect.fnUntraced(function*(wholeHost: boolean) {
  const folders = wholeHost ? Array.dedupe([...FOLDERS, ...searchPath()]) : FOLDERS
  const python: Array<string> = []
  for (const folder of folders) {
    for (const name of yield* Host.readFolder(folder)) {
      if (/^python3(\.\d+)?$/.test(name)) python.push(Path.join(folder, name))
    }
  }
  const node = [
    process.execPath,
    ...Array.dedupe([...FOLDERS, ...searchPath()]).map((folder) => Path.join(folder, "node"))
  ]
  const bash = [...folders, "/bin"].map((folder) => Path.join(folder, "bash"))
  const make = (args: ReadonlyArray<string>, version: RegExp) => (path: string): Candidate => ({ path, args, version })
  return {
    python: python.map(make(["-I", "-c", "import sys; print(*sys.version_info[:3], sep='.')"], /^(\d+\.\d+\.\d+)$/m)),
    node: node.map(make(["--version"], /^v(\d+\.\d+\.\d+)/)),
    bash: bash.map(make(["--norc", "--noprofile", "-c", "echo \"$BASH_VERSION\""], /^(\d+\.\d+\.\d+)/))
  }
})

/** Newest first. */
export const byVersion: Order.Order<Runtime> = Order.reverse(
  Order.mapInput(Order.array(Order.number), (runtime: Runtime) => runtime.version.split(".").map(Number))
)

/** What a candidate is as a sandbox sees it; none when a sandbox could not start it. */
const examine = Effect.fnUntraced(function*(candidate: Candidate, options: DiscoverOptions) {
  const real = yield* Host.realPath(candidate.path)
  if (Option.isNone(real)) return Option.none()
  const ran = yield* Effect.option(Spawn.output({
    command: real.value,
    args: candidate.args,
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8" },
    user: options.user,
    timeoutMs: TIMEOUT
  }))
  const version = Option.flatMap(ran, ({ stdout }) => Option.fromNullable(candidate.version.exec(stdout)?.[1]))
  if (Option.isNone(version)) return Option.none()
  const visible = options.wholeHost || SYSTEM.test(real.value)
  const target = visible ? real.value : `/opt/node/${version.value}/bin/node`
  return Option.some({
    runtime: { path: target, version: version.value },
    mounts: visible ? [] : [{ source: real.value, target }]
  })
})

/** Each binary once, by its real path. */
const distinct = (found: ReadonlyArray<Candidate>) =>
  Effect.map(
    Effect.forEach(found, (candidate) =>
      Effect.map(Host.realPath(candidate.path), Option.map((path) => ({ ...candidate, path })))),
    (all) =>
      Array.dedupeWith(Array.getSomes(all), (a, b) => a.path === b.path)
  )

/**
 * Finds the interpreters that start: `python3` and `python3.X` of `/usr/bin` and `/usr/local/bin` with `-I`, `bash`, and
 * `node`, also the one that runs this program, wherever it is, when the user of the sandbox can reach it.
 */
export const discover = Effect.fn("Runtimes.discover")(function*(options: DiscoverOptions) {
  const all = yield* candidates(options.wholeHost)
  const look = (kind: ReadonlyArray<Candidate>, mountable: boolean) =>
    Effect.gen(function*() {
      const usable = (yield* distinct(kind)).filter(({ path }) => mountable || options.wholeHost || SYSTEM.test(path))
      const found = yield* Effect.forEach(usable, (candidate) => examine(candidate, options), { concurrency: 4 })
      // Two installations of one version outside /usr would be mounted in the same place.
      return Array.dedupeWith(Array.getSomes(found), (a, b) => a.runtime.path === b.runtime.path)
    })
  const python = yield* look(all.python, false)
  const node = yield* look(all.node, true)
  const bash = yield* look(all.bash, false)
  const runtimes = (found: typeof python) => Array.sort(found.map(({ runtime }) => runtime), byVersion)
  return {
    python: runtimes(python),
    node: runtimes(node),
    bash: runtimes(bash),
    mounts: node.flatMap(({ mounts }) => mounts)
  } satisfies Found
})

/**
 * The newest of those whose version is the wanted one or begins with it (`3.11` means `3.11.2` too); without a wish, the
 * newest of all.
 */
export const choose = (runtimes: ReadonlyArray<Runtime>, version: string | undefined): Runtime | undefined =>
  version === undefined
    ? runtimes[0]
    : runtimes.find((runtime) => runtime.version === version || runtime.version.startsWith(`${version}.`))
