/**
 * Starts one sandbox by bubblewrap, and ends it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import { SandboxError } from "../Errors.js"
import { addFinalizer } from "../internal/finalizing.js"
import { undisturbed } from "../internal/undisturbed.js"
import * as AgentProgram from "./AgentProgram.js"
import type { Program } from "./BubblewrapProgram.js"
import type { CgroupError, Cgroups, Group } from "./Cgroup.js"
import * as CommandLine from "./CommandLine.js"
import { DESCRIPTORS } from "./CommandLine.js"
import * as Consumption from "./Consumption.js"
import * as Diagnosis from "./Diagnosis.js"
import * as Freezing from "./Freezing.js"
import type { AgentProcess, LaunchOptions } from "./Isolation.js"
import * as Lending from "./Lending.js"
import * as Owner from "./Owner.js"
import * as Packages from "./Packages.js"
import type * as Runtimes from "./Runtimes.js"
import * as Seccomp from "./Seccomp.js"
import { statusOf } from "./Signals.js"
import * as Spawn from "./Spawn.js"
import * as Users from "./Users.js"

/**
 * What was found out once for all sandboxes.
 */
export interface Prepared {
  readonly program: Program
  readonly systemMounts: ReadonlyArray<string>
  readonly runtimes: Runtimes.Found
  readonly cgroups: Cgroups
  readonly contents: Contents
  /** What the agent has to be written in; by default Python where there is one, and Node otherwise. */
  readonly agent?: AgentProgram.AgentKind | undefined
}

/**
 * What each sandbox is given to read, the same for all.
 */
export interface Contents {
  readonly seccomp: Spawn.Content
  readonly files: ReadonlyArray<Spawn.Content>
}

/**
 * Makes it ready, until the scope closes.
 */
export const contents = Effect.fnUntraced(
  function*(directory: string): Effect.fn.Return<Contents, Diagnosis.Unavailable, Scope.Scope> {
    if (Option.isNone(Seccomp.filterHere)) {
      return yield* new Diagnosis.Unavailable({
        reason: `There is no filter of system calls for ${process.arch}`,
        fix: "use a machine of x64 or arm64"
      })
    }
    const hold = (data: string | Uint8Array) =>
      Effect.mapError(
        Spawn.content(directory, data),
        ({ message }) => new Diagnosis.Unavailable({ reason: message, fix: `see that ${directory} can be written to` })
      )
    return {
      seccomp: yield* hold(Seccomp.filterHere.value),
      files: yield* Effect.forEach(Object.values(CommandLine.FILES), hold)
    }
  }
)

const MIB = 1024 * 1024

/** How much of what bubblewrap and the agent write to standard error is kept, in bytes. */
const DIAGNOSTICS_BYTES = 8192

/** How long bubblewrap may take until its first process is there, in milliseconds; it takes 5. */
const START_TIMEOUT = 10_000

/** How long the end of a sandbox may take, in milliseconds; it takes 15. */
const END_TIMEOUT = 5_000

/** The part of bubblewrap that stays outside, and waits for the end of the first process. */
const OUTER_TASKS = 1

const startFailed = (options: LaunchOptions, message: string): SandboxError =>
  new SandboxError({ code: "start_failed", sandboxId: options.sandboxId, message })

/** Why bubblewrap itself did not start. */
const spawnFailed = ({ code, message }: Spawn.SpawnError): Diagnosis.Unavailable =>
  new Diagnosis.Unavailable({
    reason: message,
    fix: code === "worker_thread"
      ? "start the engine in the main thread"
      : code === "EPERM" || code === "EINVAL"
      ? "run the engine as an ordinary user, or as a root that may change to other users (CAP_SETUID, CAP_SETGID)"
      : "see that processes and descriptors are left for this user (ulimit -u -n)"
  })

const Info = Schema.parseJson(Schema.Struct({ "child-pid": Schema.Int }))

/**
 * The number of the sandbox's first process, which bubblewrap tells as soon as it is there (bwrap(1), `--info-fd`). Listens
 * from now on: Node throws away what nobody has listened for by the end of a child.
 */
const readInfo = (stream: Duplex): Effect.Effect<number, string> => {
  const told = Deferred.unsafeMake<string, string>(FiberId.none)
  let text = ""
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1")
    if (text.includes("}")) Deferred.unsafeDone(told, Effect.succeed(text))
  })
  stream.once("close", () => Deferred.unsafeDone(told, Effect.fail("it ended before it had begun")))
  return Deferred.await(told).pipe(
    Effect.flatMap((text) => Effect.mapError(Schema.decodeUnknown(Info)(text), (error) => error.message)),
    Effect.map((info) => info["child-pid"]),
    Effect.timeoutFail({ duration: START_TIMEOUT, onTimeout: () => `it was not there after ${START_TIMEOUT} ms` })
  )
}

/**
 * Ends a sandbox by its first process: when that dies, the kernel kills all others in its namespace and lets it go only
 * when they are gone (pid_namespaces(7)), and bubblewrap ends after it. So nothing is left when this returns.
 */
