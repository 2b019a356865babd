/**
 * No isolation: the agent is a plain child of this process. Only ever used when it is asked for by name.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as AgentProgram from "./AgentProgram.js"
import * as Cgroup from "./Cgroup.js"
import * as Consumption from "./Consumption.js"
import * as Freezing from "./Freezing.js"
import type { Guarantee } from "./Guarantee.js"
import * as Host from "./Host.js"
import { type AgentProcess, Isolation, type LaunchOptions, noImages, type Service } from "./Isolation.js"
import * as Owner from "./Owner.js"
import * as Packages from "./Packages.js"
import * as ProcessTree from "./ProcessTree.js"
import * as Remember from "./Remember.js"
import * as Runtimes from "./Runtimes.js"
import * as Spawn from "./Spawn.js"
import * as WorkspaceCopy from "./WorkspaceCopy.js"

const MIB = 1024 * 1024

const DIAGNOSTICS_BYTES = 8192

const GUARANTEES: ReadonlyArray<Guarantee> = [
  {
    id: "isolation",
    title: "Code stays in its sandbox",
    holds: false,
    mechanism: "nothing",
    detail: "isolation \"none\" was asked for: the code can do whatever this process can",
    fix: "use isolation \"auto\""
  }
]

const startFailed = (options: LaunchOptions, message: string): SandboxError =>
  new SandboxError({ code: "start_failed", sandboxId: options.sandboxId, message })

const makeWorkspace = Effect.fn("Isolation.makeWorkspace")((path: string) =>
  Host.untilDone({
    try: () => Fs.mkdir(path, { mode: 0o700 }),
    catch: (cause) =>
      new SandboxError({
        code: Host.isNoSpace(cause) ? "disk_full" : "start_failed",
        message: `The workspace ${path} could not be made: ${String(cause)}`
      })
  }).pipe(Effect.asVoid)
)

/** A folder for the agent's pipes, beside the workspace, so that it goes with it. */
const runFolder = (options: LaunchOptions) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => Fs.mkdtemp(Path.join(Path.dirname(options.workspace), "run-")),
      catch: (cause) => startFailed(options, `No folder beside ${options.workspace} could be made: ${String(cause)}`)
    }),
    (path) => Effect.ignore(Effect.tryPromise(() => Fs.rm(path, { recursive: true, force: true })))
  )

/**
 * Ends an agent and all that it has started: what left its group or its session is found by the control group, by its
 * parents (the agent adopts orphans) and by its mark.
 */
const end = Effect.fnUntraced(function*(child: Spawn.Child, group: Cgroup.Group, mark: string) {
  yield* group.unthrottle
  // It must not start anything while its children go, nor must it go before them: it is their last link.
  yield* child.kill("SIGSTOP")
  if (!(yield* child.hasExited)) yield* ProcessTree.killAll(ProcessTree.descendants(child.pid))
  yield* child.kill("SIGKILL")
  yield* group.killAll
  yield* ProcessTree.killAll(ProcessTree.marked((found) => Effect.succeed(found === mark)))
})

const make = Effect.gen(function*() {
  yield* Effect.logWarning(
    "Isolation is \"none\": code in sandboxes can read and change all that this process can. Run only code that you trust"
  )
  const scope = yield* Effect.scope
  const found = yield* Remember.success(Runtimes.discover({ wholeHost: true }))
  const cgroups = yield* Effect.cached(Scope.extend(Cgroup.make, scope))

  const launch = Effect.fn("None.launch")(function*(
    options: LaunchOptions
  ): Effect.fn.Return<AgentProcess, SandboxError, Scope.Scope> {
    const agent = AgentProgram.find(yield* found, {
      folder: options.agentDirectory,
      pythonVersion: options.pythonVersion,
      first: false
    })
    if (agent === undefined) {
      const install = yield* Packages.installCommand(["python3"])
      return yield* startFailed(options, `There is no Python 3, and the agent needs one. Install it: ${install}`)
    }
    yield* options.opening ?? Effect.void
    const { make, support } = yield* cgroups
    const run = yield* runFolder(options)
    const group = yield* make(options.sandboxId, {
      memoryBytes: options.resources.memoryMb * MIB,
      processes: options.resources.processes + agent.tasks,
      cpus: options.resources.cpus
    }).pipe(Effect.mapError((error) => startFailed(options, `The sandbox could not be limited: ${error.message}`)))
    const mark = `${yield* Owner.nameHere}-${randomBytes(8).toString("hex")}`
    const child = yield* Spawn.spawn({
      command: agent.command,
      args: agent.args,
      cwd: options.workspace,
      env: {
        PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
        HOME: options.workspace,
        LANG: "C.UTF-8",
        SANDBOX_WORKSPACE: options.workspace,
        SANDBOX_HOME: options.agentDirectory,
        SANDBOX_RUN: run,
        [ProcessTree.MARK]: mark
      },
      stdio: ["null", "null", "pipe", "pipe"]
    }).pipe(Effect.mapError((error) => startFailed(options, error.message)))
    yield* Effect.addFinalizer(() => end(child, group, mark))
    yield* group.attach(child.pid).pipe(
      Effect.mapError((error) => startFailed(options, `The sandbox could not be limited: ${error.message}`))
    )
    return {
      stream: yield* Effect.orDie(child.pipe(3)),
      exited: child.exited,
      outOfMemoryKills: group.outOfMemoryKills,
      freezing: Freezing.belowAgent(child.pid),
      consumption: Consumption.make(child.pid, group.counting),
      memoryLimited: Option.isSome(support.memory),
      diagnostics: Spawn.keepTail(yield* Effect.orDie(child.pipe(2)), DIAGNOSTICS_BYTES)
    }
  })

  const service: Service = {
    name: "none",
    ownNetwork: false,
    layerPath: (source) => source,
    variables: Effect.succeed({}),
    forImage: noImages,
    runtimes: found,
    check: Effect.succeed(GUARANTEES),
    inspect: Effect.succeed(GUARANTEES),
    makeWorkspace,
    copyWorkspace: (from, to) => WorkspaceCopy.copyWith(makeWorkspace(to), from, to),
    openWorkspace: () => Effect.succeed(false),
    launch,
    reap: Effect.zipRight(
      ProcessTree.killAll(ProcessTree.marked(Owner.isDead)),
      Effect.flatMap(cgroups, ({ reap }) => reap)
    )
  }
  return service
})

/**
 * Isolation by nothing; it warns once, when it is built. Sandboxes are folders and processes of this user: the paths
 * that code sees are those of the host, and `/workspace` exists in the file operations alone. Limits hold where control
 * groups can be made, and all that a sandbox has started ends with it.
 *
 * @category layers
 */
export const layer: Layer.Layer<Isolation> = Layer.scoped(Isolation, make)
