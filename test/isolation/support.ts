/**
 * What the tests of isolation share: sandboxes with a stand-in for the agent that evaluates Python, and the engine in a
 * process of its own.
 */
import { Duration, Effect, Schema, type Scope } from "effect"
import { execFileSync, spawn, type StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Duplex } from "node:stream"
import { type AgentProcess, Isolation, type LaunchOptions } from "../../src/isolation/Isolation.js"
import { bundle } from "../support/bundle.js"

export const isRoot = process.geteuid?.() === 0

/** Answers each line of JSON with a line of JSON: the value of a Python expression, or what it raised. */
const STAND_IN = `
import ctypes, json, os, signal, socket, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
channel = os.fdopen(3, "r+b", buffering=0)
scope = dict(globals())
while line := channel.readline():
    try:
        code, expression = json.loads(line)
        exec(code, scope)
        answer = {"value": eval(expression, scope)}
    except BaseException as error:
        answer = {"error": type(error).__name__ + ": " + str(error)}
    channel.write(json.dumps(answer).encode() + b"\\n")
`

export const RESOURCES: LaunchOptions["resources"] = {
  memoryMb: 128,
  cpus: 1,
  processes: 40,
  tmpMb: 16,
  openFiles: 256,
  fileSizeMb: 16
}

/** A folder that goes with the scope, and that every user may pass through. */
export const makeFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "isolation-test-"))
    Fs.chmodSync(path, 0o711)
    return path
  }),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

export interface Sandbox extends AgentProcess {
  readonly workspace: string
  /** Runs Python statements and gives the value of the expression after them; dies with what they raise. */
  readonly evaluate: (expression: string, code?: string) => Effect.Effect<unknown>
}

const line = (stream: Duplex) =>
  Effect.async<string>((resume) => {
    let text = ""
    const onData = (chunk: Buffer) => {
      text += chunk.toString("utf8")
      if (text.endsWith("\n")) done(Effect.succeed(text))
    }
    const onClose = () => done(Effect.die(new Error("the agent ended without an answer")))
    const done = (answer: Effect.Effect<string>) => {
      stream.off("data", onData)
      stream.off("close", onClose)
      resume(answer)
    }
    stream.on("data", onData)
    stream.once("close", onClose)
  })

export const writeAgent = (folder: string, source: string = STAND_IN): string => {
  const agent = Path.join(folder, "agent")
  Fs.mkdirSync(agent, { recursive: true })
  Fs.writeFileSync(Path.join(agent, "agent.py"), source)
  Fs.chmodSync(agent, 0o755)
  Fs.chmodSync(Path.join(agent, "agent.py"), 0o644)
  return agent
}

const Answer = Schema.parseJson(Schema.Struct({
  value: Schema.optional(Schema.Unknown),
  error: Schema.optional(Schema.String)
}))

/** A sandbox with the stand-in agent. */
export const makeSandbox = (
  resources: Partial<LaunchOptions["resources"]> = {}
): Effect.Effect<Sandbox, never, Isolation | Scope.Scope> =>
  Effect.gen(function*() {
    const isolation = yield* Isolation
    const folder = yield* makeFolder
    const agentDirectory = writeAgent(folder)
    const workspace = Path.join(folder, "workspace")
    yield* isolation.makeWorkspace(workspace)
    const agent = yield* isolation.launch({
      sandboxId: "test",
      workspace,
      agentDirectory,
      resources: { ...RESOURCES, ...resources }
    })
    return {
      ...agent,
      workspace,
      evaluate: (expression: string, code = "") =>
        Effect.gen(function*() {
          const answered = yield* Effect.zipRight(
            Effect.sync(() => agent.stream.write(`${JSON.stringify([code, expression])}\n`)),
            line(agent.stream)
          )
          const answer = yield* Schema.decodeUnknown(Answer)(answered)
          return answer.error === undefined ? answer.value : yield* Effect.die(new Error(answer.error))
        }).pipe(Effect.orDie)
    }
  }).pipe(Effect.orDie)

/** Whether a process is there, and more of it than its exit status. */
export const isAlive = (pid: string): boolean => {
  try {
    return !/\) [ZX] /.test(Fs.readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

/** The processes of this host in a process namespace (`pid:[…]`). */
export const processesIn = (namespace: string): ReadonlyArray<string> =>
  Fs.readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && Fs.readlinkSync(`/proc/${name}/ns/pid`) === namespace && isAlive(name)
    } catch {
      return false
    }
  })

/** Waits until something holds; the test's own limit of time is the end of it. */
export const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.repeat(Effect.delay(Effect.sync(holds), Duration.millis(20)), { until: (held) => held }).pipe(Effect.asVoid)

/** All control groups of engines. */
export const engineGroups = (): ReadonlyArray<string> =>
  execFileSync("find", ["/sys/fs/cgroup", "-type", "d", "-name", "sandbox-sdk-*"], { encoding: "utf8" })
    .split("\n").filter((path) => path !== "")

/** The program of `launcher.ts` as one file that any user can run. */
export const bundleLauncher = (folder: string): Promise<string> =>
  bundle(Path.join(import.meta.dirname, "launcher.ts"), folder)

export interface Launched {
  readonly pid: number
  /** The first line of JSON that it prints. */
  readonly said: Promise<unknown>
  /** All that it has printed so far. */
  readonly printed: () => string
  readonly kill: () => void
  readonly ended: Promise<number | null>
}

/** Runs the launcher as a program of its own. */
export const runLauncher = (
  launcher: string,
  args: ReadonlyArray<string>,
  options: { readonly uid?: number; readonly extra?: StdioOptions; readonly env?: Record<string, string> } = {}
): Launched => {
  const { env, extra = [], uid } = options
  const child = spawn(process.execPath, [launcher, ...args], {
    cwd: "/",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", ...env },
    stdio: ["ignore", "pipe", "pipe", ...(typeof extra === "string" ? [] : extra)],
    ...(uid === undefined ? {} : { uid, gid: uid })
  })
  let text = ""
  let errors = ""
  child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString("utf8")))
  const said = new Promise<unknown>((resolve, reject) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8")
      // Between lines of the log.
      const json = text.split("\n").slice(0, -1).find((line) => /^[[{]/.test(line))
      if (json !== undefined) resolve(JSON.parse(json))
    })
    child.once("close", () => reject(new Error(`the launcher said nothing: ${errors}`)))
  })
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)))
  said.catch(() => {})
  return { pid: child.pid ?? 0, said, ended, printed: () => text, kill: () => child.kill("SIGKILL") }
}
