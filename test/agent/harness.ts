/**
 * Starts the real agent behind bubblewrap and speaks its protocol, message by message.
 */
import { describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import { Context, Effect, Either, Schema } from "effect"
import { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Duplex } from "node:stream"
import { assets } from "../../src/agent/Assets.js"
import type { EngineMessage, ProcessRequest } from "../../src/agent/Protocol.js"
import { AgentMessage, MAX_BLOB_BYTES, MAX_HEADER_BYTES, OUTPUT_WINDOW } from "../../src/agent/Protocol.js"
import type { Language } from "../../src/CodeContext.js"
import { ErrorInfo } from "../../src/Execution.js"
import * as AgentProgram from "../../src/isolation/AgentProgram.js"
import { Result } from "../../src/Result.js"

const WAIT_MS = 20_000

/** As root, the sandbox is somebody else, as it is in the product: limits and rights do not bind root. */
const user = process.getuid?.() === 0 ? { uid: 231_072, gid: 231_072 } : {}

/** Used when a message is not decodable: the test fails with it. */
const decode = Schema.decodeUnknownEither(AgentMessage)
const decodeResult = Schema.decodeUnknownSync(Schema.parseJson(Result))
const decodeError = Schema.decodeUnknownSync(Schema.parseJson(ErrorInfo))

export interface Received {
  readonly message: AgentMessage
  readonly blob: Buffer
}

type Terminal = Extract<AgentMessage, { readonly ev: "done" | "died" | "refused" }>

export interface Outcome {
  readonly stdout: Buffer
  readonly stderr: Buffer
  readonly results: ReadonlyArray<Result>
  readonly errors: ReadonlyArray<ErrorInfo>
  readonly end: Terminal
  /** What came, in order: `1:text` and `2:text` for output, `result:text`, `error:name`. */
  readonly order: ReadonlyArray<string>
}

/** The files of `/opt/sandbox`. */
const install = (folder: string, files: Readonly<Record<string, string>>): void => {
  for (const [name, text] of Object.entries({ ...assets, ...files })) {
    Fs.writeFileSync(Path.join(folder, name), text)
  }
}

/** The agent that a test is about. */
export class AgentUnderTest extends Context.Reference<AgentUnderTest>()("test/agent/AgentUnderTest", {
  defaultValue: (): AgentProgram.AgentKind => "python"
}) {}

type Test = <E>(name: string, test: () => Effect.Effect<void, E, Scope.Scope>, timeout?: number) => void

interface Tests {
  readonly scoped: Test
  readonly scopedLive: Test
}

/**
 * A block of tests that hold for the agent, whatever it is written in: each is made with both.
 */
export const describeAgents = (name: string, body: (it: Tests, agent: AgentProgram.AgentKind) => void): void => {
  for (const agent of ["python", "node"] as const) {
    describe(`${name} (the agent in ${agent})`, () =>
      body({
        scoped: (name, test, timeout) =>
          it.scoped(name, () => Effect.provideService(test(), AgentUnderTest, agent), timeout),
        scopedLive: (name, test, timeout) =>
          it.scopedLive(name, () => Effect.provideService(test(), AgentUnderTest, agent), timeout)
      }, agent))
  }
}

/** What starts it, with the interpreters that this machine has. */
const commandOf = (kind: AgentProgram.AgentKind, python = "/usr/bin/python3"): ReadonlyArray<string> => {
  const program = AgentProgram.find({
    python: [{ path: python, version: "3" }],
    node: [{ path: process.execPath, version: process.versions.node }],
    bash: []
  }, { folder: "/opt/sandbox", kind, first: true })
  if (program === undefined) throw new Error(`no agent in ${kind}`)
  return [program.command, ...program.args]
}

const bindings = (workspace: string, folder: string): ReadonlyArray<string> => [
  ...[
    "--as-pid-1",
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-net",
    "--unshare-uts",
    "--die-with-parent"
  ],
  ...[
    "--new-session",
    "--clearenv",
    "--setenv",
    "PATH",
    "/usr/bin:/bin",
    "--uid",
    "1000",
    "--gid",
    "1000",
    "--cap-drop",
    "ALL"
  ],
  ...["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"],
  ...["bin", "sbin", "lib", "lib64"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]),
  ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run/sandbox"],
  ...["--bind", workspace, "/workspace", "--ro-bind", folder, "/opt/sandbox", "--chdir", "/workspace"]
]

export const baseEnv = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/workspace", LANG: "C.UTF-8" }

/**
 * A running agent. `wait` gives the first message that fits, whenever it comes, and takes it out.
 */
export class Agent {
  readonly diagnostics: Array<string> = []
  readonly #messages: Array<Received> = []
  readonly #waiting = new Set<() => void>()
  #pending: Buffer = Buffer.alloc(0)
  #next = 1
  #failure: Error | undefined
  ended = false

