/**
 * Isolation by containers of a Docker Engine, or of Podman's imitation of one: each sandbox is a container of an image,
 * with the same agent, limits and filter of system calls as behind bubblewrap.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as AgentProgram from "./AgentProgram.js"
import * as Check from "./Check.js"
import { AGENT_FOLDER, AGENT_PATH, FILES, LAYER_PATH } from "./CommandLine.js"
import * as Consumption from "./Consumption.js"
import * as Diagnosis from "./Diagnosis.js"
import * as Disk from "./Disk.js"
import * as Connection from "./docker/Connection.js"
import {
  agentMounts,
  type ContainerMount,
  type ContainerOptions,
  createOptions,
  layerMounts
} from "./docker/Container.js"
import * as HostRuntime from "./docker/HostRuntime.js"
import * as Images from "./docker/Images.js"
import * as MemoryGroup from "./docker/MemoryGroup.js"
import * as Names from "./docker/Names.js"
import { profile } from "./docker/SeccompProfile.js"
import * as Start from "./docker/Start.js"
import * as Freezing from "./Freezing.js"
import * as Host from "./Host.js"
import { type AgentProcess, Isolation, type LaunchOptions, type Service } from "./Isolation.js"
import * as Owner from "./Owner.js"
import * as Remember from "./Remember.js"
import * as Users from "./Users.js"
import * as Workspace from "./Workspace.js"
import * as WorkspaceCopy from "./WorkspaceCopy.js"

/**
 * How to find the engine, and what to run there.
 *
 * @category models
 */
export interface DockerOptions {
  /** Where the engine listens: `unix:///var/run/docker.sock`, `tcp://host:2375`. By default what `DOCKER_HOST` names. */
  readonly address?: string | undefined
  /** The image of sandboxes whose template names none: `python:3-slim` by default. */
  readonly image?: string | undefined
  /** The container runtime, `runsc` say; the engine's own by default. */
  readonly runtime?: string | undefined
  /** Where short-lived files are made; the system's folder for temporary files by default. */
  readonly temporaryDirectory?: string | undefined
  /**
   * What the agent has to be written in: for tests. With Node, code in Python cannot be had, whatever the image has.
   *
   * @internal
   */
  readonly agent?: AgentProgram.AgentKind | undefined
}

/** The image of sandboxes whose template names none. */
export const DEFAULT_IMAGE = "python:3-slim"

const startFailed = (options: LaunchOptions, message: string): SandboxError =>
  new SandboxError({ code: "start_failed", sandboxId: options.sandboxId, message })

/** A file that only this layer needs, for as long as the scope is open. */
const temporaryFile = Effect.fnUntraced(function*(parent: string, name: string, text: string) {
  const prefix = Path.join(parent, `${yield* Owner.nameHere}-docker-`)
  const unavailable = (cause: unknown) =>
    new Diagnosis.Unavailable({
      reason: `No file could be made in ${parent}: ${String(cause)}`,
      fix: `make ${parent} writable, or name another one (TMPDIR)`
    })
  const folder = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => Fs.mkdtemp(prefix), catch: unavailable }),
    (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }).catch(() => undefined))
  )
  const path = Path.join(folder, name)
  yield* Host.untilDone({ try: () => Fs.writeFile(path, text), catch: unavailable })
  return path
})

/** Files that are made up for the sandbox: the names of users, with its own, and no name of a server of the host's. */
const MADE_UP = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf"]

/** They are in a folder beside its workspace, so that they go with it. */
const madeUpFiles = Effect.fnUntraced(function*(options: LaunchOptions, user: Users.User) {
  const folder = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () => Fs.mkdtemp(Path.join(Path.dirname(options.workspace), "run-")),
      catch: (cause) => startFailed(options, `No folder beside ${options.workspace} could be made: ${String(cause)}`)
    }),
    (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }).catch(() => undefined))
  )
  return yield* Effect.forEach(MADE_UP, (target) => {
    const source = Path.join(folder, Path.basename(target))
    const text = (FILES[target] ?? "").replaceAll("1000:1000", `${user.uid}:${user.gid}`)
      .replaceAll("1000", String(user.gid))
    const mount: ContainerMount = { source, target }
    return Effect.as(
      Host.untilDone({
        try: () => Fs.writeFile(source, text, { mode: 0o644 }).then(() => Fs.chmod(source, 0o644)),
        catch: (cause) => startFailed(options, `${source} could not be written: ${String(cause)}`)
      }),
      mount
    )
  })
})

/** A first process, if it is one of this machine: on another one its number is somebody else's. */
const ofThisMachine = (containerId: string) => (pid: Option.Option<number>): Effect.Effect<Option.Option<number>> =>
  Option.isNone(pid) ? Effect.succeed(pid) : Effect.map(
    Host.readText(`/proc/${pid.value}/cgroup`),
    (groups) => Option.exists(groups, (text) => text.includes(containerId)) ? pid : Option.none()
  )

