/**
 * Processes: how they are started, marked, found again, and ended.
 *
 * Whatever is started for a context or a command carries a mark: a soft RLIMIT_RSS. Linux has not heeded that limit since
 * version 2.4 (getrlimit(2)), so it changes nothing; it is inherited by fork and exec, and `/proc` tells it. So a daemon
 * that has left its session and lost its parent is still known as a descendant.
 *
 * Node sets no limits; a shell does, which every program is started by and which it takes the place of.
 */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import { constants } from "node:os"
import { codeOf } from "./errors.js"

type Env = Readonly<Record<string, string>>

const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

/** The shell's own names of variables: others do not pass through every shell. */
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** What a shell puts into the environment of its own accord. */
const SHELL_VARIABLES = ["PWD", "OLDPWD", "SHLVL", "PATH"]

/** How many looks at all processes are taken to end those that are to end. */
const MOST_LOOKS = 1000

const signalNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name])
)

/**
 * How a process ended.
 */
export interface Exit {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** What Node tells of an end. It does not know the names of all signals: then there is neither. */
export const exitOf = (exitCode: number | null, signal: string | null): Exit => ({
  exitCode: signal === null ? exitCode ?? 0 : null,
  signal
})

/** The name of a signal by its number. */
export const signalName = (number: number): string => signalNames.get(number) ?? `SIG${number}`

/** The path of a program by the PATH of `env`. */
export const findProgram = (name: string, env: Env): string | undefined => {
  for (const folder of (env["PATH"] ?? DEFAULT_PATH).split(":")) {
    const path = `${folder === "" ? "." : folder}/${name}`
    if (isProgram(path)) {
      return path
    }
  }
  return undefined
}

const isProgram = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.X_OK)
    return Fs.statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * What each process may have; what is absent is not limited.
 */
export interface Limits {
  readonly processes?: number
  readonly openFiles?: number
  /** Bytes. */
  readonly fileSize?: number
  /** Bytes. */
  readonly dataSize?: number
}

/** The units of `ulimit` (POSIX: 512 bytes for files; by custom, 1024 for the others). */
const FILE_UNIT = 512
const MEMORY_UNIT = 1024

/** Sets both limits; what is lower already stays. */
const setting = (flags: ReadonlyArray<string>, value: number | undefined): string =>
  value === undefined ? "" : `${flags.map((flag) => `ulimit ${flag} ${value}`).join(" || ")}; `

/**
 * What the shell does before it becomes the program. An error of one step is no reason not to go on: each only lowers.
 */
const prelude = (limits: Limits, env: Env, mark: number, oomScore: number | undefined): string =>
  "{ " +
  setting(["-n"], limits.openFiles) +
  setting(["-f"], limits.fileSize === undefined ? undefined : Math.floor(limits.fileSize / FILE_UNIT)) +
  setting(["-d"], limits.dataSize === undefined ? undefined : Math.floor(limits.dataSize / MEMORY_UNIT)) +
  // Debian's shell and busybox' know it as -p, which is something else in bash.
  setting(["-u", "-p"], limits.processes) +
  setting(["-c"], 0) +
  setting(["-S -m"], mark) +
  (oomScore === undefined ? "" : `echo ${oomScore} > /proc/self/oom_score_adj; `) +
  `unset ${SHELL_VARIABLES.filter((name) => env[name] === undefined).join(" ")} _; ` +
  "} 2> /dev/null; exec \"$@\""

/**
 * Gives out marks, in the unit of `ulimit -m`. They are so large that they cannot be meant for a limit.
 */
export class Marks {
  /** The number of the process keeps apart the marks of two agents that see the same processes. */
  readonly #base = 2 ** 48 + process.pid * 2 ** 24
  #last = 0

  next(): number {
    this.#last = (this.#last + 1) % 2 ** 24
    return this.#base + this.#last
  }

  isOwn(mark: number): boolean {
    return mark >= this.#base && mark < this.#base + 2 ** 24
  }
}

/**
 * What is started.
 */
export interface Start {
  readonly arguments: ReadonlyArray<string>
  /** The name that it is started by, when that is not the program's path. */
  readonly env: Env
  /** Where, as this process sees it. */
  readonly cwd: string
  readonly stdio: StdioOptions
  readonly mark: number
}

/**
 * Starts programs, each in a session of its own, below all that is set here.
 */
