/**
 * The host's Python, made to run in any image, for images that have none that could run the agent. It brings its own loader
 * and libraries along, so that it does not matter whether the image has a C library, and which. Code of the user never
 * runs by it: there is then no Python in the sandbox.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "node:path"
import * as Diagnosis from "../Diagnosis.js"
import * as Host from "../Host.js"
import * as Packages from "../Packages.js"
import type { Mount } from "../Runtimes.js"
import * as Runtimes from "../Runtimes.js"
import * as Spawn from "../Spawn.js"

/**
 * What has to be mounted, and the words that a command line begins with, in place of `python3`.
 */
export interface HostRuntime {
  readonly mounts: ReadonlyArray<Mount>
  readonly command: ReadonlyArray<string>
}

const FOLDER = "/opt/sandbox-runtime"
const LOADER = `${FOLDER}/loader`
const LIBRARIES = `${FOLDER}/lib`

/** ld.so(8), by Node's name of the machine. */
const LOADERS: Readonly<Record<string, string>> = {
  x64: "/lib64/ld-linux-x86-64.so.2",
  arm64: "/lib/ld-linux-aarch64.so.1"
}

const TIMEOUT = 10_000

const WHERE = `import sysconfig, _ctypes; print(sysconfig.get_path("stdlib")); print(_ctypes.__file__)`

const run = (command: string, args: ReadonlyArray<string>) =>
  Spawn.output({ command, args, env: { PATH: "/usr/bin:/bin", LC_ALL: "C" }, timeoutMs: TIMEOUT }).pipe(
    Effect.filterOrFail(
      ({ exitCode }) => exitCode === 0,
      ({ stderr }) =>
        new Spawn.SpawnError({ code: "failed", message: `${command} ${args.join(" ")}: ${stderr.trim()}` })
    ),
    Effect.map(({ stdout }) => stdout.trim().split("\n"))
  )

/** The libraries that a binary is linked with: `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`. */
const librariesOf = (loader: string, binary: string) =>
  Effect.map(run(loader, ["--list", binary]), (lines) =>
    lines.flatMap((line) => {
      const [, name, path] = /^\s*(\S+) => (\/\S+)/.exec(line) ?? []
      return name === undefined || path === undefined ? [] : [{ name, path }]
    }))

const unavailable = (reason: string) =>
  Effect.flatMap(Packages.installCommand(["python3"]), (fix) => new Diagnosis.Unavailable({ reason, fix }))

/**
 * Finds it. Fails where the host has no Python for its own C library either.
 */
export const find: Effect.Effect<HostRuntime, Diagnosis.Unavailable> = Effect.gen(function*() {
  const { python: [python] } = yield* Runtimes.discover({ wholeHost: false })
  const loader = yield* Host.realPath(LOADERS[process.arch] ?? "")
  if (python === undefined || Option.isNone(loader)) {
    return yield* unavailable(
      "The image has no Python 3 that could run the agent, and there is none on this machine that could be lent to it"
    )
  }
  const [library = "", foreign = ""] = yield* run(python.path, ["-I", "-c", WHERE])
  const linked = yield* Effect.forEach([python.path, foreign], (binary) => librariesOf(loader.value, binary))
  const libraries = new Map(linked.flat().map(({ name, path }) => [name, path]))
  const executable = `${FOLDER}/bin/python3`
  return {
    mounts: [
      { source: loader.value, target: LOADER },
      { source: python.path, target: executable },
      { source: library, target: `${LIBRARIES}/${Path.basename(library)}` },
      ...[...libraries].map(([name, source]) => ({ source, target: `${LIBRARIES}/${name}` }))
    ],
    command: [LOADER, "--library-path", LIBRARIES, executable]
  }
}).pipe(
  Effect.catchTag(
    "SpawnError",
    ({ message }) => unavailable(`The Python of this machine cannot be lent to an image that has none (${message})`)
  ),
  Effect.withSpan("Docker.hostRuntime")
)
