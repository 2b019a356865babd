/**
 * Finds bubblewrap, and refuses one that cannot do what is asked of it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
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

const unavailable = (message: string): SandboxError => new SandboxError({ code: "isolation_unavailable", message })

const locate = Effect.fnUntraced(function*(path: string | undefined) {
  const folders = [...(process.env["PATH"] ?? "").split(":").filter(Path.isAbsolute), "/usr/bin", "/usr/local/bin"]
  const candidates = path === undefined ? folders.map((folder) => Path.join(folder, "bwrap")) : [path]
  return yield* Effect.findFirst(candidates, (candidate) => Effect.map(Host.stat(candidate), Option.exists((s) => s.isFile())))
})

/**
 * Finds bubblewrap. Fails with `isolation_unavailable`: it is not installed, is set-user-id (it then has no
 * `--disable-userns`), is older than 0.8.0, or does not start.
 */
export const find = Effect.fn("Bubblewrap.find")(function*(path: string | undefined) {
  const located = yield* locate(path)
  const install = yield* Packages.installCommand(["bubblewrap"])
  if (Option.isNone(located)) {
    return yield* unavailable(
      `There is no bubblewrap on this host${path === undefined ? "" : ` at ${path}`}, and without it nothing would keep ` +
        `code in its sandbox. Install it: ${install}`
    )
  }
  const program = located.value
  const setuid = Option.exists(yield* Host.stat(program), (stats) => (stats.mode & 0o4000) !== 0)
  if (setuid) {
    return yield* unavailable(
      `${program} is set-user-id root: that kind cannot forbid user namespaces inside a sandbox. ` +
        `Take the bit away: sudo chmod u-s ${program}`
    )
  }
  const ran = yield* Spawn.output({ command: program, args: ["--version"], env: {}, timeoutMs: 10_000 }).pipe(
    Effect.mapError((error) => unavailable(`${error.message}. Install bubblewrap anew: ${install}`))
  )
  const version = /(\d+)\.(\d+)(?:\.\d+)?/.exec(ran.stdout)
  if (version === null) return yield* unavailable(`${program} is not bubblewrap: it does not tell its version`)
  const [major, minor] = [Number(version[1]), Number(version[2])]
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    return yield* unavailable(
      `${program} is bubblewrap ${version[0]}, and 0.8.0 or newer is needed. Upgrade it: ${install}`
    )
  }
  return { path: program, version: version[0] } satisfies Program
})