export class Starter {
  limits: Limits = {}
  /** The kernel ends the user's processes before the agent when memory runs out. */
  readonly #oomScore = oomScore()

  /** Fails with `ENOSHELL` where there is no shell to set limits by. */
  start({ arguments: [...args], cwd, env, mark, stdio }: Start): ChildProcess {
    const shell = findProgram("sh", { PATH: process.env["PATH"] ?? DEFAULT_PATH })
    if (shell === undefined) {
      throw Object.assign(new Error("there is no sh in the sandbox, which the agent in Node needs"), {
        code: "ENOSHELL"
      })
    }
    const isPlain = Object.keys(env).every((name) => PLAIN_NAME.test(name))
    const program = isPlain ? args : ["/usr/bin/env", ...Object.entries(env).map(([n, v]) => `${n}=${v}`), ...args]
    return spawn(shell, ["-c", prelude(this.limits, env, mark, this.#oomScore), "sh", ...program], {
      argv0: "sh",
      cwd,
      env: { ...env },
      detached: true,
      stdio
    })
  }
}

const oomScore = (): number | undefined => {
  try {
    return Math.min(1000, Number(Fs.readFileSync("/proc/self/oom_score_adj", "latin1")) + 500)
  } catch {
    return undefined
  }
}

interface Known {
  readonly parent: number
  readonly mark: number
}

const RESIDENT = /^Max resident set +(\d+)/m

/** What the kernel tells of a process; `undefined` when it is gone, or dead and not yet buried. */
const look = (pid: number): Known | undefined => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name in parentheses can hold anything, parentheses too.
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    if (state === "Z" || state === "X") {
      return undefined
    }
    const [, bytes] = RESIDENT.exec(Fs.readFileSync(`/proc/${pid}/limits`, "latin1")) ?? []
    return { parent: Number(parent), mark: bytes === undefined ? 0 : Number(bytes) / MEMORY_UNIT }
  } catch {
    return undefined
  }
}

/** The living processes whose mark `matches`, and all that descends from these and from `roots`. */
const find = (matches: (mark: number) => boolean, roots: ReadonlyArray<number>): ReadonlySet<number> => {
  const children = new Map<number, Array<number>>()
  const found = new Set<number>()
  const alive = new Set<number>()
  for (const name of Fs.readdirSync("/proc")) {
    const pid = Number(name)
    const known = pid > 1 && pid !== process.pid ? look(pid) : undefined
    if (known === undefined) {
      continue
    }
    alive.add(pid)
    children.set(known.parent, [...children.get(known.parent) ?? [], pid])
    if (matches(known.mark)) {
      found.add(pid)
    }
  }
  for (const pid of roots) {
    if (alive.has(pid)) {
      found.add(pid)
    }
  }
  const pending = [...found, ...roots.filter((pid) => !alive.has(pid))]
  for (let pid = pending.pop(); pid !== undefined; pid = pending.pop()) {
    for (const child of children.get(pid) ?? []) {
      if (!found.has(child)) {
        found.add(child)
        pending.push(child)
      }
    }
  }
  return found
}

const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

/**
 * Ends all of them, repeated until no new one is seen.
 *
 * Each is stopped before any is ended, so that a program that forks faster than it is found is still ended: what is
 * stopped does not fork, and what has been forked before is found at the next look.
 */
export const killAll = (matches: (mark: number) => boolean, roots: ReadonlyArray<number> = []): void => {
  const killed = new Set<number>()
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const stopped = new Set<number>()
    for (let rounds = 0; rounds < MOST_LOOKS; rounds++) {
      const fresh = [...find(matches, roots)].filter((pid) => !stopped.has(pid) && !killed.has(pid))
      if (fresh.length === 0) {
        break
      }
      for (const pid of fresh) {
        send(pid, "SIGSTOP")
        stopped.add(pid)
      }
    }
    if (stopped.size === 0) {
      return
    }
    for (const pid of stopped) {
      send(pid, "SIGKILL")
      killed.add(pid)
    }
  }
}

/** A signal to the group of a process, which is the leader of one. */
export const killGroup = (pid: number, signal: NodeJS.Signals): void => send(-pid, signal)

/** Whether it is an error of a start that a user can mend. */
export const isShortage = (error: unknown): boolean =>
  ["EAGAIN", "EMFILE", "ENFILE", "ENOMEM"].includes(codeOf(error) ?? "")
