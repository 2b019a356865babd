/**
 * What a container of this SDK is: the same walls as those of bubblewrap's sandboxes, in the words of the Docker Engine API.
 */
import type Dockerode from "dockerode"
import * as Effect from "effect/Effect"
import { AGENT_FOLDER, LAYER_PATH, SEARCH_PATH, SECOND_PLACE, sharedMemoryMb } from "../CommandLine.js"
import * as Host from "../Host.js"
import type { LaunchResources, Layer } from "../Isolation.js"
import type { Mount } from "../Runtimes.js"
import type { User } from "../Users.js"
import { profile } from "./SeccompProfile.js"

/**
 * What differs from one container to another.
 */
export interface ContainerOptions {
  /** The image, by its id: a name may mean another one by now. */
  readonly imageId: string
  /** The first process. */
  readonly command: ReadonlyArray<string>
  /** How many tasks are the agent's own, which the limit of processes does not mean; one if it is not told. */
  readonly tasks?: number | undefined
  readonly user: User
  /** Read-only, unless `writable`. */
  readonly mounts: ReadonlyArray<ContainerMount>
  /** Folders that the image declares as volumes: each would be one on the host's disk, without a limit. */
  readonly volumes: ReadonlyArray<string>
  readonly resources: LaunchResources
  readonly labels: Readonly<Record<string, string>>
  /** Where the profile of system calls is, for an engine that wants a file; in the request without. */
  readonly profilePath?: string | undefined
  /** The container runtime (`runsc`); the engine's own by default. */
  readonly runtime?: string | undefined
  readonly hostUsers: boolean
  /** Whether the engine is Podman, which is told some things in other words. */
  readonly podman: boolean
  /** Whether the host knows IPv6. */
  readonly hasIpv6: boolean
}

/**
 * A file or folder of the host that a container sees.
 */
export interface ContainerMount extends Mount {
  readonly writable?: boolean
}

const MIB = 1024 * 1024

/** More than a sandbox may have, and less than what any user may. */
const PODMAN_PROCESSES = 4096

/** In what is laid over a declared volume. */
const VOLUME_BYTES = MIB

/** What Docker hides by default, and all of /sys: it tells of the host's hardware, and nothing inside needs it. */
const MASKED = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys"
]

/** What Docker keeps from being written by default. */
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

const tmpfs = (bytes: number, mode: string): string => `rw,exec,nosuid,nodev,size=${bytes},mode=${mode}`

/**
 * The request that makes it.
 */
export const createOptions = (options: ContainerOptions): Dockerode.ContainerCreateOptions => {
  const { cpus, fileSizeMb, memoryMb, openFiles, processes, tmpMb } = options.resources
  const { gid, uid } = options.user
  return {
    Image: options.imageId,
    Entrypoint: [...options.command],
    Cmd: [],
    User: `${uid}:${gid}`,
    // What the image sets stays; the agent gives what it starts an environment of its own.
    Env: [`PATH=${SEARCH_PATH}`, "HOME=/workspace", "LANG=C.UTF-8"],
    WorkingDir: "/workspace",
    Hostname: "sandbox",
    Labels: { ...options.labels },
    Healthcheck: { Test: ["NONE"] },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    // Its input ends with the connection, however that ends, and with its input the agent.
    StdinOnce: true,
    Tty: false,
    HostConfig: {
      AutoRemove: true,
      LogConfig: { Type: "none", Config: {} },
      NetworkMode: "none",
      // Without a network the engine leaves out ::1 as well, at which many servers listen. Other runtimes have no such switch.
      ...(options.hasIpv6 && options.runtime === undefined
        ? { Sysctls: { "net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.lo.disable_ipv6": "0" } }
        : {}),
      IpcMode: "private",
      ...(options.hostUsers ? { UsernsMode: "host" } : {}),
      ...(options.runtime === undefined ? {} : { Runtime: options.runtime }),
      CapDrop: ["ALL"],
      SecurityOpt: [
        "no-new-privileges",
        `seccomp=${options.profilePath ?? profile}`,
        ...(options.podman ? [`mask=${MASKED.join(":")}`] : [])
      ],
      ReadonlyRootfs: true,
      MaskedPaths: MASKED,
      ReadonlyPaths: READ_ONLY,
      Memory: memoryMb * MIB,
      MemorySwap: memoryMb * MIB,
      PidsLimit: processes + (options.tasks ?? 1),
      NanoCpus: Math.max(10_000_000, Math.round(cpus * 1e9)),
      ShmSize: sharedMemoryMb(memoryMb) * MIB,
      Ulimits: [
        { Name: "nofile", Soft: openFiles, Hard: openFiles },
        { Name: "fsize", Soft: fileSizeMb * MIB, Hard: fileSizeMb * MIB },
        { Name: "core", Soft: 0, Hard: 0 },
        // It would set a higher limit than it may have itself.
        ...(options.podman ? [{ Name: "nproc", Soft: PODMAN_PROCESSES, Hard: PODMAN_PROCESSES }] : [])
      ],
      Tmpfs: {
        ...Object.fromEntries(options.volumes.map((path) => [path, tmpfs(VOLUME_BYTES, "1777")])),
        "/tmp": tmpfs(tmpMb * MIB, "1777"),
        // There is one user inside; and Podman knows no owner of a tmpfs.
        "/run/sandbox": tmpfs(MIB, "1777")
      },
      Mounts: options.mounts.map(({ source, target, writable }) => ({
        Type: "bind",
        Source: source,
        Target: target,
        ReadOnly: writable !== true,
        BindOptions: { Propagation: "rprivate" }
      }))
    }
  }
}

/**
 * What lets a container run the agent.
 */
export const agentMounts = (workspace: string, agentDirectory: string): ReadonlyArray<ContainerMount> => [
  { source: workspace, target: "/workspace", writable: true },
  { source: workspace, target: SECOND_PLACE, writable: true },
  { source: agentDirectory, target: AGENT_FOLDER }
]

/** A module is looked for in all folders above the one that asks for it, so that what is here is found from everywhere. */
const NODE_MODULES = "/node_modules"

/**
 * What shows a container what its template has installed.
 */
export const layerMounts = (layer: Layer | undefined): Effect.Effect<ReadonlyArray<ContainerMount>> => {
  if (layer === undefined) {
    return Effect.succeed([])
  }
  const { source, writable } = layer
  const whole = { source, target: LAYER_PATH, writable }
  const modules = `${source}${NODE_MODULES}`
  return Effect.map(
    writable ? Effect.succeed(false) : Host.exists(modules),
    (hasModules) => hasModules ? [whole, { source: modules, target: NODE_MODULES }] : [whole]
  )
}
