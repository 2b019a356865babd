/**
 * Drives a real JavaScript kernel process, as the agent does: control socket, interrupt pipe, one pair of FIFOs a run.
 * The environment variable `KERNEL_NODE` names another Node to run it with.
 */
import { buildSync } from "esbuild"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { encodeFrame, FrameReader } from "../../../src/agent/kernels/javascript/framing.js"

export interface KernelResult {
  readonly isMainResult: boolean
  readonly extra: Readonly<Record<string, unknown>>
  readonly [format: string]: unknown
}

export interface KernelError {
  readonly name: string
  readonly value: string
  readonly traceback: string
}

export interface RunResult {
  readonly stdout: Buffer
  readonly stderr: Buffer
  readonly out: string
  readonly err: string
  readonly results: ReadonlyArray<KernelResult>
  readonly error: KernelError | undefined
  /** What came in which order: output lengths are left out. */
  readonly order: ReadonlyArray<string>
  /** Signal or exit code when the kernel died instead. */
  readonly died: string | undefined
  /** Text of the main result. */
  readonly text: unknown
}

let bundle: string | undefined

/** The kernel as it is shipped. */
export const kernelFile = (): string => {
  if (bundle === undefined) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "kernel-javascript-"))
    process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }))
    bundle = path.join(folder, "kernel.cjs")
    buildSync({
      entryPoints: [path.resolve("src/agent/kernels/javascript/main.ts")],
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      minify: true,
      outfile: bundle
    })
  }
  return bundle
}

const parse = (blob: Buffer) => {
  try {
    return JSON.parse(blob.toString())
  } catch {
    throw new Error(`not JSON: ${blob.toString().slice(0, 200)}`)
  }
}

/** Reads what is there, without waiting. */
const drain = (fd: number, into: Array<Buffer>): void => {
  for (;;) {
    const buffer = Buffer.allocUnsafe(1 << 20)
    try {
      const length = fs.readSync(fd, buffer, 0, buffer.length, null)
      if (length === 0) {
        return
      }
      into.push(buffer.subarray(0, length))
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") {
        return
      }
      throw error
    }
  }
}

export interface StartOptions {
  readonly language?: "javascript" | "typescript"
  readonly env?: Readonly<Record<string, string>>
  readonly flags?: ReadonlyArray<string>
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Called once the run has been sent. */
  readonly onSent?: (run: number) => void
  /** Called with all standard output so far, as it arrives. */
  readonly onOutput?: (stdout: Buffer) => void
  /** Reads nothing while it gives true. */
  readonly stalled?: () => boolean
}

export class Kernel {
  readonly folder: string
  readonly workspace: string
  readonly process: ChildProcess
  readonly ready: Promise<void>
  private readonly control: Socket
  private readonly interrupts: number
  private readonly messages: Array<{ readonly header: Readonly<Record<string, unknown>>; readonly blob: Buffer }> = []
  private exited: string | undefined
  private next = 1
  diagnostics = ""

  constructor(options: StartOptions = {}) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "kernel-javascript-"))
    this.workspace = path.join(this.folder, "workspace")
    fs.mkdirSync(this.workspace)
    const pipe = path.join(this.folder, "interrupts")
    execFileSync("mkfifo", [pipe])
    this.interrupts = fs.openSync(pipe, "r+")
    this.process = spawn(process.env["KERNEL_NODE"] ?? process.execPath, [
      "--no-force-async-hooks-checks",
      ...options.flags ?? [],
      kernelFile()
    ], {
      cwd: this.workspace,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: this.workspace,
        SANDBOX_LANGUAGE: options.language ?? "javascript",
        ...options.env
      },
      stdio: ["ignore", "pipe", "pipe", "pipe", this.interrupts],
      detached: true
    })
    const socket = this.process.stdio[3]
    if (!(socket instanceof Socket)) {
      throw new Error("no control socket")
    }
    this.control = socket
    const reader = new FrameReader()
    let isReady = (): void => {}
    this.ready = new Promise((resolve) => {
      isReady = resolve
    })
    this.control.on("data", (chunk: Buffer) => {
      for (const { blob, header } of reader.push(chunk)) {
        const record: Readonly<Record<string, unknown>> = { ...Object(header) }
        if (record["ev"] === "ready") {
          isReady()
        } else {
          this.messages.push({ header: record, blob })
        }
      }
    })
    this.control.on("error", () => {})
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.diagnostics += chunk.toString()
      })
    }
    this.process.on("exit", (code, signal) => {
      this.exited = signal ?? String(code)
    })
  }

  /** The number that the next run gets. */
  get nextRun(): number {
    return this.next
  }

  /** One byte for the current run, or the number for one run alone. */
  interrupt(run?: number): void {
    fs.writeSync(this.interrupts, run === undefined ? "!" : `${run}\n`)
  }

  /** SIGINT to the process group, as the agent sends it besides. */
  interruptGroup(): void {
    if (this.process.pid !== undefined) {
      process.kill(-this.process.pid, "SIGINT")
    }
  }

  async run(code: string, options: RunOptions = {}): Promise<RunResult> {
    await this.ready
    const run = this.next++
    const files = { out: path.join(this.folder, `${run}.out`), err: path.join(this.folder, `${run}.err`) }
    execFileSync("mkfifo", [files.out, files.err])
    const open = (file: string): number => fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const fds = { out: open(files.out), err: open(files.err) }
    const stdout: Array<Buffer> = []
    const stderr: Array<Buffer> = []
    const results: Array<KernelResult> = []
    const order: Array<string> = []
    let error: KernelError | undefined
    this.control.write(
      encodeFrame({ op: "run", run, count: run, env: options.env ?? {}, stdout: files.out, stderr: files.err }, code)
    )
    options.onSent?.(run)
    const read = (): void => {
      const before = stdout.length
      drain(fds.out, stdout)
      drain(fds.err, stderr)
      if (stdout.length > before) {
        order.push("output")
        options.onOutput?.(Buffer.concat(stdout))
      }
    }
    let over = false
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      const dead = this.exited !== undefined
      if (options.stalled?.() !== true) {
        for (let message = this.messages.shift(); message !== undefined; message = this.messages.shift()) {
          // What was written before a message can be read by now.
          read()
          if (message.header["run"] !== run) {
            throw new Error(`message of run ${String(message.header["run"])} in run ${run}`)
          }
          const ev = String(message.header["ev"])
          order.push(ev)
          if (ev === "result") {
            results.push(parse(message.blob))
            if (message.header["sync"] !== undefined) {
              this.control.write(encodeFrame({ op: "continue", sync: message.header["sync"] }))
            }
          } else if (ev === "error") {
            error = parse(message.blob)
          } else {
            over = true
          }
        }
        if (!over) {
          read()
        }
      }
      if (dead && !over) {
        order.push("died")
        break
      }
    }
    fs.closeSync(fds.out)
    fs.closeSync(fds.err)
    fs.rmSync(files.out, { force: true })
    fs.rmSync(files.err, { force: true })
    const bytes = { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }
    return {
      ...bytes,
      out: bytes.stdout.toString(),
      err: bytes.stderr.toString(),
      results,
      error,
      order,
      died: over ? undefined : this.exited,
      text: results.find((result) => result.isMainResult)?.["text"]
    }
  }

  /** Closes the control socket, as a dying agent does. */
  hangUp(): void {
    this.control.destroy()
  }

  close(): void {
    this.hangUp()
    if (this.exited === undefined && this.process.pid !== undefined) {
      try {
        process.kill(-this.process.pid, "SIGKILL")
      } catch {
        // gone by itself
      }
    }
    fs.closeSync(this.interrupts)
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}
