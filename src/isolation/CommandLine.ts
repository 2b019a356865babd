/**
 * The command line of bubblewrap: what a sandbox sees.
 *
 * Everything that is not named here does not exist inside. The namespaces are listed one by one, because
 * `--unshare-all` goes on without those that it cannot have.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { posix } from "node:path"
import * as Host from "./Host.js"
import type { Layer } from "./Isolation.js"
import type { Mount } from "./Runtimes.js"

/** What the descriptors of bubblewrap are; those of the files follow. */
export const DESCRIPTORS = {
  diagnostics: 2,
  agent: 3,
  args: 4,
  seccomp: 5,
  info: 6,
  files: 7
} as const

/** Where the agent and the kernels are inside. */
export const AGENT_FOLDER = "/opt/sandbox"
export const AGENT_PATH = `${AGENT_FOLDER}/agent.py`

/** Where what a template has installed is inside. */
export const LAYER_PATH = "/opt/template"

/** The workspace is found here as well: programs that are written for E2B know it by this path. */
export const SECOND_PLACE = "/home/user"

/** What commands are looked for in, inside. */
export const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const MIB = 1024 * 1024

/** The folders at the root that are links into `/usr`, or folders of programs and libraries of their own. */
const SYSTEM_FOLDERS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]

/**
 * What programs in `/usr` read of the host's `/etc`, none of it secret: the loader's cache, Debian's alternatives, fonts,
 * public certificates, names of ports, protocols and types of files, and where matplotlib's defaults are.
 */
const SETTINGS = [
  "/etc/ld.so.cache",
  "/etc/alternatives",
  "/etc/fonts",
  "/etc/ssl/certs",
  "/etc/pki/ca-trust/extracted",
  "/etc/pki/tls/certs",
  "/etc/mime.types",
  "/etc/services",
  "/etc/protocols",
  "/etc/matplotlibrc",
  "/etc/matplotlib"
]

/**
 * Files that are made up for the sandbox.
 */
export const FILES: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n" +
    "user:x:1000:1000:user:/workspace:/bin/bash\n" +
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "/etc/group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
  "/etc/hosts": "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n",
  "/etc/nsswitch.conf":
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
  "/etc/resolv.conf": ""
}

/**
 * The arguments that mount the system of this host: the same for all its sandboxes.
 */
export const systemMounts: Effect.Effect<ReadonlyArray<string>> = Effect.gen(function*() {
  const args = ["--ro-bind", "/usr", "/usr"]
  for (const name of SYSTEM_FOLDERS) {
    const path = `/${name}`
    const link = yield* Host.readLink(path)
    if (Option.isSome(link)) args.push("--symlink", link.value, path)
    else if (yield* Host.exists(path)) args.push("--ro-bind", path, path)
  }
  for (const path of SETTINGS) {
    if (yield* Host.exists(path)) args.push("--ro-bind", path, path)
  }
  return args
})

/**
 * What differs from one sandbox to another.
 */
export interface Options {
  readonly workspace: string
  readonly agentDirectory: string
  readonly systemMounts: ReadonlyArray<string>
  readonly mounts: ReadonlyArray<Mount>
  readonly layer?: Layer | undefined
  readonly memoryMb: number
  readonly tmpMb: number
}

/** Room for shared memory: it counts as memory, so that a small sandbox gets little. */
export const sharedMemoryMb = (memoryMb: number): number => Math.max(1, Math.min(64, Math.floor(memoryMb / 8)))

/** A module is looked for in all folders above the one that asks for it, so that this one is found from everywhere. */
const layerMounts = (layer: Layer | undefined): ReadonlyArray<string> =>
  layer === undefined ? [] : [
    ...[layer.writable ? "--bind" : "--ro-bind", layer.source, LAYER_PATH],
    ...["--symlink", `${LAYER_PATH}/node_modules`, "/node_modules"]
  ]

/**
 * The arguments, which bubblewrap reads from a descriptor: on its command line every process inside would see them, with
 * the paths of the host.
 */
export const make = (options: Options): ReadonlyArray<string> => [
  "--unshare-user",
  "--unshare-ipc",
  "--unshare-pid",
  "--unshare-net",
  "--unshare-uts",
  "--unshare-cgroup",
  "--disable-userns",
  "--assert-userns-disabled",
  "--die-with-parent",
  "--new-session",
  // The agent is the first process: nothing inside can kill or freeze it (pid_namespaces(7)), and there is no process of
  // bubblewrap's whose memory and descriptors could be looked into.
  "--as-pid-1",
  ...["--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--cap-drop", "ALL"],
  "--clearenv",
  ...["--setenv", "PATH", SEARCH_PATH, "--setenv", "HOME", "/workspace", "--setenv", "LANG", "C.UTF-8"],
  // Each tmpfs has a size: without one it may take half of the host's memory.
  ...["--size", String(MIB), "--tmpfs", "/"],
  // Left to bubblewrap, the folders above a file would be open to their owner alone.
  ...["/etc", "/opt", "/run"].flatMap((path) => ["--perms", "0755", "--dir", path]),
  // A way to what is below, and nothing to be read.
  ...["--perms", "0111", "--dir", posix.dirname(SECOND_PLACE)],
  ...options.systemMounts,
  ...options.mounts.flatMap(({ source, target }) => ["--ro-bind", source, target]),
  ...Object.keys(FILES).flatMap((
    path,
    index
  ) => ["--perms", "0444", "--file", String(DESCRIPTORS.files + index), path]),
  // Who makes a namespace may change the settings that belong to it (those of the network, of message queues).
  ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"],
  ...["--perms", "1777", "--size", String(sharedMemoryMb(options.memoryMb) * MIB), "--tmpfs", "/dev/shm"],
  ...["--perms", "1777", "--size", String(options.tmpMb * MIB), "--tmpfs", "/tmp"],
  ...["--perms", "0700", "--size", String(MIB), "--tmpfs", "/run/sandbox"],
  ...["--bind", options.workspace, "/workspace"],
  ...["--bind", options.workspace, SECOND_PLACE],
  ...["--ro-bind", options.agentDirectory, AGENT_FOLDER],
  ...layerMounts(options.layer),
  ...["--remount-ro", "/dev", "--remount-ro", "/"],
  ...["--chdir", "/workspace"],
  ...["--seccomp", String(DESCRIPTORS.seccomp)],
  ...["--info-fd", String(DESCRIPTORS.info)]
]