const make = Effect.fnUntraced(function*(options: DockerOptions) {
  const scope = yield* Effect.scope
  const temporaryDirectory = options.temporaryDirectory ?? Os.tmpdir()
  const disks = yield* Effect.cached(Disk.support(temporaryDirectory))
  const hostRuntime = yield* Remember.success(HostRuntime.find)

  const engine = yield* Remember.success(Effect.gen(function*() {
    const connection = yield* Connection.make(options.address)
    yield* Names.reap(connection)
    const profilePath = connection.facts.name === "Podman"
      ? yield* Scope.extend(temporaryFile(temporaryDirectory, "seccomp.json", profile), scope)
      : undefined
    const hasIpv6 = yield* Host.exists("/proc/sys/net/ipv6")
    const start = (
      what: string,
      wanted: Omit<ContainerOptions, "labels" | "profilePath" | "runtime" | "hostUsers" | "podman" | "hasIpv6">
    ) =>
      Effect.gen(function*() {
        const { labels, name } = yield* Names.next(what)
        return yield* Start.start(
          connection,
          name,
          createOptions({
            ...wanted,
            labels,
            profilePath,
            runtime: options.runtime,
            hostUsers: connection.facts.remapsUsers,
            podman: connection.facts.name === "Podman",
            hasIpv6
          })
        )
      })
    return { connection, start, image: yield* Images.make({ connection, start }) }
  }))

  const makeWorkspace = Workspace.make(disks)
  const engineHere = Effect.mapError(engine, (error) => error.toSandboxError())

  /** An agent: by a Python of the image, or by that of this machine; or, where that is asked for, by a Node of the image. */
  const agentOf = Effect.fnUntraced(function*(
    image: Images.Image,
    launching: LaunchOptions,
    kind: AgentProgram.AgentKind = "python"
  ) {
    const { pythonVersion } = launching
    const own = AgentProgram.find(image.runtimes, {
      folder: AGENT_FOLDER,
      pythonVersion,
      kind,
      first: true,
      stdio: true
    })
    if (own !== undefined) return { ...own, command: [own.command, ...own.args], mounts: [] }
    if (kind === "node" || image.runtimes.python.length > 0) {
      return yield* startFailed(
        launching,
        kind === "node" ?
          `The image "${image.name}" has no Node.` :
          `The image "${image.name}" has no Python ${pythonVersion ?? ""}; it has ${
            image.runtimes.python.map(({ version }) => version).join(", ")
          }.`
      )
    }
    const { command, mounts } = yield* Effect.mapError(
      hostRuntime,
      (error) => error.toSandboxError(launching.sandboxId)
    )
    return {
      command: [...command, "-I", "-S", AGENT_PATH, "--stdio", "--no-python"],
      mounts,
      tasks: 1,
      isBehindShell: false
    }
  })

  const launch = (imageOf: Effect.Effect<Images.Image, SandboxError>, kind = options.agent) =>
    Effect.fn("Docker.launch")(function*(
      launching: LaunchOptions
    ): Effect.fn.Return<AgentProcess, SandboxError, Scope.Scope> {
      const { connection, start } = yield* engineHere
      const image = yield* imageOf
      yield* launching.opening ?? Effect.void
      const user = yield* Users.ofWorkspace(launching.workspace)
      const agent = yield* agentOf(image, launching, kind)
      const started = yield* start(launching.sandboxId, {
        imageId: image.id,
        command: agent.command,
        tasks: agent.tasks,
        user,
        mounts: [
          ...agentMounts(launching.workspace, launching.agentDirectory),
          ...agent.mounts,
          ...yield* layerMounts(launching.layer),
          ...yield* madeUpFiles(launching, user)
        ],
        volumes: image.volumes,
        resources: launching.resources
      }).pipe(
        Effect.mapError(({ message }) =>
          /bind source path does not exist|statfs .*: no such file/.test(message)
            ? Connection.elsewhere(connection.address, connection.facts.name).toSandboxError(launching.sandboxId)
            : startFailed(launching, `${connection.facts.name} did not start the sandbox: ${message}.`)
        )
      )
      const pid = yield* Effect.flatMap(Start.firstProcess(connection, started.id), ofThisMachine(started.id))
      const group = Option.isSome(pid) ? yield* MemoryGroup.groupOf(pid.value) : Option.none()
      return {
        stream: started.stream,
        exited: started.exited,
        outOfMemoryKills: yield* MemoryGroup.kills(group),
        freezing: Option.match(pid, {
          onNone: () => Freezing.unsupported,
          onSome: (first) => Freezing.belowAgent(first, agent.isBehindShell, Start.hold(connection, started.id))
        }),
        consumption: Option.match(pid, {
          onNone: () => Consumption.unsupported,
          // The group of version 2 counts both.
          onSome: (first) =>
            Consumption.make(first, { memory: group, cpu: Option.filter(group, ({ version }) => version === 2) })
        }),
        memoryLimited: connection.facts.limits.memory,
        sharesUser: user.uid === Host.userId(),
        diagnostics: started.diagnostics
      }
    })

  const ofImage = (name: string): Service => {
    const image = Effect.flatMap(engineHere, ({ image }) => image(name))
    const launchIt = launch(image)
    const inspect = Effect.gen(function*() {
      const { connection } = yield* engineHere
      return yield* Check.inspect({
        wall: wallOf(connection, yield* image),
        // The check is a program in Python.
        launch: launch(image, "python"),
        support: Effect.succeed(supportOf(connection)),
        disks,
        makeWorkspace,
        temporaryDirectory
      })
    }).pipe(Effect.catchAll(({ message }) => Effect.succeed(Check.cannotStart("docker", message))))
    return {
      name: "docker",
      ownNetwork: true,
      layerPath: () => LAYER_PATH,
      runtimes: Effect.orElseSucceed(
        Effect.map(image, ({ runtimes }) => AgentProgram.runtimesWith(runtimes, options.agent)),
        () => ({ python: [], node: [], bash: [] })
      ),
      variables: Effect.orElseSucceed(
        Effect.map(image, ({ runtimes, variables }) => ({
          ...variables,
          SHELL: runtimes.bash[0]?.path ?? "/bin/sh"
        })),
        () => ({})
      ),
      forImage: (other) => Effect.sync(() => ofImage(other)),
      check: Effect.gen(function*() {
        const { address, facts } = (yield* engineHere).connection
        const { id } = yield* image
        const key = ["docker", address, facts.version, facts.kernel, options.runtime, id, Host.userId()].join(" ")
        return yield* Check.check(inspect, key)
      }),
      inspect,
      makeWorkspace,
      copyWorkspace: WorkspaceCopy.copy,
      openWorkspace: Disk.open,
      launch: launchIt,
      // Finding the engine does it. Where there is none, the check tells.
      reap: Effect.ignore(engine)
    }
  }
  return ofImage
})