  constructor(readonly stream: Duplex, readonly workspace: string, readonly pid: number) {
    stream.on("data", (bytes: Buffer) => this.#receive(bytes))
    stream.on("error", () => {})
    stream.on("close", () => {
      this.ended = true
      this.#wake()
    })
  }

  #wake(): void {
    for (const check of [...this.#waiting]) check()
  }

  #receive(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    while (this.#pending.length >= 8) {
      const header = this.#pending.readUInt32LE(0)
      const blob = this.#pending.readUInt32LE(4)
      if (header > MAX_HEADER_BYTES || blob > MAX_BLOB_BYTES) {
        this.#failure = new Error(`a frame of ${header} + ${blob} bytes`)
        break
      }
      if (this.#pending.length < 8 + header + blob) break
      const decoded = decode(JSON.parse(this.#pending.toString("utf8", 8, 8 + header)))
      if (Either.isLeft(decoded)) {
        this.#failure = new Error(`not in the protocol: ${this.#pending.toString("utf8", 8, 8 + header)}`)
        break
      }
      this.#messages.push({
        message: decoded.right,
        blob: Buffer.from(this.#pending.subarray(8 + header, 8 + header + blob))
      })
      this.#pending = this.#pending.subarray(8 + header + blob)
    }
    this.#wake()
  }

  /** A number for a run or a request. */
  number(): number {
    return this.#next++
  }

  send(message: EngineMessage, blob: string | Uint8Array = ""): void {
    const body = Buffer.from(blob)
    const header = Buffer.from(JSON.stringify(message))
    const lengths = Buffer.alloc(8)
    lengths.writeUInt32LE(header.length, 0)
    lengths.writeUInt32LE(body.length, 4)
    this.stream.write(Buffer.concat([lengths, header, body]))
  }

  /** Messages that have come and nobody has waited for. */
  get unread(): ReadonlyArray<Received> {
    return this.#messages
  }

  wait(fits: (received: Received) => boolean): Effect.Effect<Received> {
    return Effect.async<Received>((resume) => {
      const finish = (outcome: Effect.Effect<Received>) => {
        clearTimeout(timer)
        this.#waiting.delete(check)
        resume(outcome)
      }
      const check = () => {
        const index = this.#messages.findIndex(fits)
        const found = this.#messages[index]
        if (found !== undefined) {
          this.#messages.splice(index, 1)
          finish(Effect.succeed(found))
        } else if (this.#failure !== undefined) {
          finish(Effect.die(this.#failure))
        } else if (this.ended) {
          finish(Effect.die(new Error(`the agent ended: ${this.diagnostics.join("")}`)))
        }
      }
      const timer = setTimeout(
        () => finish(Effect.die(new Error(`nothing came; unread: ${this.#messages.map((m) => m.message.ev).join()}`))),
        WAIT_MS
      )
      this.#waiting.add(check)
      check()
    })
  }

  /** Everything that is said about a run, with credit for all of it. */
  outcome(run: number, credit = true): Effect.Effect<Outcome> {
    return Effect.gen(this, function*() {
      const parts: { readonly 1: Array<Buffer>; readonly 2: Array<Buffer> } = { 1: [], 2: [] }
      const results: Array<Result> = []
      const errors: Array<ErrorInfo> = []
      const order: Array<string> = []
      while (true) {
        const { blob, message } = yield* this.wait(({ message }) => "run" in message && message.run === run)
        if (credit && (message.ev === "output" || message.ev === "result" || message.ev === "error")) {
          this.send({ op: "credit", run, bytes: blob.length })
        }
        switch (message.ev) {
          case "output": {
            parts[message.fd].push(blob)
            if (blob.length < 1000) order.push(`${message.fd}:${blob.toString()}`)
            break
          }
          case "result": {
            const result = decodeResult(blob.toString("utf8"))
            results.push(result)
            order.push(`result:${result.text}`)
            break
          }
          case "error": {
            const error = decodeError(blob.toString("utf8"))
            errors.push(error)
            order.push(`error:${error.name}`)
            break
          }
          case "started":
          case "stdin.credit":
          case "stdin.closed":
            break
          case "done":
          case "died":
          case "refused":
            return {
              stdout: Buffer.concat(parts[1]),
              stderr: Buffer.concat(parts[2]),
              results,
              errors,
              order,
              end: message
            }
          default:
            return yield* Effect.die(new Error(`${message.ev} for a run`))
        }
      }
    })
  }

  start(
    ctx: string,
    code: string | Uint8Array,
    options: { readonly env?: Record<string, string>; readonly credit?: number } = {}
  ): number {
    const run = this.number()
    this.send({ op: "run", run, ctx, env: options.env ?? {}, credit: options.credit ?? OUTPUT_WINDOW }, code)
    return run
  }

  run(
    ctx: string,
    code: string | Uint8Array,
    options: { readonly env?: Record<string, string> } = {}
  ): Effect.Effect<Outcome> {
    return Effect.suspend(() => this.outcome(this.start(ctx, code, options)))
  }

  startCommand(
    command: string | Uint8Array,
    options: {
      readonly env?: Record<string, string>
      readonly merge?: boolean
      readonly cwd?: string
      readonly credit?: number
      readonly process?: ProcessRequest
    } = {}
  ): number {
    const run = this.number()
    this.send({
      op: "command",
      run,
      cwd: options.cwd ?? "/workspace",
      env: options.env ?? {},
      merge: options.merge ?? false,
      credit: options.credit ?? OUTPUT_WINDOW,
      ...(options.process === undefined ? {} : { process: options.process })
    }, command)
    return run
  }

  command(...options: Parameters<Agent["startCommand"]>): Effect.Effect<Outcome> {
    return Effect.suspend(() => this.outcome(this.startCommand(...options)))
  }

  open(
    ctx: string,
    language: Language,
    { cwd = "/workspace", env = {}, ...options }: {
      readonly env?: Record<string, string>
      readonly cwd?: string
      readonly rehearse?: boolean
    } = {}
  ): Effect.Effect<AgentMessage> {
    return Effect.suspend(() => {
      this.send({ op: "context.open", ctx, language, cwd, env, ...options })
      return Effect.map(
        this.wait(({ message }) =>
          (message.ev === "context.ready" || message.ev === "context.failed") && message.ctx === ctx
        ),
        ({ message }) => message
      )
    })
  }

  exit(ctx: string): Effect.Effect<AgentMessage> {
    return Effect.map(
      this.wait(({ message }) => message.ev === "context.exit" && message.ctx === ctx),
      ({ message }) => message
    )
  }

  /** The answer to a request about a file. */
  answer(id: number): Effect.Effect<Received> {
    const answers = new Set<string>(["reply", "failed", "file.written", "file.contents"])
    return this.wait(({ message }) => answers.has(message.ev) && "id" in message && message.id === id)
  }

  /** The processes of the sandbox whose command line holds a text, as seen from inside. */
  processes(text: string): Effect.Effect<number> {
    return Effect.map(
      this.command(
        "n=0; for d in /proc/[0-9]*; do [ $d = /proc/$$ ] && continue; " +
          `tr '\\0' ' ' < $d/cmdline 2>/dev/null | grep -q -- "$TEXT" && n=$((n+1)); done; echo $n`,
        { env: { TEXT: text } }
      ),
      ({ stdout }) => Number(stdout.toString())
    )
  }
}

/**
 * An agent in a sandbox of its own; it ends with the scope.
 */
export const startAgent = (
  options: {
    readonly limits?: Extract<EngineMessage, { readonly op: "configure" }>["limits"]
    readonly env?: Record<string, string>
    /** More files for `/opt/sandbox`, or others, by name. */
    readonly files?: Readonly<Record<string, string>>
    /** Another Python, as the sandbox sees it. */
    readonly python?: string
    /** Makes more of what is `/opt/sandbox` in the sandbox. */
    readonly prepare?: (folder: string) => void
  } = {}
) =>
  Effect.gen(function*() {
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "agent-test-"))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    )
    const workspace = Path.join(root, "workspace")
    const folder = Path.join(root, "sandbox")
    Fs.chmodSync(root, 0o755)
    for (const path of [workspace, folder]) Fs.mkdirSync(path)
    if (user.uid !== undefined) Fs.chownSync(workspace, user.uid, user.gid)
    install(folder, options.files ?? {})
    options.prepare?.(folder)
    const kind = yield* AgentUnderTest
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(
          "bwrap",
          [...bindings(workspace, folder), ...commandOf(kind, options.python)],
          { stdio: ["ignore", "ignore", "pipe", "pipe"], cwd: "/", env: { PATH: "/usr/bin:/bin" }, ...user }
        )
        const stream = child.stdio[3]
        if (!(stream instanceof Duplex) || child.pid === undefined) {
          throw new Error("the agent did not start")
        }
        const agent = new Agent(stream, workspace, child.pid)
        child.stderr?.on("data", (bytes: Buffer) => agent.diagnostics.push(bytes.toString()))
        return { agent, child }
      }),
      ({ agent, child }) =>
        Effect.async<void>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          agent.stream.destroy()
        })
    )
    yield* agent.agent.wait(({ message }) => message.ev === "ready")
    agent.agent.send({ op: "configure", env: { ...baseEnv, ...options.env }, limits: options.limits ?? {} })
    return agent.agent
  })

/** An agent with one context of a language, called `c`. */
export const startContext = (language: Language, options: Parameters<Agent["open"]>[2] = {}) =>
  Effect.gen(function*() {
    const agent = yield* startAgent()
    yield* agent.open("c", language, options)
    return agent
  })
