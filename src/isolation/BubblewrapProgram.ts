/**
 * Finds bubblewrap, and refuses one that cannot do what is asked of it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "node:path"
import { Unavailable } from "./Diagnosis.js"
import * as Host from "./Host.js"
import * as Packages from "./Packages.js"
import * as Spawn from "./Spawn.js"

/**
 * A bubblewrap that can be used.
 */
export interface Program {
  readonly path: string
  readonly version: string
}

/** `--disable-userns` came with 0.8.0. */
const NEEDED = [0, 8] as const

const locate = Effect.fnUntraced(function*(path: string | undefined) {
  const folders = [
    ...(process.env["PATH"] ?? "").split(":").filter((folder) => Path.isAbsolute(folder)),
    "/usr/bin",
    "/usr/local/bin"
  ]
  const candidates = path === undefined ? folders.map((folder) => Path.join(folder, "bwrap")) : [path]
  return yield* Effect.findFirst(
    candidates,
    (candidate) => Effect.map(Host.stat(candidate), Option.exists((stats) => stats.isFile()))
  )
})

/**
 * Finds bubblewrap. Fails with `Unavailable`: it is not installed, is set-user-id (it then has no
 * `--disable-userns`), is older than 0.8.0, or does not start.
 */
export const find = Effect.fn("Bubblewrap.find")(function*(path: string | undefined) {
  const located = yield* locate(path)
  const install = yield* Packages.installCommand(["bubblewrap"])
  if (Option.isNone(located)) {
    return yield* new Unavailable({
      reason: `There is no bubblewrap ${path === undefined ? "on this host" : `at ${path}`}`,
      fix: install
    })
  }
  const program = located.value
  const setuid = Option.exists(yield* Host.stat(program), (stats) => (stats.mode & 0o4000) !== 0)
  if (setuid) {
    return yield* new Unavailable({
      reason: `${program} is set-user-id root: that kind cannot forbid user namespaces inside a sandbox`,
      fix: `${Host.userId() === 0 ? "" : "sudo "}chmod u-s ${program}`
    })
  }
  const ran = yield* Spawn.output({ command: program, args: ["--version"], env: {}, timeoutMs: 10_000 }).pipe(
    Effect.mapError((error) => new Unavailable({ reason: error.message, fix: install }))
  )
  const version = /^bubblewrap (\d+)\.(\d+)(?:\.\d+)?/.exec(ran.stdout)
  if (version === null) {
    return yield* new Unavailable({ reason: `${program} is not bubblewrap: it tells no version`, fix: install })
  }
  const [major, minor] = [Number(version[1]), Number(version[2])]
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    return yield* new Unavailable({
      reason: `${program} is ${version[0]}, and 0.8.0 or newer is needed`,
      fix: install
    })
  }
  return { path: program, version: version[0].slice("bubblewrap ".length) } satisfies Program
})
