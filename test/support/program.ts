/**
 * Programs of this repository, run as a user runs them: in a process of their own, against the build.
 */
import { spawn } from "node:child_process"
import { chmod, mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"

/** The folder of the repository. */
export const root = Path.resolve(import.meta.dirname, "../..")

/** The arguments with which Node runs a TypeScript file. */
export const typescript = (file: string): ReadonlyArray<string> => ["--import", "tsx", file]

/** How a program ended. */
export interface Ended {
  readonly exitCode: number | null
  /** Standard output in the pieces in which it arrived. */
  readonly pieces: ReadonlyArray<string>
  readonly stdout: string
  readonly stderr: string
  /** What engines had left in the folder for temporary files when the program had ended. */
  readonly leftFolders: ReadonlyArray<string>
  /** The processes that were still in a sandbox of the program when it had ended, where control groups tell. */
  readonly leftProcesses: ReadonlyArray<string>
}

/** What is done when a text appears on standard output. */
export interface Reaction {
  readonly on: string
  readonly send: NodeJS.Signals
}

const processesOf = async (engine: number): Promise<ReadonlyArray<string>> => {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name))
  const groups = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "")))
  return pids.filter((_, index) => groups[index]?.includes(`/sandbox-sdk-${engine}-`))
}

/**
 * Runs a program with a folder for temporary files of its own, and waits for its end.
 */
export const run = async (
  command: string,
  args: ReadonlyArray<string>,
  reaction?: Reaction,
  env: Readonly<Record<string, string>> = {}
): Promise<Ended> => {
  const folder = await mkdtemp(Path.join(tmpdir(), "sandbox-sdk-program-"))
  // The users of sandboxes have to pass through.
  await chmod(folder, 0o711)
  const child = spawn(command, args, {
    cwd: root,
    // Where an example draws, it draws there.
    env: { ...process.env, TMPDIR: folder, NO_COLOR: "1", CHART: Path.join(folder, "chart.png"), ...env }
  })
  try {
    const pieces: Array<string> = []
    let stdout = ""
    let stderr = ""
    let sent = false
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      pieces.push(piece)
      stdout += piece
      if (reaction !== undefined && !sent && stdout.includes(reaction.on)) {
        sent = true
        child.kill(reaction.send)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (piece: string) => {
      stderr += piece
    })
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", resolve)
    })
    const leftFolders = (await readdir(folder)).filter((name) => name.startsWith("sandbox-sdk-"))
    const leftProcesses = child.pid === undefined ? [] : await processesOf(child.pid)
    return { exitCode, pieces, stdout, stderr, leftFolders, leftProcesses }
  } finally {
    child.kill("SIGKILL")
    await rm(folder, { recursive: true, force: true })
  }
}
