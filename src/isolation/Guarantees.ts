/**
 * Judges what the attempts from inside a sandbox showed.
 */
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type { Support } from "./Cgroup.js"
import type * as Disk from "./Disk.js"
import type { Guarantee } from "./Guarantee.js"

/**
 * What was found: each attempt with whether the wall held, and what this host enforces for groups of processes.
 */
export interface Facts {
  readonly attempts: { readonly [name: string]: readonly [held: boolean, detail: string] }
  readonly support: Support
  readonly disks: Disk.Support
}

interface Promise {
  readonly id: string
  readonly title: string
  readonly mechanism: string
  /** The attempts that decide; a pattern takes all whose names fit. */
  readonly attempts: ReadonlyArray<string | RegExp>
  readonly fix?: string
}

const REPORT =
  "this should not be possible: keep untrusted code off this host, and report it with the output of sandbox doctor --json"

const PROMISES: ReadonlyArray<Promise> = [
  {
    id: "user",
    title: "Code runs as a user of its own without rights on the host",
    mechanism: "user namespace, a user number per sandbox",
    attempts: ["user", "groups", "user on the host"]
  },
  {
    id: "capabilities",
    title: "Code has no capabilities and can gain none",
    mechanism: "capability sets emptied, no_new_privs",
    attempts: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"]
  },
  {
    id: "system-calls",
    title: "Dangerous system calls are refused",
    mechanism: "seccomp filter",
    attempts: ["Seccomp", /^call /, "terminal injection", /^socket AF_/, "netlink beyond routes"]
  },
  {
    id: "nested-namespaces",
    title: "Code cannot make namespaces of its own",
    mechanism: "user namespaces disabled inside, seccomp filter",
    attempts: [/^clone into /, "call unshare", "call setns"]
  },
  {
    id: "host-files",
    title: "Files of the host are out of sight",
    mechanism: "mount namespace with a root of its own",
    attempts: [/^read /]
  },
  {
    id: "read-only-system",
    title: "Programs and libraries cannot be changed",
    mechanism: "read-only mounts",
    attempts: [/^write to /]
  },
  {
    id: "private-folders",
    title: "/workspace, /tmp and /dev/shm can be written and belong to the sandbox",
    mechanism: "bind mount, tmpfs",
    attempts: [/^use /]
  },
  {
    id: "kernel-settings",
    title: "Settings of the kernel cannot be changed",
    mechanism: "unprivileged user, namespaces",
    attempts: [/^open for writing /]
  },
  {
    id: "devices",
    title: "Only harmless devices exist",
    mechanism: "a /dev of its own",
    attempts: ["devices", "make a device"]
  },
  {
    id: "terminal",
    title: "The terminal of the engine cannot be reached",
    mechanism: "a session of its own, seccomp filter",
    attempts: ["open the terminal", "session", "terminal injection"]
  },
  {
    id: "descriptors",
    title: "No open file of the engine is inherited",
    mechanism: "close-on-exec, inherited descriptors replaced",
    attempts: ["descriptors"]
  },
  {
    id: "environment",
    title: "No environment variable of the engine is inherited",
    mechanism: "empty environment",
    attempts: ["environment", "environment of the first process"]
  },
  {
    id: "processes",
    title: "Other processes are out of sight",
    mechanism: "process namespace",
    attempts: ["own number", "visible processes", "end of the first process"]
  },
  {
    id: "network",
    title: "No network, not even the host's loopback",
    mechanism: "network namespace",
    attempts: ["interfaces", "host loopback", "host abstract socket", "metadata service"]
  },
  {
    id: "folder-sizes",
    title: "Folders in memory have a limit",
    mechanism: "tmpfs sizes",
    attempts: [/^size of /]
  },
  {
    id: "end",
    title: "Nothing outlives a sandbox",
    mechanism: "process namespace, die with parent",
    attempts: ["processes that outlived the sandbox"]
  }
]

interface Limit {
  readonly id: string
  readonly title: string
  /** On the right by what. */
  readonly enforced: (facts: Facts) => Either.Either<string, Disk.Unsupported>
  readonly soft: string
  readonly attempts: ReadonlyArray<string>
}

const DELEGATE = "run the engine as root, or in a group of its own: systemd-run --user --scope -p Delegate=yes COMMAND"

