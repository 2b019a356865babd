/**
 * The agent of a sandbox, in Node: for places that have no Python. It does what `agent.py` does, by the same protocol.
 *
 * It is started as `node agent.cjs`, speaks the frames of `Protocol` on descriptor 3, and ends when that is closed, taking
 * everything that it started along. With `--stdio` it speaks them on its standard input and output instead, which are then
 * out of reach for all that it starts.
 *
 * Node buries only the children that it has started itself. So the agent is not to be the first process of its namespace:
 * that one has to bury the orphans.
 */
import type { ChildProcess } from "node:child_process"
import * as Fs from "node:fs"
import type { EngineMessage } from "../Protocol.js"
import { Command } from "./commands.js"
import type { Context } from "./contexts.js"
import { closeInherited } from "./descriptors.js"
import { Egress } from "./egress.js"
import { codeOf } from "./errors.js"
import { Fifos } from "./fifos.js"
import { Files } from "./files.js"
import { Ingress } from "./ingress.js"
import { makeContext } from "./languages.js"
import { Link, type LinkDescriptors } from "./link.js"
import { closeMemory } from "./memory.js"
import { PUBLIC } from "./paths.js"
import { killAll, Marks, type Start, Starter } from "./processes.js"
import type { Run, StartFailure } from "./runs.js"

const VERSION = 1

const IGNORED = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGPIPE",
  "SIGQUIT",
  "SIGTSTP",
  // Node would open a door for debuggers.
  "SIGUSR1",
  "SIGUSR2"
] as const

/**
 * What a number of a run stands for.
 */
export interface Job {
  readonly interrupt: (run: number) => void
  readonly kill: (run: number) => void
  /** Credit for a run that has not begun. */
  readonly creditWaiting: (run: number, bytes: number) => void
}

export class Agent {
  /** Where the kernels are. */
  readonly folder = __dirname
  readonly privateFolder = process.env["SANDBOX_RUN"] ?? "/run/sandbox"
  readonly runs = new Map<number, Run>()
  readonly jobs = new Map<number, Job>()
  readonly contexts = new Map<string, Context>()
  readonly marks = new Marks()
  readonly fifos = new Fifos(this.privateFolder)
  readonly link: Link
  readonly #children = new Set<number>()
  readonly #starter = new Starter()
  /**
   * Without isolation, the workspace has the path that it has on the host; then limits on the processes of a user would
   * count those outside of the sandbox too.
   */
  readonly #isolated = process.env["SANDBOX_WORKSPACE"] === undefined
  readonly #files: Files
  #egress: Egress | undefined
  readonly #ingress: Ingress
  env: Readonly<Record<string, string>> = {}

  constructor(descriptors: LinkDescriptors) {
    for (const signal of IGNORED) {
      process.on(signal, () => {})
    }
    process.umask(0o022)
    closeInherited([descriptors.incoming, descriptors.outgoing])
    if (this.#isolated) {
      const reason = closeMemory([this.privateFolder, "/tmp", "/dev/shm"])
      if (reason !== undefined) {
        this.#fail(`its memory could not be closed to the code in the sandbox: ${reason}`)
      }
    }
    this.link = new Link(descriptors, {
      onMessage: (message, blob) => this.#onMessage(message, blob),
      onEnd: (violation) => this.#end(violation),
      onRoom: () => this.#onRoom()
    })
    this.#ingress = new Ingress(this.link)
    this.#files = new Files(this.link, process.env["SANDBOX_WORKSPACE"] ?? PUBLIC)
    this.link.send({ ev: "ready", pid: process.pid, version: VERSION })
  }

  // ---- processes ----------------------------------------------------------------------------------------------------

