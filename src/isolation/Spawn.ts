/**
 * Child processes: the one module that uses `node:child_process`.
 *
 * Each child is the leader of a new session and process group, has exactly the environment that it is given and, but for
 * tools of the system, exactly the descriptors, and is gone when its scope has closed.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { spawn as nodeSpawn } from "node:child_process"
import type { ChildProcess, StdioOptions } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync, openSync, unlinkSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { Duplex, type Stream } from "node:stream"
import { isMainThread } from "node:worker_threads"
import { acquireRelease } from "../internal/finalizing.js"
import { makeOnce } from "../internal/once.js"
import { undisturbed } from "../internal/undisturbed.js"
import { inheritedDescriptors } from "./Descriptors.js"
import type { ExitStatus } from "./Isolation.js"

/**
 * A child that did not start. `code` is the system's (`ENOENT`, `EPERM`), or `worker_thread`.
 */
export class SpawnError extends Data.TaggedError("SpawnError")<{
  readonly message: string
  readonly code: string
}> {}

/**
 * A text or bytes that children can be given to read: each has it from its beginning.
 */
export interface Content {
  /** Opens it anew, for one child. */
  readonly open: () => number
}

/**
 * Holds a content until the scope closes: in a file without a name, so that nothing is left of it whatever happens.
 */
export const content = (
  directory: string,
  data: string | Uint8Array
): Effect.Effect<Content, SpawnError, Scope.Scope> =>
  acquireRelease(
    Effect.try({
      try: () => {
        const path = Path.join(directory, `sandbox-${randomUUID()}`)
        const descriptor = openSync(path, "wx+", 0o600)
        try {
          unlinkSync(path)
          writeFileSync(descriptor, data)
          return descriptor
        } catch (cause) {
          closeSync(descriptor)
          throw cause
        }
      },
      catch: (cause) =>
        new SpawnError({
          code: codeOf(cause),
          message: `No file could be written in ${directory}: ${cause instanceof Error ? cause.message : String(cause)}`
        })
    }),
    (descriptor) => Effect.sync(() => closeSync(descriptor))
  ).pipe(Effect.map((descriptor) => ({ open: () => openSync(`/proc/self/fd/${descriptor}`, "r") })))

/**
 * What to start. Nothing is taken from this process: not its environment, not its folder, not its descriptors (but for a
 * tool of the system).
 */
export interface SpawnOptions {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string | undefined
  /** Whom it runs as; this process' own user without it. Supplementary groups are dropped with it. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
  /** What each of its descriptors is, from 0. A pipe is one end of a socket pair and goes both ways from 3 on. */
  readonly stdio: ReadonlyArray<"null" | "pipe" | Content>
  /**
   * Whether it is a tool of the system: it may have a descriptor of this process that passes through `exec`. To look for
   * those takes longer the more sandboxes there are.
   */
  readonly trusted?: boolean | undefined
  /** Milliseconds from SIGTERM to SIGKILL when the scope closes; SIGKILL at once without it. */
  readonly graceMs?: number | undefined
}

/**
 * A running child.
 */
export interface Child {
  readonly pid: number
  /** This end of the pipe at that descriptor of the child. It is given once: when it has closed, nothing is known of it. */
  readonly pipe: (descriptor: number) => Effect.Effect<Duplex, SpawnError>
  /** Waits for its end; its pipes may still hold data. */
  readonly exited: Effect.Effect<ExitStatus>
  /** Waits for its end and for the end of all its pipes. */
  readonly closed: Effect.Effect<void>
  /** Whether it has ended. */
  readonly hasExited: Effect.Effect<boolean>
  /** Sends a signal to it and its process group; nothing happens when it has ended. */
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** How long to wait for what SIGKILL ends, in milliseconds. Only a process stuck in the kernel takes longer. */
const KILL_TIMEOUT = 5_000

/**
 * The descriptors of a child as Node takes them: what it was given, then a closed door at each number where this
 * process holds a descriptor that would pass through `exec` (Node leaves those open, whoever opened them).
 */
const stdioOf = (options: SpawnOptions, open: (content?: Content) => number): StdioOptions => {
  const nullDevice = open()
  const stdio: Array<"ignore" | "pipe" | number> = options.stdio.map((kind, index) =>
    kind === "pipe" ? "pipe" : kind !== "null" ? open(kind) : index < 3 ? "ignore" : nullDevice
  )
  for (const descriptor of options.trusted === true ? [] : inheritedDescriptors()) {
    if (descriptor < options.stdio.length) continue
    // For a number from 3 on, "ignore" leaves what is there: here, nothing.
    while (stdio.length < descriptor) stdio.push("ignore")
    stdio[descriptor] = nullDevice
  }
  return stdio
}

const signalGroup = (pid: number, signal: NodeJS.Signals): void => {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal)
      return
    } catch {
      // ESRCH: it has ended, or is not yet the leader of its group.
    }
  }
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

