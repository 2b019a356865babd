/**
 * Tries what an isolation promises, on this host, by a real sandbox that is started like every other. A program inside
 * attempts what must not work; what it saw decides, never what was asked for.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { createServer } from "node:net"
import type { ListenOptions, Server } from "node:net"
import * as Path from "node:path"
import type { Duplex } from "node:stream"
import { SandboxError } from "../Errors.js"
import type { Support } from "./Cgroup.js"
import * as Diagnosis from "./Diagnosis.js"
import * as Disk from "./Disk.js"
import type { Guarantee } from "./Guarantee.js"
import { type Facts, judge, type Mechanisms } from "./Guarantees.js"
import * as Host from "./Host.js"
import type { AgentProcess, LaunchOptions } from "./Isolation.js"
import * as Owner from "./Owner.js"
import probeSource from "./probe.py?asset"

/**
 * What the check needs of the isolation that it tries.
 */
export interface CheckOptions {
  readonly wall: Wall
  readonly launch: (
    options: LaunchOptions
  ) => Effect.Effect<AgentProcess, SandboxError | Diagnosis.Unavailable, Scope.Scope>
  readonly support: Effect.Effect<Support>
  readonly disks: Effect.Effect<Disk.Support>
  readonly makeWorkspace: (path: string, diskMb?: number) => Effect.Effect<void, SandboxError>
  readonly temporaryDirectory: string
}

/**
 * What differs from one isolation to another.
 */
export interface Wall {
  readonly name: string
  /** The user and group that code runs as, as seen from inside. */
  readonly user: (workspace: string) => Effect.Effect<readonly [uid: number, gid: number], SandboxError>
  /** Files and folders of the host that must be out of sight, and what of them an image may have of its own. */
  readonly hidden: ReadonlyArray<string>
  /** The variables that the first process may have. */
  readonly variables: ReadonlyArray<string>
  /** The folders in memory, apart from `/tmp`, that must have a limit, in bytes. */
  readonly sizes: Readonly<Record<string, number>>
  /** Whether the control groups of its processes can be seen from outside by the name of the sandbox. */
  readonly groupsByName: boolean
  /** Whether sandboxes run on this very machine, so that it can be looked at from outside. */
  readonly local: boolean
  /** By which means what is promised, where that is another than bubblewrap's. */
  readonly mechanisms: Mechanisms
}

const MIB = 1024 * 1024

/** The least that a sandbox may have, so that the limits are soon reached. */
const RESOURCES = { memoryMb: 64, cpus: 1, processes: 24, tmpMb: 8, openFiles: 256, fileSizeMb: 16 } as const

const DISK_MB = 8

/** How long the program inside may take, in milliseconds; it takes 200. */
const TIMEOUT = 30_000

const MAX_REPORT_BYTES = MIB

const Report = Schema.parseJson(Schema.Struct({
  attempts: Schema.Record({ key: Schema.String, value: Schema.Tuple(Schema.Boolean, Schema.String) }),
  namespace: Schema.String
}))

const failed = (what: string) => (cause: unknown): SandboxError =>
  new SandboxError({
    code: "isolation_unavailable",
    message: `The check of this host could not ${what}: ${String(cause)}`
  })

/** A folder for the check alone, with a file that everybody on the host may read. */
const makeFolder = Effect.fnUntraced(function*(parent: string, makeWorkspace: CheckOptions["makeWorkspace"]) {
  const prefix = Path.join(parent, `${yield* Owner.nameHere}-check-`)
  const folder = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => Fs.mkdtemp(prefix), catch: failed(`make a folder in ${parent}`) }),
    (path) => Effect.ignore(Effect.tryPromise(() => Fs.rm(path, { recursive: true, force: true })))
  )
  const agentDirectory = Path.join(folder, "agent")
  const canary = Path.join(folder, "canary")
  yield* Effect.tryPromise({
    try: async () => {
      await Fs.mkdir(agentDirectory)
      await Fs.writeFile(Path.join(agentDirectory, "agent.py"), probeSource)
      await Fs.writeFile(canary, "readable by everybody on the host")
      await Fs.chmod(Path.join(agentDirectory, "agent.py"), 0o644)
      await Fs.chmod(canary, 0o644)
      await Fs.chmod(agentDirectory, 0o755)
      await Fs.chmod(folder, 0o711)
    },
    catch: failed(`write to ${folder}`)
  })
  const workspace = Path.join(folder, "workspace")
  yield* makeWorkspace(workspace, DISK_MB)
  yield* Disk.open(workspace)
  return { agentDirectory, canary, workspace }
})