  /**
   * Starts a program in a session of its own. When that fails there is no child, and `onFailure` is told why, later.
   */
  start(start: Start, onFailure: (error: unknown) => void): ChildProcess | undefined {
    const child = this.#starter.start({ ...start, cwd: this.real(start.cwd) })
    const { pid } = child
    if (pid === undefined) {
      child.once("error", onFailure)
      return undefined
    }
    this.#children.add(pid)
    child.once("exit", () => this.#children.delete(pid))
    child.on("error", () => {})
    return child
  }

  /** Where a path of the sandbox really is. */
  real(path: string): string {
    return !this.#isolated && (path === PUBLIC || path.startsWith(`${PUBLIC}/`))
      ? (process.env["SANDBOX_WORKSPACE"] ?? "") + path.slice(PUBLIC.length)
      : path
  }

  /** The failure of a working directory that is none. */
  checkDirectory(path: string): StartFailure | undefined {
    const failed = (code: "file_not_found" | "not_a_directory", reason: string): StartFailure => ({
      code,
      field: "cwd",
      message: `The working directory ${path} ${reason}.`
    })
    try {
      const real = this.real(path)
      if (!Fs.statSync(real).isDirectory()) {
        return failed("not_a_directory", "is no directory that can be entered")
      }
      Fs.accessSync(real, Fs.constants.X_OK)
      return undefined
    } catch (error) {
      return codeOf(error) === "ENOENT"
        ? failed("file_not_found", "does not exist")
        : failed("not_a_directory", "is no directory that can be entered")
    }
  }

  /** The engine is gone: so is everything. */
  #end(violation?: string): void {
    killAll((mark) => this.marks.isOwn(mark), [...this.#children])
    if (violation !== undefined) {
      this.#fail(violation)
    }
    process.exit(0)
  }

  /** Tells why it cannot be the agent any more. */
  #fail(reason: string): never {
    Fs.writeSync(2, `agent: ${reason}\n`)
    process.exit(1)
  }

  // ---- messages -----------------------------------------------------------------------------------------------------

  #onMessage(message: EngineMessage, blob: Buffer): void {
    switch (message.op) {
      case "configure":
        return this.#configure(message)
      case "context.open":
        return this.#openContext(message)
      case "ping":
        return this.link.send({ ev: "reply", id: message.id, value: null })
      case "context.close": {
        const context = this.contexts.get(message.ctx)
        return context === undefined
          ? this.link.send({ ev: "context.exit", ctx: message.ctx, exitCode: null, signal: null })
          : context.close()
      }
      case "run": {
        const context = this.contexts.get(message.ctx)
        return context === undefined
          ? this.link.send({
            ev: "refused",
            run: message.run,
            code: "context_not_found",
            message: `There is no context ${message.ctx}, or its interpreter has ended.`
          })
          : context.run(message, blob)
      }
      case "command":
        return void new Command(this, message, blob)
      case "interrupt":
        return this.jobs.get(message.run)?.interrupt(message.run)
      case "kill":
        return this.jobs.get(message.run)?.kill(message.run)
      case "signal":
        return this.#command(message.run)?.signal(message.signal)
      case "stdin.data":
        return this.#command(message.run)?.give(blob)
      case "stdin.end":
        return this.#command(message.run)?.give(undefined)
      case "resize":
        return
      case "credit": {
        const run = this.runs.get(message.run)
        return run === undefined
          ? this.jobs.get(message.run)?.creditWaiting(message.run, message.bytes)
          : run.allow(message.bytes)
      }
      case "file.stat":
      case "file.list":
      case "file.delete":
      case "file.makeDirectory":
      case "file.move":
      case "file.read":
      case "file.write":
      case "file.writeMany":
      case "file.readMany":
      case "file.data":
      case "file.credit":
      case "file.cancel":
      case "file.watch":
        return this.#files.onMessage(message, blob)
      case "net.dial":
        return this.#ingress.dial(message)
      case "net.opened":
      case "net.refused":
      case "net.data":
      case "net.end":
      case "net.close":
      case "net.credit":
        // Their numbers say which side has opened them.
        return message.net < 0 ? this.#ingress.onMessage(message, blob) : this.#egress?.onMessage(message, blob)
    }
  }

  #command(run: number): Command | undefined {
    const job = this.jobs.get(run)
    return job instanceof Command ? job : undefined
  }

  #configure({ env, limits, proxy, syncFiles }: Extract<EngineMessage, { readonly op: "configure" }>): void {
    this.env = this.#isolated ? env : this.#environmentOutside(env)
    const { processes, ...others } = limits
    this.#starter.limits = this.#isolated && processes !== undefined
      ? { ...others, processes: processes + ownTasks() }
      : others
    this.#files.configure({ sync: syncFiles === true, fileSize: limits.fileSize })
    this.fifos.refill()
    if (proxy !== undefined) {
      // More than the engine makes, so that it is the engine that refuses; but files need descriptors as well.
      const most = Math.min(Math.floor(proxy.connections * 3 / 2), Math.floor((limits.openFiles ?? Infinity) / 2))
      this.#egress = new Egress(this.link, proxy.port, most)
    }
  }

  /** Without isolation. */
  #environmentOutside(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const real = Object.fromEntries(
      ["HOME", "PATH"].map((name) => [name, (env[name] ?? "").split(":").map((part) => this.real(part)).join(":")])
    )
    // Marks what is started here, so that the engine finds and ends it even when this process was killed.
    const owner = process.env["SANDBOX_OWNER"]
    return { ...env, ...real, ...(owner === undefined ? {} : { SANDBOX_OWNER: owner }) }
  }

  #openContext(message: Extract<EngineMessage, { readonly op: "context.open" }>): void {
    const { ctx } = message
    if (this.contexts.has(ctx)) {
      this.link.send({
        ev: "context.failed",
        ctx,
        code: "start_failed",
        message: `The context ${ctx} is open already.`
      })
    } else {
      makeContext(this, message).open()
    }
  }

  /** The engine has read on. */
  #onRoom(): void {
    for (const run of [...this.runs.values()]) {
      run.pump()
    }
    for (const context of [...this.contexts.values()]) {
      context.watch()
    }
    this.#files.pump()
    this.#egress?.pump()
    this.#ingress.pump()
  }
}

/** How many tasks of the sandbox's user are the agent's own: its threads, and who buries the orphans. */
const ownTasks = (): number => {
  const [, threads] = /^Threads:\s*(\d+)/m.exec(Fs.readFileSync("/proc/self/status", "latin1")) ?? []
  return Number(threads ?? 0) + (process.ppid === 1 ? 1 : 0)
}

const stdio = process.argv.includes("--stdio")

void new Agent(stdio ? { incoming: 0, outgoing: 1 } : { incoming: 3, outgoing: 3 })