const byGroup = (of: (support: Support) => Option.Option<string>): Limit["enforced"] => ({ support }) =>
  Either.fromOption(of(support), () => ({ reason: "this user may not make control groups here", fix: DELEGATE }))

const LIMITS: ReadonlyArray<Limit> = [
  {
    id: "memory",
    title: "Memory of a sandbox is limited",
    enforced: byGroup(({ memory }) => memory),
    soft: "each process alone, by a resource limit",
    attempts: ["limit of memory", "count of kills"]
  },
  {
    id: "process-count",
    title: "The number of processes is limited",
    enforced: byGroup(({ processes }) => processes),
    soft: "by a resource limit of the user inside",
    attempts: ["limit of processes"]
  },
  {
    id: "processor-time",
    title: "Processor time is limited",
    enforced: byGroup(({ cpu }) => cpu),
    soft: "by nothing but the time limit of a run",
    attempts: ["limit of processor time"]
  },
  {
    id: "disk",
    title: "What /workspace holds is limited",
    enforced: ({ disks }) => disks,
    soft: "watched: what runs is interrupted when there is too much in it",
    attempts: ["limit of bytes in /workspace", "limit of files in /workspace"]
  }
]

const judgeAttempts = (facts: Facts, wanted: ReadonlyArray<string | RegExp>) => {
  const found = wanted.flatMap((name) =>
    typeof name === "string"
      ? [{ name, outcome: facts.attempts[name] }]
      : Object.entries(facts.attempts).filter(([key]) => name.test(key)).map(([name, outcome]) => ({ name, outcome }))
  )
  // What was not attempted has not been shown.
  const broken = found.filter(({ outcome }) => outcome?.[0] !== true)
  const detail = broken.map(({ name, outcome }) => `${name}: ${outcome?.[1] || (outcome ? "failed" : "not attempted")}`)
  return { holds: found.length > 0 && broken.length === 0, detail: detail.join("; ") || "not attempted" }
}

/** What the kernel counts by user and not by control group; sandboxes of one user number share it. */
const allowances = ({ attempts }: Facts): Guarantee => ({
  id: "user-allowances",
  title: "What the kernel allows to each user (watches of files, pending signals) is a sandbox's own",
  holds: true,
  ...(attempts["user number of its own"]?.[0] === true
    ? { mechanism: "a user number per sandbox" }
    : {
      soft: true,
      mechanism: "nothing: sandboxes share what this user is allowed",
      detail: "an ordinary user has one number for all of them",
      fix: "run the engine as root: it then gives each sandbox a user number, and runs none as root"
    })
})

/** The kernel starts a handler as the host's root, whatever limits the process had that crashed. */
const crashes = ({ attempts }: Facts): Guarantee => {
  const [held, pattern] = attempts["crash handler"] ?? [false, "unknown"]
  return {
    id: "crash-handler",
    title: "A crash inside starts no program on the host",
    holds: true,
    ...(held
      ? { mechanism: "no handler in kernel.core_pattern, RLIMIT_CORE" }
      : {
        soft: true,
        mechanism: "nothing but the handler's own care",
        detail: `kernel.core_pattern is ${pattern.slice(0, 100)}`,
        fix: "sudo sysctl -w kernel.core_pattern=core"
      })
  }
}

/**
 * By which means something is promised, by the ids of what is promised.
 */
export type Mechanisms = Readonly<Record<string, string>>

/**
 * Each guarantee, with whether it holds. `mechanisms` are those that differ from bubblewrap's.
 */
export const judge = (facts: Facts, mechanisms: Mechanisms = {}): ReadonlyArray<Guarantee> => [
  ...PROMISES.map(({ attempts, fix = REPORT, id, mechanism, title }) => {
    const { detail, holds } = judgeAttempts(facts, attempts)
    return { id, title, holds, mechanism: mechanisms[id] ?? mechanism, ...(holds ? {} : { detail, fix }) }
  }),
  ...LIMITS.map(({ attempts, enforced, id, soft, title }) => {
    const mechanism = enforced(facts)
    if (Either.isLeft(mechanism)) {
      const { fix, reason } = mechanism.left
      return { id, title, holds: true, soft: true, mechanism: soft, detail: reason, fix }
    }
    const { detail, holds } = judgeAttempts(facts, attempts)
    return { id, title, holds, mechanism: mechanism.right, ...(holds ? {} : { detail, fix: REPORT }) }
  }),
  allowances(facts),
  crashes(facts)
]