const end = Effect.fnUntraced(
  function*(options: LaunchOptions, child: Spawn.Child, group: Group, first: Owner.Process) {
    const kill = Effect.gen(function*() {
      if (yield* Owner.isRunning(first)) yield* Effect.ignore(Effect.try(() => process.kill(first.pid, "SIGKILL")))
    })
    yield* group.unthrottle
    yield* kill
    // Frozen with all the rest, bubblewrap would not hear of that.
    yield* group.freezer.pipe(Option.match({ onNone: () => Effect.void, onSome: ({ thaw }) => Effect.ignore(thaw) }))
    yield* child.exited.pipe(Effect.interruptible, Effect.timeoutOption(END_TIMEOUT), undisturbed)
    // Does nothing after the above, but when bubblewrap itself was killed, its sandbox may still be on its way.
    yield* group.killAll
    const gone = yield* Effect.filterOrFail(Owner.isRunning(first), (running) => !running, () => "running").pipe(
      Effect.tapError(() => kill),
      Effect.retry(Schedule.intersect(Schedule.exponential(2, 1.5), Schedule.recurs(16))),
      Effect.isSuccess
    )
    if (!gone) yield* Effect.logError(`Processes of sandbox ${options.sandboxId} are still there after SIGKILL`)
  }
)

/**
 * Starts an agent in a new sandbox, which ends with the scope.
 *
 * To move a process into a group takes the kernel up to twenty milliseconds, and to mount a disk no less. Both are done at
 * once, and the kernel is told early: bubblewrap is in its group, and waits for its arguments, before it has made anything;
 * so all that it starts is limited from its first moment.
 */
export const launch = Effect.fnUntraced(function*(
  options: LaunchOptions,
  { agent: kind, cgroups, contents, program, runtimes, systemMounts }: Prepared
): Effect.fn.Return<AgentProcess, SandboxError | Diagnosis.Unavailable, Scope.Scope> {
  const agent = AgentProgram.find(runtimes, {
    folder: CommandLine.AGENT_FOLDER,
    pythonVersion: options.pythonVersion,
    kind,
    first: true
  })
  if (agent === undefined) {
    return yield* new Diagnosis.Unavailable({
      reason: "There is no Python 3 in /usr/bin or /usr/local/bin that starts, and the agent needs one",
      fix: yield* Packages.installCommand(["python3"])
    })
  }
  const { memoryMb, processes, tmpMb } = options.resources
  const user = yield* Users.ofWorkspace(options.workspace)
  const limited = <A>(effect: Effect.Effect<A, CgroupError, Scope.Scope>) =>
    Effect.mapError(effect, ({ message }) => startFailed(options, `The sandbox could not be limited: ${message}`))

  const waiting = Effect.gen(function*() {
    const group = yield* limited(cgroups.make(options.sandboxId, {
      memoryBytes: memoryMb * MIB,
      processes: processes + agent.tasks + OUTER_TASKS,
      cpus: options.resources.cpus
    }))
    yield* cgroups.expect
    const child = yield* Spawn.spawn({
      command: program.path,
      args: ["--args", String(DESCRIPTORS.args), agent.command, ...agent.args],
      env: { PATH: "/usr/bin:/bin" },
      user: user.uid === process.geteuid?.() ? undefined : user,
      stdio: ["null", "null", "pipe", "pipe", "pipe", contents.seccomp, "pipe", ...contents.files]
    }).pipe(
      Effect.mapError(spawnFailed)
    )
    const pipe = (descriptor: number) => Effect.orDie(child.pipe(descriptor))
    const diagnostics = Spawn.keepTail(yield* pipe(DESCRIPTORS.diagnostics), DIAGNOSTICS_BYTES)
    const info = readInfo(yield* pipe(DESCRIPTORS.info))
    yield* limited(group.attach(child.pid)).pipe(
      // One that has ended has said why, which is told below.
      Effect.catchAll((error) =>
        Effect.flatMap(
          child.exited.pipe(Effect.timeoutOption(500)),
          Option.match({ onNone: () => error, onSome: () => Effect.void })
        )
      )
    )
    return { group, child, pipe, diagnostics, info }
  })
  const [{ child, diagnostics, group, info, pipe }] = yield* Effect.all([waiting, options.opening ?? Effect.void], {
    concurrency: "unbounded"
  })
  const args = yield* pipe(DESCRIPTORS.args)
  args.resume()
  args.end(
    CommandLine.make({ ...options, systemMounts, mounts: runtimes.mounts, memoryMb, tmpMb }).map((arg) => `${arg}\0`)
      .join("")
  )

  const pid = yield* info.pipe(
    Effect.catchAll((reason) =>
      // Its last words may come a moment after.
      Effect.zipRight(
        child.closed.pipe(Effect.timeoutOption(500)),
        Effect.flatMap(
          diagnostics,
          (text) => Diagnosis.fail(text, `The sandbox did not start: ${text.trim() || reason}`)
        )
      )
    )
  )
  const first = yield* Owner.identify(pid)
  yield* addFinalizer(() => end(options, child, group, first))
  return {
    stream: yield* pipe(DESCRIPTORS.agent),
    exited: Effect.map(child.exited, statusOf),
    outOfMemoryKills: group.outOfMemoryKills,
    freezing: Freezing.make(group, pid),
    lending: yield* Lending.make(first, options.workspace),
    consumption: Consumption.make(pid, group.counting),
    memoryLimited: Option.isSome(cgroups.support.memory),
    diagnostics
  }
})