const spawnError = (options: SpawnOptions, cause: unknown): SpawnError => {
  const code = codeOf(cause)
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new SpawnError({ code, message: `${options.command} did not start: ${reason}` })
}

/**
 * Starts a child that ends with the scope: SIGTERM to its group, SIGKILL after the grace period, and the scope has closed
 * when the child is gone.
 *
 * Fails with `SpawnError`: the program is missing or may not be executed (`ENOENT`, `EACCES`), this user may not become
 * the other one (`EPERM`, `EINVAL`), no process or descriptor is left (`EAGAIN`, `EMFILE`), or this is a worker thread
 * (`worker_thread`): the kernel ties a child that is to die with its parent to the thread that started it
 * (prctl(2), `PR_SET_PDEATHSIG`), so it would die when that thread ends.
 */
export const spawn = (options: SpawnOptions): Effect.Effect<Child, SpawnError, Scope.Scope> => {
  // No more of the options is kept for as long as it runs.
  const { command, graceMs } = options
  return Effect.map(
    acquireRelease(acquire(options), (handle) => release(handle, command, graceMs)),
    ({ child }) => child
  )
}

interface Handle {
  readonly child: Child
  readonly process: ChildProcess
}

const ignore = (): void => {}

const acquire = Effect.fnUntraced(function*(options: SpawnOptions): Effect.fn.Return<Handle, SpawnError> {
  if (!isMainThread) {
    return yield* new SpawnError({
      code: "worker_thread",
      message: "Sandboxes cannot be started from a worker thread: start the engine in the main thread of the program"
    })
  }
  const start = (): Effect.Effect<Handle, SpawnError> => {
    const opened: Array<number> = []
    const open = (content?: Content): number => {
      const descriptor = content === undefined ? openSync("/dev/null", "r+") : content.open()
      opened.push(descriptor)
      return descriptor
    }
    try {
      const started = nodeSpawn(options.command, [...options.args], {
        cwd: options.cwd ?? "/",
        env: { ...options.env },
        detached: true,
        stdio: stdioOf(options, open),
        ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid })
      })
      // Without a listener an error of a pipe (the other end is gone) would end this program.
      for (const stream of started.stdio) stream?.on("error", ignore)
      // It has a number when it has been started. In the same step: after it, this fiber could give way before it listens.
      if (started.pid !== undefined) return Effect.succeed(handleOf(started, started.pid, options))
      const failure = makeOnce<unknown>()
      started.once("error", failure.happen)
      return Effect.flatMap(failure.wait, (cause) => Effect.fail(spawnError(options, cause)))
    } finally {
      // The child has its copies by now: Node's spawn returns after exec.
      opened.forEach((descriptor) => closeSync(descriptor))
    }
  }
  return yield* Effect.flatten(Effect.try({ try: start, catch: (cause) => spawnError(options, cause) }))
})

