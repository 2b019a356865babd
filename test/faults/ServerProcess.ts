/**
 * A server in a process of its own, which can be killed and started again where it was.
 */
import { Effect, Schema } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { groupsOf, mountsOf, processesIn } from "../support/traces.js"

/** How long what is left may take to go. */
const LEAVE_MS = 10_000

export const KEY = "key-of-the-faults"

const Said = Schema.Struct({ port: Schema.optional(Schema.Number), jumped: Schema.optional(Schema.Number) })
const isSaid = Schema.is(Said)

/** The files that a server is started from. */
export interface Programs {
  readonly server: string
  /** What makes its clock jump. */
  readonly clock: string
}

const temporaryFolder = (prefix: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), prefix))
      // The users of sandboxes pass through it.
      Fs.chmodSync(folder, 0o755)
      return folder
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  )

export interface ServerProcess {
  readonly port: number
  /** Where its sandboxes are. */
  readonly data: string
  /** Kills it without notice. */
  readonly kill: Effect.Effect<void>
  /** Starts it where it was, and waits until it listens. */
  readonly start: Effect.Effect<void>
  /** Ends it in order. */
  readonly stop: Effect.Effect<void>
  /** Sets its clock forward or back, by milliseconds. */
  readonly jump: (ms: number) => Effect.Effect<void>
  /** What is left of it on this host once it has been stopped. */
  readonly left: Effect.Effect<ReadonlyArray<string>>
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null

const end = (child: ChildProcess | undefined, signal: NodeJS.Signals) =>
  Effect.promise(async () => {
    if (child !== undefined && !hasEnded(child)) {
      const exit = once(child, "exit")
      child.kill(signal)
      await exit
    }
  })

/** Waits for a message; fails when the program ends without it. */
const heard = <A>(child: ChildProcess, read: (said: typeof Said.Type) => A | undefined): Promise<A> =>
  new Promise((resolve, reject) => {
    const listen = (message: unknown) => {
      const found = isSaid(message) ? read(message) : undefined
      if (found !== undefined) {
        child.off("message", listen).off("exit", ended)
        resolve(found)
      }
    }
    const ended = () => reject(new Error("The server ended by itself."))
    child.on("message", listen).once("exit", ended)
  })

/** A file system of its own, of so many MiB, for as long as the scope lives. */
const mountSmall = (path: string, sizeMb: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMb}m,mode=755`, "faults", path], { stdio: "inherit" })
    ),
    () => Effect.sync(() => execFileSync("umount", ["-l", path]))
  )

export interface Options {
  /** The size of the disk that its data are on, if that is to be one of its own, in MiB. */
  readonly sizeMb?: number
}

/**
 * A server that listens.
 */
export const make = (programs: Programs, options: Options = {}) =>
  Effect.gen(function*() {
    const own = yield* temporaryFolder("faults-server-")
    const data = Path.join(own, "data")
    const temporary = Path.join(own, "tmp")
    for (const path of [data, temporary]) {
      Fs.mkdirSync(path)
      Fs.chmodSync(path, 0o755)
    }
    if (options.sizeMb !== undefined) yield* mountSmall(data, options.sizeMb)
    const mounted = yield* Effect.promise(() => mountsOf(own))
    const pids: Array<number> = []
    let child: ChildProcess | undefined
    let port = 0

    const start = Effect.promise(async () => {
      const made = spawn(process.execPath, ["--import", programs.clock, programs.server, String(port), data, KEY], {
        cwd: "/",
        env: { PATH: process.env["PATH"], HOME: own, TMPDIR: temporary },
        stdio: ["ignore", "inherit", "inherit", "ipc"]
      })
      child = made
      if (made.pid !== undefined) pids.push(made.pid)
      port = await heard(made, (said) => said.port)
    })
    yield* Effect.acquireRelease(start, () => end(child, "SIGTERM"))

    const look = async (): Promise<ReadonlyArray<string>> => {
      const mounts = (await mountsOf(own)).filter((line) => !mounted.includes(line))
      return [
        ...(await processesIn(own)).map((line) => `process ${line}`),
        ...mounts.map((line) => `mount ${line}`),
        ...(await groupsOf(pids)).map((path) => `control group ${path}`),
        ...Fs.readdirSync(temporary).map((name) => `temporary file ${name}`)
      ]
    }

    let jumps = 0
    const server: ServerProcess = {
      get port() {
        return port
      },
      data,
      start,
      kill: Effect.suspend(() => end(child, "SIGKILL")),
      stop: Effect.suspend(() => end(child, "SIGTERM")),
      jump: (ms) =>
        Effect.promise(async () => {
          const id = ++jumps
          if (child === undefined || hasEnded(child)) return
          const jumped = heard(child, (said) => said.jumped === id ? true : undefined)
          child.send({ jump: ms, id })
          await jumped
        }),
      left: Effect.promise(async () => {
        // What other programs of this host start has our mounts for a moment.
        const end = performance.now() + LEAVE_MS
        let found = await look()
        while (found.length > 0 && performance.now() < end) {
          await sleep(100)
          found = await look()
        }
        return found
      })
    }
    return server
  })
