/**
 * Contexts: one interpreter each, behind a control socket on which the interpreter is not believed more than needed.
 */
import type { ChildProcess, StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import { Duplex } from "node:stream"
import type { Language } from "../../CodeContext.js"
import { encodeFrame, makeFrameParser } from "../Frames.js"
import { MAX_BLOB_BYTES } from "../Limits.js"
import type { EngineMessage } from "../Protocol.js"
import type { Agent, Job } from "./agent.js"
import type { Source } from "./fifos.js"
import { type Exit, exitOf, findProgram, killAll, killGroup } from "./processes.js"
import { Run, type StartFailure, startFailure, type StreamNumber, tailOf } from "./runs.js"

const MAX_KERNEL_HEADER = 64 * 1024

const TAIL = 8192

/** What V8 says before it aborts. */
const OUT_OF_MEMORY = "heap out of memory"

/** How often what a dead interpreter has said is looked for, after the last time that there was something. */
const QUIET_ROUNDS = 3

type RunMessage = Extract<EngineMessage, { readonly op: "run" }>
type Env = Readonly<Record<string, string>>

/** A run that has not begun. */
interface Waiting {
  readonly message: RunMessage
  readonly code: Buffer
  credit: number
}

/** What an interpreter says. */
export type Header = Readonly<Record<string, unknown>>

interface Said {
  readonly header: Header
  readonly blob: Buffer
}

/** Cuts what an interpreter says into messages. */
export interface Decoder {
  readonly push: (bytes: Buffer) => void
}

export interface DecoderHandlers {
  readonly onMessage: (header: Header, blob: Buffer) => void
  readonly onViolation: () => void
}

const isHeader = (value: unknown): value is Header =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** For those that speak in frames. */
const makeFrameDecoder = ({ onMessage, onViolation }: DecoderHandlers): Decoder => {
  let current: Header = {}
  return makeFrameParser({
    onHeader: (header) => {
      if (isHeader(header)) {
        current = header
      } else {
        onViolation()
      }
      return false
    },
    onPiece: () => {},
    onFrame: (blob) => onMessage(current, blob),
    onViolation
  }, { header: MAX_KERNEL_HEADER, blob: MAX_BLOB_BYTES })
}

/**
 * Why an interpreter cannot be had.
 */
export class LanguageMissing extends Error {}

/**
 * The part that is the same for every language.
 */
export abstract class Context implements Job {
  protected readonly env: Env
  protected pid = 0
  protected exit: Exit | undefined
  protected current: Run | undefined
  protected child: ChildProcess | undefined
  readonly #mark: number
  #ready = false
  #closing = false
  /** Whether all that it said before its end is in the inbox. */
  #drained = false
  #heard = 0
  #count = 0
  #waiting: Array<Waiting> = []
  readonly #inbox: Array<Said> = []
  #control: Duplex | undefined
  #paths: ReadonlyArray<string> = []
  #sink: Source | undefined
  #said: Buffer = Buffer.alloc(0)

  constructor(
    protected readonly agent: Agent,
    readonly name: string,
    readonly language: Language,
    protected readonly cwd: string,
    env: Env
  ) {
    this.env = { ...agent.env, ...env }
    this.#mark = agent.marks.next()
    agent.contexts.set(name, this)
  }

  /** Starts the interpreter; to be called once. */
  open(): void {
    const failure = this.agent.checkDirectory(this.cwd) ?? this.#launch()
    if (failure !== undefined) {
      this.#failed(failure)
    }
  }

  /** Starts the interpreter by `execute`. */
  protected abstract start(): void

  protected makeDecoder(handlers: DecoderHandlers): Decoder {
    return makeFrameDecoder(handlers)
  }

  #launch(): StartFailure | undefined {
    try {
      this.start()
      return undefined
    } catch (error) {
      return error instanceof LanguageMissing
        ? { code: "language_unavailable", field: "language", message: error.message }
        : startFailure(error, `The interpreter for ${this.language}`)
    }
  }

  #failed(failure: StartFailure): void {
    this.agent.contexts.delete(this.name)
    this.agent.link.send({ ...failure, ev: "context.failed", ctx: this.name })
    for (const { message } of this.#waiting.splice(0)) {
      this.#refuse(message.run, failure)
    }
  }

  protected program(name: string): string {
    const path = findProgram(name, this.env)
    if (path === undefined) {
      throw new LanguageMissing(`There is no ${name} in the sandbox, which ${this.language} needs.`)
    }
    return path
  }

  /**
   * Starts an interpreter that is a program. Its descriptor 3 is the control socket; what it prints outside of runs is
   * kept for a diagnosis only.
   */
  protected execute(
    args: ReadonlyArray<string>,
    env: Env,
    stdio: { readonly input: "pipe" | "ignore"; readonly others?: ReadonlyArray<"pipe"> }
  ): void {
    const { source, writer } = this.agent.fifos.pipe()
    const all: StdioOptions = [stdio.input, writer, writer, "pipe", ...stdio.others ?? []]
    let child: ChildProcess | undefined
    try {
      child = this.agent.start(
        { arguments: args, env, cwd: this.cwd, stdio: all, mark: this.#mark },
        (error) => {
          source.close()
          this.#failed(startFailure(error, `The interpreter for ${this.language}`))
        }
      )
    } catch (error) {
      source.close()
      throw error
    } finally {
      Fs.closeSync(writer)
    }
    if (child === undefined) {
      return
    }
    this.child = child
    this.pid = child.pid ?? 0
    this.#sink = source
    source.drain((data) => {
      this.#said = tailOf(this.#said, data, TAIL)
    })
    child.once("exit", (exitCode, signal) => this.exited(exitOf(exitCode, signal)))
    this.#connect(child.stdio[3])
  }

  // ---- the control socket -------------------------------------------------------------------------------------------

  #connect(control: unknown): void {
    if (!(control instanceof Duplex)) {
      throw new Error("no control socket")
    }
    this.#control = control
    const decoder = this.makeDecoder({
      onMessage: (header, blob) => {
        // A view of what was read would keep all of it.
        this.#inbox.push({ header, blob: Buffer.from(blob) })
      },
      onViolation: () => this.#lost()
    })
    control.on("data", (data: Buffer) => {
      this.#heard += 1
      decoder.push(data)
      this.advance()
    })
    control.on("error", () => this.#lost())
    control.on("close", () => this.#lost())
    control.on("end", () => this.#lost())
  }

  /** It closed its end, or it does not speak the protocol: either way it is of no use any more. */
  #lost(): void {
    this.#disconnect()
    if (this.exit === undefined) {
      this.endProcesses()
    }
  }

  #disconnect(): void {
    const control = this.#control
    this.#control = undefined
    control?.destroy()
  }

  /** Reads on, or not. */
  watch(): void {
    // What came in waits for output before it: reading on would only pile it up here.
    if (this.exit === undefined && (this.#inbox.length > 0 || this.agent.link.congested)) {
      this.#control?.pause()
    } else {
      this.#control?.resume()
    }
  }

  /** Queues bytes for the interpreter. */
  protected post(data: Uint8Array): void {
    this.#control?.write(data)
  }

  // ---- runs ---------------------------------------------------------------------------------------------------------

  /** A run: it starts now, or when those before it are over. */
  run(message: RunMessage, code: Buffer): void {
    this.agent.jobs.set(message.run, this)
    this.#waiting.push({ message, code: Buffer.from(code), credit: message.credit })
    this.#nextRun()
  }

  #nextRun(): void {
    while (this.#ready && this.current === undefined && this.exit === undefined) {
      const next = this.#waiting.shift()
      if (next === undefined) {
        return
      }
      try {
        this.#begin(next)
      } catch (error) {
        this.#refuse(next.message.run, startFailure(error, "The code"))
      }
    }
  }

  #refuse(run: number, failure: StartFailure): void {
    this.agent.jobs.delete(run)
    this.agent.link.send({ ...failure, ev: "refused", run })
  }

  /** Credit for a run that has not begun. */
  creditWaiting(run: number, bytes: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.message.run === run) {
        waiting.credit += bytes
      }
    }
  }

  /** Makes the FIFOs and tells the interpreter to run. */
  #begin({ code, credit, message }: Waiting): void {
    const { fifos } = this.agent
    const stdout = fifos.named()
    let stderr
    try {
      stderr = fifos.named()
    } catch (error) {
      stdout.source.close()
      fifos.remove(stdout.path)
      throw error
    }
    this.#count += 1
    this.#paths = [stdout.path, stderr.path]
    const sources = new Map<StreamNumber, Source>([[1, stdout.source], [2, stderr.source]])
    const keepTail = this.language !== "bash"
    this.current = new Run(this.agent, message.run, credit, sources, { keepTail })
    this.postRun(message.run, message.env, { stdout: stdout.path, stderr: stderr.path, count: this.#count }, code)
  }

  protected postRun(
    run: number,
    env: Env,
    how: { readonly stdout: string; readonly stderr: string; readonly count: number },
    code: Buffer
  ): void {
    this.post(encodeFrame({ op: "run", run, env, ...how }, code))
  }

  // ---- what the interpreter says ------------------------------------------------------------------------------------

  /** Handles what came in, up to the first message that has to wait for output. */
  protected advance(): void {
    while (this.current?.held !== true) {
      const said = this.#inbox.shift()
      if (said === undefined) {
        break
      }
      this.handle(said.header, said.blob)
    }
    if (this.#drained && this.#inbox.length === 0) {
      this.#bury()
    }
    this.watch()
  }

  protected handle(header: Header, blob: Buffer): void {
    const event = header["ev"]
    if (event === "ready") {
      if (!this.#ready) {
        this.#ready = true
        this.agent.link.send({ ev: "context.ready", ctx: this.name, pid: this.pid })
        this.#nextRun()
      }
      return
    }
    const run = this.current
    if (run === undefined || header["run"] !== run.number) {
      return
    }
    if (event === "result" || event === "error") {
      run.afterOutput(() => {
        if (run.spend(blob.length)) {
          run.say({ ev: event }, blob)
        }
        this.#later()
      }, true)
      // Its program goes on printing only now: what it prints from here on comes after this result.
      const ticket = header["sync"]
      if (typeof ticket === "number" && Number.isInteger(ticket)) {
        if ((this.#control?.writableLength ?? 0) > MAX_KERNEL_HEADER) {
          this.endProcesses()
        } else {
          this.post(encodeFrame({ op: "continue", sync: ticket }))
        }
      }
    } else if (event === "done") {
      const exitCode = header["exitCode"]
      this.#finish(
        typeof exitCode === "number" && Number.isInteger(exitCode) && exitCode >= 0 && exitCode <= 255
          ? exitCode
          : undefined
      )
    }
  }

  /** Goes on after a barrier, unless the caller is still at it. */
  #later(): void {
    if (this.#inbox.length > 0 || this.exit !== undefined) {
      setImmediate(() => this.advance())
    } else {
      this.watch()
    }
  }

  /** The run is done. `exited`: and its interpreter with it, so that the next run needs another. */
  #finish(exitCode: number | undefined, exited = false): void {
    const run = this.current
    if (run === undefined) {
      return
    }
    const duration = run.duration()
    const count = this.#count
    run.afterOutput(() => {
      this.#forgetRun()
      run.end({
        ev: "done",
        duration,
        count,
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(exited ? { exited } : {})
      })
      this.#nextRun()
      this.#later()
    })
  }

  #forgetRun(): void {
    if (this.current !== undefined) {
      this.agent.jobs.delete(this.current.number)
      this.current = undefined
      this.#paths.forEach((path) => this.agent.fifos.remove(path))
    }
  }

  // ---- its end ------------------------------------------------------------------------------------------------------

  /** SIGINT to the group, when it is that run that goes on. */
  interrupt(run: number): void {
    if (this.current?.number === run && this.exit === undefined) {
      this.signalInterrupt(run)
    }
  }

  protected signalInterrupt(_run: number): void {
    killGroup(this.pid, "SIGINT")
  }

  kill(run: number): void {
    if (this.current?.number === run) {
      this.endProcesses()
      this.current.abandon()
      return
    }
    const left = this.#waiting.filter(({ message }) => message.run !== run)
    if (left.length < this.#waiting.length) {
      this.#waiting = left
      this.#refuse(run, { code: "start_failed", message: "The run was ended before it began." })
    }
  }

  protected endProcesses(): void {
    if (this.exit === undefined && this.pid !== 0) {
      killGroup(this.pid, "SIGKILL")
    }
    killAll((mark) => mark === this.#mark, this.exit === undefined && this.pid !== 0 ? [this.pid] : [])
  }

  close(): void {
    this.#closing = true
    this.endProcesses()
    this.current?.abandon()
  }

  protected exited(exit: Exit): void {
    this.exit = exit
    this.endProcesses()
    this.#control?.resume()
    this.#drain(this.#heard, QUIET_ROUNDS)
  }

  /** Whatever it said before its end still counts: it is there already, but Node may not have read it. */
  #drain(heard: number, rounds: number): void {
    if (this.#control !== undefined && rounds > 0) {
      setImmediate(() => this.#drain(this.#heard, heard === this.#heard ? rounds - 1 : QUIET_ROUNDS))
      return
    }
    this.#disconnect()
    this.#drained = true
    this.advance()
  }

  #outOfMemory(): boolean {
    const said = Buffer.concat([this.#said, this.current?.tail ?? Buffer.alloc(0)])
    return this.language !== "bash" && said.includes(OUT_OF_MEMORY)
  }

  /** The exit status with which a run is `done` though its interpreter is gone; none for a death. */
  protected endedByItself(_exit: Exit): number | undefined {
    return undefined
  }

  /** The process is gone and all that it said is handled: says so. */
  #bury(): void {
    const exit = this.exit
    const run = this.current
    if (exit === undefined || run?.held === true) {
      return
    }
    this.#sink?.catchUp()
    if (run !== undefined) {
      const status = this.endedByItself(exit)
      if (status !== undefined) {
        this.#finish(status, true)
        return
      }
      run.afterOutput(() => {
        const outOfMemory = this.#outOfMemory()
        this.#forgetRun()
        run.end({ ev: "died", ...exit, ...(outOfMemory ? { outOfMemory } : {}) })
        this.#later()
      })
      return
    }
    if (this.agent.contexts.get(this.name) !== this) {
      return
    }
    this.agent.contexts.delete(this.name)
    for (const { message } of this.#waiting.splice(0)) {
      this.#refuse(message.run, {
        code: "context_not_found",
        message: "The interpreter of this context ended before the code was started."
      })
    }
    this.agent.link.send(
      this.#ready || this.#closing
        ? { ev: "context.exit", ctx: this.name, ...exit }
        : { ev: "context.failed", ctx: this.name, code: "start_failed", message: this.#diagnosis(exit) }
    )
  }

  #diagnosis({ exitCode, signal }: Exit): string {
    const how = signal ?? `exit status ${exitCode ?? "unknown"}`
    const said = this.#said.toString("utf8").trim().slice(-2000)
    const text = `The interpreter for ${this.language} ended before it was ready (${how}).`
    return said === "" ? text : `${text}\n${said}`
  }
}