const handleOf = (process: ChildProcess, pid: number, { command, stdio }: SpawnOptions): Handle => {
  const exit = makeOnce<ExitStatus>()
  const close = makeOnce<void>()
  process.on("error", ignore)
  process.once("exit", (exitCode, signal) => {
    // What stayed in its group goes with it, at once: later the number may belong to somebody else.
    signalGroup(pid, "SIGKILL")
    exit.happen({ exitCode, signal })
  })
  process.once("close", () => close.happen())
  const pipes: Array<Stream | null | undefined> = process.stdio
  // The rest are doors that are closed, of which there may be hundreds.
  pipes.length = stdio.length
  return {
    process,
    child: {
      pid,
      pipe: (descriptor) =>
        Effect.suspend(() => {
          const stream = pipes[descriptor]
          if (stream instanceof Duplex) {
            // Node keeps the pipes of a child for as long as it runs, those that have long been closed as well.
            stream.once("close", () => {
              pipes[descriptor] = null
            })
            return Effect.succeed(stream)
          }
          return new SpawnError({ code: "no_pipe", message: `${command} has no pipe at descriptor ${descriptor}` })
        }),
      exited: exit.wait,
      closed: close.wait,
      hasExited: Effect.sync(exit.hasHappened),
      kill: (signal) =>
        Effect.sync(() => {
          if (!exit.hasHappened()) signalGroup(pid, signal)
        })
    }
  }
}

const release = Effect.fnUntraced(
  function*({ child, process }: Handle, command: string, graceMs: number | undefined) {
    if (graceMs !== undefined && !(yield* child.hasExited)) {
      yield* child.kill("SIGTERM")
      yield* child.exited.pipe(Effect.interruptible, Effect.timeoutOption(graceMs), undisturbed)
    }
    yield* child.kill("SIGKILL")
    // `close` comes when all pipes have ended, and something that left the group may hold their other ends for ever.
    const gone = yield* child.exited.pipe(Effect.interruptible, Effect.timeoutOption(KILL_TIMEOUT), undisturbed)
    for (const stream of process.stdio) stream?.destroy()
    if (Option.isNone(gone)) {
      return yield* Effect.logError(
        `Process ${child.pid} (${command}) is still there ${KILL_TIMEOUT} ms after SIGKILL`
      )
    }
    yield* child.closed.pipe(Effect.interruptible, Effect.timeoutOption(KILL_TIMEOUT), undisturbed)
  }
)

/**
 * Reads a pipe to its end, so that its writer never blocks, and keeps the last `limit` bytes.
 *
 * @returns what has been kept so far, as text
 */
export const keepTail = (stream: Duplex, limit: number): Effect.Effect<string> => {
  let chunks: Array<Buffer> = []
  let size = 0
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > 2 * limit) {
      const tail = Buffer.concat(chunks).subarray(-limit)
      chunks = [Buffer.from(tail)]
      size = tail.length
    }
  })
  return Effect.sync(() => Buffer.concat(chunks).subarray(-limit).toString("utf8"))
}

/**
 * What a helper command printed and how it ended.
 */
export interface Output extends ExitStatus {
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a helper command to its end and keeps the last 64 KiB of each stream. After `timeoutMs` it is killed, which
 * fails with a `SpawnError` of code `timeout`.
 */
export const output = (
  options: Omit<SpawnOptions, "stdio"> & { readonly timeoutMs: number }
): Effect.Effect<Output, SpawnError> =>
  Effect.gen(function*() {
    const child = yield* spawn({ ...options, stdio: ["null", "pipe", "pipe"] })
    const stdout = keepTail(yield* child.pipe(1), 65_536)
    const stderr = keepTail(yield* child.pipe(2), 65_536)
    const status = yield* Effect.zipLeft(child.exited, child.closed)
    return { ...status, stdout: yield* stdout, stderr: yield* stderr }
  }).pipe(
    // Within the time limit, whose fiber is another one: the one that fills the scope closes it.
    Effect.scoped,
    // Also in a finalizer: what cannot be interrupted cannot time out.
    Effect.interruptible,
    Effect.timeoutFail({
      duration: options.timeoutMs,
      onTimeout: () =>
        new SpawnError({ code: "timeout", message: `${options.command} did not end within ${options.timeoutMs} ms` })
    }),
    undisturbed
  )
