/**
 * The built command in processes of its own, with real pipes.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { chmod, cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"

const built = Path.resolve(import.meta.dirname, "../../dist/cli")

export interface Ended {
  readonly stdout: Buffer
  readonly stderr: string
  readonly status: number | null
}

export interface Started {
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<Ended>
  /** Waits until standard output has this, and gives all of it. */
  readonly says: (pattern: RegExp) => Promise<string>
  /** The same of standard error. */
  readonly complains: (pattern: RegExp) => Promise<string>
}

export interface Cli {
  /** A folder of the test's own, where the command runs. */
  readonly folder: string
  /** The script. */
  readonly program: string
  readonly start: (args: ReadonlyArray<string>, env?: Record<string, string>) => Started
  /** Runs to the end. */
  readonly run: (
    args: ReadonlyArray<string>,
    options?: { readonly input?: string | Uint8Array; readonly env?: Record<string, string> }
  ) => Promise<Ended>
  /** Runs another program the same way. */
  readonly shell: (line: string) => Promise<Ended>
  readonly remove: () => Promise<void>
}

const children = new Set<ChildProcessWithoutNullStreams>()

const watch = (child: ChildProcessWithoutNullStreams): Started => {
  children.add(child)
  const out: Array<Buffer> = []
  const err: Array<Buffer> = []
  const waiting = new Set<() => void>()
  const notify = () => waiting.forEach((look) => look())
  child.stdout.on("data", (bytes: Buffer) => {
    out.push(bytes)
    notify()
  })
  child.stderr.on("data", (bytes: Buffer) => {
    err.push(bytes)
    notify()
  })
  child.stdin.on("error", () => {})
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (status) => {
      children.delete(child)
      resolve({ stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString(), status })
      notify()
    })
  )
  const finds = (pieces: ReadonlyArray<Buffer>) => (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const text = Buffer.concat(pieces).toString()
        if (pattern.test(text)) {
          waiting.delete(look)
          resolve(text)
        } else if (child.exitCode !== null || child.signalCode !== null) {
          waiting.delete(look)
          reject(new Error(`It ended without ${pattern}: ${text}\n${Buffer.concat(err).toString()}`))
        }
      }
      waiting.add(look)
      look()
    })
  return { child, ended, says: finds(out), complains: finds(err) }
}

/** The build is copied: another one may be made meanwhile. */
export const install = async (): Promise<Cli> => {
  if (!existsSync(Path.join(built, "sandbox.js"))) {
    throw new Error("There is no build of the command line: run `npm run build` first.")
  }
  const folder = await mkdtemp(Path.join(tmpdir(), "sandbox-sdk-cli-"))
  // The users that sandboxes run as pass through it.
  await chmod(folder, 0o755)
  await cp(built, Path.join(folder, "cli"), { recursive: true })
  await writeFile(Path.join(folder, "package.json"), JSON.stringify({ type: "module" }))
  const program = Path.join(folder, "cli/sandbox.js")
  const environment = (env: Record<string, string> = {}) => ({
    PATH: process.env.PATH,
    HOME: folder,
    ...env
  })
  const start: Cli["start"] = (args, env) =>
    watch(spawn(process.execPath, [program, ...args], { cwd: folder, env: environment(env) }))
  return {
    folder,
    program,
    start,
    run: (args, { env, input = "" } = {}) => {
      const { child, ended } = start(args, env)
      child.stdin.end(input)
      return ended
    },
    shell: (line) => {
      const { child, ended } = watch(
        spawn("bash", ["-c", line], { cwd: folder, env: environment({ SANDBOX: `${process.execPath} ${program}` }) })
      )
      child.stdin.end()
      return ended
    },
    remove: async () => {
      // Only a test that failed has left some.
      children.forEach((child) => child.kill("SIGKILL"))
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** Whether a process with this among its arguments runs on this machine. */
export const isRunning = (argument: string): boolean =>
  readdirSync("/proc").some((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(argument)
    } catch {
      return false
    }
  })

/** Runs a program on a terminal: types each text once what comes before it has been shown; prints all that was shown. */
const driver = `
import json, os, pty, select, sys, time
argv, steps = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
shown, seen = b"", 0
def more():
    global shown
    try:
        data = os.read(fd, 65536)
    except OSError:
        data = b""
    shown += data
    return bool(data)
def stop(what):
    os.kill(pid, 9)
    sys.exit(what + ": " + repr(shown.decode(errors="replace")))
for expected, typed in steps:
    while expected.encode() not in shown[seen:]:
        if not select.select([fd], [], [], 20)[0]:
            stop("it never showed " + repr(expected))
        if not more():
            stop("it ended without " + repr(expected))
    seen = shown.find(expected.encode(), seen) + len(expected)
    os.write(fd, typed.encode())
while more():
    pass
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

/** Each step is what is waited for, and what is typed then. */
export const onTerminal = async (
  cli: Cli,
  args: ReadonlyArray<string>,
  steps: ReadonlyArray<readonly [string, string]>
): Promise<{ readonly shown: string; readonly stderr: string; readonly status: number | null }> => {
  const { child, ended } = watch(
    spawn("python3", ["-c", driver, JSON.stringify([[process.execPath, cli.program, ...args], steps])], {
      cwd: cli.folder,
      env: { PATH: process.env.PATH, HOME: cli.folder, TERM: "xterm" }
    })
  )
  child.stdin.end()
  const { status, stderr, stdout } = await ended
  return { shown: stdout.toString(), stderr, status }
}