/** A listener on the host that nobody inside may reach. */
const listen = (options: ListenOptions): Effect.Effect<Server, SandboxError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Server, SandboxError>((resume) => {
      const server = createServer((socket) => socket.destroy())
      server.once("error", (cause) => resume(failed("listen on the host")(cause)))
      server.listen(options, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/** The one line that the program inside answers with. */
const answer = (stream: Duplex): Effect.Effect<string, string> =>
  Effect.async<string, string>((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > MAX_REPORT_BYTES) resume(Effect.fail("it said more than it should"))
      else if (chunk.includes(10)) resume(Effect.succeed(Buffer.concat(chunks).toString("utf8")))
    })
    stream.once("close", () => resume(Effect.fail("it ended without a report")))
  }).pipe(Effect.timeoutFail({ duration: TIMEOUT, onTimeout: () => `it said nothing for ${TIMEOUT} ms` }))

/** The processes of this host in a process namespace, as far as this user may know. */
const processesIn = (namespace: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.flatMap(Host.readFolder("/proc"), (names) =>
    Effect.filter(
      names.filter((name) => /^\d+$/.test(name)),
      (pid) => Effect.map(Host.readLink(`/proc/${pid}/ns/pid`), Option.contains(namespace))
    ))

/** The groups of a process that limit its processor time (cgroups(7), `/proc/pid/cgroup`). */
const processorGroups = (pid: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Host.readText(`/proc/${pid}/cgroup`),
    (text) =>
      Option.getOrElse(text, () => "").split("\n").filter((line) => {
        const [hierarchy, controllers = ""] = line.split(":")
        return hierarchy === "0" || controllers.split(",").includes("cpu")
      })
  )

const gather = Effect.fnUntraced(function*(
  options: CheckOptions
): Effect.fn.Return<Facts, SandboxError | Diagnosis.Unavailable, Scope.Scope> {
  const support = yield* options.support
  const disks = yield* options.disks
  const { agentDirectory, canary, workspace } = yield* makeFolder(options.temporaryDirectory, options.makeWorkspace)
  // As long as a name can be (unix(7)): a shorter one Node fills up with zeros, and it is then another one.
  const socket = `sandbox-sdk-check-${randomBytes(8).toString("hex")}`.padEnd(107, "-")
  yield* listen({ path: `\0${socket}` })
  const address = (yield* listen({ host: "127.0.0.1", port: 0 })).address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const label = `check-${randomBytes(4).toString("hex")}`
  const question = {
    canary,
    socket,
    port,
    limits: {
      memory: Option.isSome(support.memory),
      processes: Option.isSome(support.processes),
      cpu: Option.isSome(support.cpu) && !options.wall.groupsByName,
      disk: Either.isRight(disks)
    },
    disk: Disk.roomOf(DISK_MB),
    memory: RESOURCES.memoryMb * MIB,
    processes: RESOURCES.processes,
    cpus: RESOURCES.cpus,
    user: yield* options.wall.user(workspace),
    hidden: [canary, ...options.wall.hidden],
    variables: options.wall.variables,
    sizes: {
      ...options.wall.sizes,
      "/tmp": RESOURCES.tmpMb * MIB,
      "/dev/shm": RESOURCES.memoryMb / 8 * MIB,
      "/run/sandbox": MIB
    }
  }
  const { groups, inside, kills, report } = yield* Effect.scoped(Effect.gen(function*() {
    const agent = yield* options.launch({ sandboxId: label, workspace, agentDirectory, resources: RESOURCES })
    agent.stream.write(`${JSON.stringify(question)}\n`)
    const text = yield* answer(agent.stream).pipe(
      Effect.catchAll((reason) =>
        Effect.flatMap(
          Effect.delay(agent.diagnostics, 100),
          (said) =>
            Diagnosis.fail(
              said,
              `The program that tries the walls from inside failed: ${reason}. ${said.trim()}`
            )
        )
      )
    )
    const report = yield* Effect.mapError(Schema.decodeUnknown(Report)(text), failed("read the report from inside"))
    // The number of its namespace may be another one's as soon as it is gone.
    const inside = yield* Effect.flatMap(
      processesIn(report.namespace),
      Effect.forEach((pid) => Owner.identify(Number(pid)))
    )
    return {
      inside,
      report,
      kills: yield* agent.outOfMemoryKills,
      groups: yield* Effect.forEach(
        // Those that have not ended meanwhile.
        inside.filter(({ startTime }) => Option.isSome(startTime)),
        ({ pid }) => processorGroups(pid)
      )
    }
  }))
  const owner = yield* Host.stat(Path.join(workspace, "probe"))
  const left = yield* Effect.filter(inside, Owner.isRunning).pipe(
    Effect.filterOrFail((all) => all.length === 0, (all) => all),
    // What has ended may not have been heard of.
    Effect.retry(Schedule.intersect(Schedule.spaced("25 millis"), Schedule.recurs(40))),
    Effect.merge
  )
  const pattern = Option.getOrElse(yield* Host.readText("/proc/sys/kernel/core_pattern"), () => "").trim()
  return {
    support,
    disks,
    attempts: {
      ...report.attempts,
      "user on the host": [
        Option.exists(owner, ({ uid }) => uid !== 0),
        Option.match(owner, { onNone: () => "unknown", onSome: ({ uid }) => `user ${uid}` })
      ],
      // A pattern that begins like this is a program, which the kernel starts outside of every sandbox (core(5)).
      "crash handler": [!pattern.startsWith("|"), pattern],
      "user number of its own": [Option.exists(owner, ({ uid }) => uid !== Host.userId()), "by the owner of its files"],
      ...Option.isSome(support.cpu) && options.wall.groupsByName
        ? {
          "limit of processor time": [
            groups.length > 0 && groups.every((lines) => lines.some((line) => line.includes(`/${label}`))),
            groups.flat().join(", ")
          ] as const
        }
        : {},
      ...question.limits.memory && options.wall.local ? { "count of kills": [kills > 0, `${kills} counted`] } : {},
      "processes that outlived the sandbox": [left.length === 0, left.map(({ pid }) => pid).join(", ")]
    }
  }
})

/**
 * What is told of an isolation that starts no sandbox at all.
 */
export const cannotStart = (mechanism: string, detail: string, fix?: string): ReadonlyArray<Guarantee> => [{
  id: "sandbox",
  title: "A sandbox can be started",
  holds: false,
  mechanism,
  detail,
  ...(fix === undefined ? {} : { fix })
}]

/**
 * Tries everything and tells of each guarantee whether it holds. It never fails: what keeps a sandbox from starting is
 * itself something that does not hold.
 */
export const inspect = (options: CheckOptions): Effect.Effect<ReadonlyArray<Guarantee>> =>
  gather(options).pipe(
    Effect.scoped,
    Effect.map((facts) => judge(facts, options.wall.mechanisms)),
    Effect.catchAll((error) =>
      Effect.succeed(
        error._tag === "Unavailable"
          ? cannotStart(options.wall.name, error.reason, error.fix)
          : cannotStart(options.wall.name, error.message)
      )
    ),
    Effect.withSpan("Isolation.inspect")
  )

/** What has been found to hold in this process, by kernel, program and user. */
const proven = new Map<string, ReadonlyArray<Guarantee>>()

const describe = ({ detail, fix, title }: Guarantee): string =>
  `${title}: no (${detail ?? "without a reason"})${fix === undefined ? "" : `. To help: ${fix}`}`

/**
 * Succeeds with what enforces each guarantee when all hold, and remembers that under `key`. Fails with
 * `isolation_unavailable` and the cure when one does not.
 */
export const check = (
  inspect: Effect.Effect<ReadonlyArray<Guarantee>>,
  key: string
): Effect.Effect<ReadonlyArray<Guarantee>, SandboxError> =>
  Effect.suspend(() => {
    const known = proven.get(key)
    return known === undefined ? prove(inspect, key) : Effect.succeed(known)
  })

const prove = (inspect: Effect.Effect<ReadonlyArray<Guarantee>>, key: string) =>
  Effect.gen(function*() {
    const guarantees = yield* inspect
    const broken = guarantees.filter(({ holds }) => !holds)
    if (broken.length > 0) {
      return yield* new SandboxError({
        code: "isolation_unavailable",
        message: `This host cannot isolate sandboxes. ${broken.map(describe).join(". ")}`
      })
    }
    proven.set(key, guarantees)
    return guarantees
  }).pipe(Effect.withSpan("Isolation.check"))
