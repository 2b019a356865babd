/**
 * Container engines that the tests start and end again. None of them outlives this process.
 */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

/**
 * An engine that answers.
 */
export interface Engine {
  /** Where, in the words of `DOCKER_HOST`. */
  readonly address: string
  /** Ends it, unless it was there before. */
  readonly stop: () => Promise<void>
}

/**
 * The path of a program, also of one for root alone.
 */
export const find = (name: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin"].map((folder) => Path.join(folder, name)).find((path) =>
    Fs.existsSync(path)
  )

const START_MS = 30_000
const STOP_MS = 20_000
const ANSWER_MS = 5_000

const answers = (address?: string): boolean =>
  spawnSync("docker", [...address === undefined ? [] : ["--host", address], "version"], {
    stdio: "ignore",
    timeout: ANSWER_MS
  }).status === 0

const isRoot = (): boolean => process.getuid?.() === 0

/** Starts a daemon. Gives it when it answers, and otherwise the last that it has said. */
const start = async (
  command: string,
  args: ReadonlyArray<string>,
  isUp: () => boolean
): Promise<(() => Promise<void>) | string> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sandbox-sdk-engine-"))
  const log = Path.join(folder, "log")
  const output = Fs.openSync(log, "w")
  // It ends with this process, however that ends (prctl(2), PR_SET_PDEATHSIG), and not by the keys of the terminal.
  const daemon = spawn("setpriv", ["--pdeathsig", "TERM", command, ...args], {
    stdio: ["ignore", output, output],
    detached: true,
    // Where a container of Podman runs out of memory, its monitor leaves a file "oom".
    cwd: folder
  })
  const ended = new Promise<void>((resolve) => {
    daemon.once("error", () => resolve())
    daemon.once("exit", () => resolve())
  })
  Fs.closeSync(output)
  const stop = async (): Promise<void> => {
    daemon.kill("SIGTERM")
    const late = setTimeout(() => daemon.kill("SIGKILL"), STOP_MS)
    await ended
    clearTimeout(late)
    Fs.rmSync(folder, { recursive: true, force: true })
  }
  for (const end = Date.now() + START_MS; Date.now() < end && daemon.exitCode === null;) {
    if (isUp()) return stop
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const said = Fs.readFileSync(log, "utf8").trim().split("\n").at(-1) ?? ""
  await stop()
  return said === "" ? `it says nothing for ${START_MS / 1000} s` : said
}

/**
 * The Docker Engine that answers here, or one that is started: without a network, which no container of ours has. Else
 * why there is none.
 */
export const docker = async (): Promise<Engine | string> => {
  const dockerd = find("dockerd")
  const address = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock"
  if (find("docker") === undefined) return "Docker is not installed (apt-get install docker.io)"
  if (answers()) return { address, stop: () => Promise.resolve() }
  if (process.env["DOCKER_HOST"] !== undefined) {
    return `no Docker Engine answers at ${address} (docker version tells why)`
  }
  if (!isRoot()) return "no Docker Engine answers this user (docker version tells why)"
  if (dockerd === undefined) return "Docker is not installed (apt-get install docker.io)"
  const started = await start(
    dockerd,
    ["--bridge", "none", "--iptables=false", "--ip6tables=false"],
    answers
  )
  return typeof started === "string" ? `dockerd does not start: ${started}` : { address, stop: started }
}

/**
 * Podman, at a socket of its own. Else why there is none.
 */
export const podman = async (): Promise<Engine | string> => {
  const program = find("podman")
  if (program === undefined) return "Podman is not installed (apt-get install podman)"
  if (!isRoot()) return "Podman serves only an ordinary user here, which is refused (run this as root)"
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sandbox-sdk-podman-"))
  const address = `unix://${folder}/socket`
  const remove = () => Fs.rmSync(folder, { recursive: true, force: true })
  const started = await start(program, ["system", "service", "--time=0", address], () => answers(address))
  if (typeof started === "string") {
    remove()
    return `Podman does not answer: ${started}`
  }
  return { address, stop: () => started().then(remove) }
}
