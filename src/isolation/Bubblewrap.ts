/**
 * Isolation by bubblewrap: namespaces, a root that holds only what is needed, no capabilities, a filter of system calls
 * and control groups.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Os from "node:os"
import * as AgentProgram from "./AgentProgram.js"
import * as BubblewrapProgram from "./BubblewrapProgram.js"
import * as Cgroup from "./Cgroup.js"
import * as Check from "./Check.js"
import * as CommandLine from "./CommandLine.js"
import * as Disk from "./Disk.js"
import * as Host from "./Host.js"
import { Isolation, type LaunchOptions, noImages, type Service } from "./Isolation.js"
import * as Launch from "./Launch.js"
import * as Remember from "./Remember.js"
import * as Runtimes from "./Runtimes.js"
import * as Users from "./Users.js"
import * as Workspace from "./Workspace.js"
import * as WorkspaceCopy from "./WorkspaceCopy.js"

/**
 * How to find and try bubblewrap.
 */
export interface BubblewrapOptions {
  /** The program; the `bwrap` of the search path by default. */
  readonly path?: string | undefined
  /** Where the check makes its short-lived folder; the system's folder for temporary files by default. */
  readonly temporaryDirectory?: string | undefined
  /**
   * What the agent has to be written in: for tests. With Node, code in Python cannot be had, whatever the host has.
   *
   * @internal
   */
  readonly agent?: AgentProgram.AgentKind | undefined
}

const WALL: Check.Wall = {
  name: "bubblewrap",
  user: () => Effect.succeed([1000, 1000]),
  hidden: ["/etc/shadow", "/root", "/home", "/var", "/sys", "/run/docker.sock", "/proc/kcore", "/dev/mem"],
  variables: ["PATH", "HOME", "LANG", "PWD"],
  sizes: { "/": 1024 * 1024 },
  groupsByName: true,
  local: true,
  mechanisms: {}
}

const make = Effect.fnUntraced(function*(options: BubblewrapOptions) {
  const scope = yield* Effect.scope
  const program = yield* Remember.success(BubblewrapProgram.find(options.path))
  const systemMounts = yield* Effect.cached(CommandLine.systemMounts)
  const found = yield* Remember.success(
    Effect.gen(function*() {
      const user = yield* Users.next
      return yield* Runtimes.discover({ user: Host.userId() === 0 ? user : undefined, wholeHost: false })
    })
  )
  const cgroups = yield* Effect.cached(Scope.extend(Cgroup.make, scope))

  const temporaryDirectory = options.temporaryDirectory ?? Os.tmpdir()
  const contents = yield* Remember.success(Scope.extend(Launch.contents(temporaryDirectory), scope))
  const disks = yield* Effect.cached(Disk.support(temporaryDirectory))

  const expect = Effect.flatMap(cgroups, ({ expect }) => expect)
  const makeWorkspace = Workspace.make(disks)

  const launchWith = (agent: AgentProgram.AgentKind | undefined) =>
    Effect.fnUntraced(function*(launching: LaunchOptions) {
      return yield* Launch.launch(launching, {
        program: yield* program,
        systemMounts: yield* systemMounts,
        runtimes: yield* found,
        cgroups: yield* cgroups,
        contents: yield* contents,
        agent
      })
    })
  const launch = launchWith(options.agent)

  const inspect = Check.inspect({
    wall: WALL,
    // The check is a program in Python.
    launch: launchWith("python"),
    support: Effect.map(cgroups, ({ support }) => support),
    disks,
    makeWorkspace,
    temporaryDirectory
  })

  const service: Service = {
    name: "bubblewrap",
    ownNetwork: true,
    layerPath: () => CommandLine.LAYER_PATH,
    variables: Effect.succeed({}),
    forImage: noImages,
    // Without a user to try them as, nothing can be said of them: the check tells why.
    runtimes: Effect.orElseSucceed(found, () => ({ python: [], node: [], bash: [] })).pipe(
      Effect.map((runtimes) => AgentProgram.runtimesWith(runtimes, options.agent))
    ),
    check: Effect.gen(function*() {
      const { path, version } = yield* Effect.mapError(program, (error) => error.toSandboxError())
      return yield* Check.check(inspect, [Os.release(), path, version, Host.userId()].join(" "))
    }),
    inspect,
    // What gets a workspace is started next.
    makeWorkspace: (path, diskMb, kept) => Effect.zipRight(expect, makeWorkspace(path, diskMb, kept)),
    copyWorkspace: WorkspaceCopy.copy,
    openWorkspace: Disk.open,
    launch: Effect.fn("Bubblewrap.launch")((launching: LaunchOptions) =>
      Effect.catchTag(launch(launching), "Unavailable", (error) => error.toSandboxError(launching.sandboxId))
    ),
    reap: Effect.flatMap(cgroups, ({ reap }) => reap)
  }
  return service
})

/**
 * Isolation by bubblewrap. Nothing is tried before it is used.
 *
 * @category layers
 */
export const layer = (options: BubblewrapOptions = {}): Layer.Layer<Isolation> => Layer.scoped(Isolation, make(options))