/** What the engine says that it enforces; the check tries it. */
const supportOf = ({ facts }: Connection.Connection) => {
  const by = (has: boolean, controller: string) =>
    has ? Option.some(`cgroup v${facts.cgroupVersion} ${controller}, by ${facts.name}`) : Option.none()
  return {
    memory: by(facts.limits.memory, "memory"),
    processes: by(facts.limits.processes, "pids"),
    cpu: by(facts.limits.cpu, "cpu")
  }
}

const wallOf = ({ facts }: Connection.Connection, image: Images.Image): Check.Wall => ({
  name: "docker",
  user: (workspace) => Effect.map(Users.ofWorkspace(workspace), ({ gid, uid }) => [uid, gid] as const),
  // Of these an image has its own at most.
  hidden: ["/etc/shadow", "/root", "/sys", "/run/docker.sock", "/var/run/docker.sock", "/proc/kcore", "/dev/mem"],
  variables: ["PATH", "HOME", "LANG", "PWD", "HOSTNAME", "TERM", "container", ...Object.keys(image.variables)],
  sizes: {},
  groupsByName: false,
  local: true,
  mechanisms: {
    "user": "an unprivileged user number of its own in the container",
    "capabilities": "all capabilities dropped, no_new_privs",
    "system-calls": "seccomp profile of this SDK",
    "nested-namespaces": "seccomp profile of this SDK",
    "host-files": "root file system of the image",
    "read-only-system": "read-only root file system",
    "kernel-settings": "unprivileged user, read-only /proc/sys",
    "devices": "a /dev of the container",
    "terminal": "no terminal, seccomp profile of this SDK",
    "descriptors": "descriptors of the container alone",
    "environment": "environment of the image alone",
    "processes": "process namespace of the container",
    "network": "network \"none\" of the container",
    "end": `${facts.name} removes the container, whose input ends with the engine`
  }
})

/**
 * Isolation by containers. Nothing is asked of the engine before it is used.
 *
 * @category layers
 */
export const layer = (options: DockerOptions = {}): Layer.Layer<Isolation> =>
  Layer.scoped(Isolation, Effect.map(make(options), (ofImage) => ofImage(options.image ?? DEFAULT_IMAGE)))

/**
 * The same isolation, and containers beside it for templates that name an image. The engine of containers is not asked for
 * anything before there is such a template.
 *
 * @category layers
 */
export const withImages =
  (options: DockerOptions = {}) => <E, R>(base: Layer.Layer<Isolation, E, R>): Layer.Layer<Isolation, E, R> =>
    Layer.provide(
      Layer.scoped(
        Isolation,
        Effect.gen(function*() {
          const isolation = yield* Isolation
          const ofImage = yield* make(options)
          return { ...isolation, forImage: (image) => Effect.sync(() => ofImage(image)) } satisfies Service
        })
      ),
      base
    )
