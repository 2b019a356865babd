/**
 * `npm run test:docker`: the suites that every isolation must pass, in containers of the Docker Engine of this machine. One
 * that is installed and does not run is started, where this is root, and ended afterwards. The images are made here, of what
 * is installed. Where there is no engine it says so in one line and ends with 1.
 *
 * What follows `--` goes to vitest: `npm run test:docker -- conformance`.
 */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { makeImages } from "./images.js"

const answers = (): boolean => spawnSync("docker", ["version"], { stdio: "ignore" }).status === 0

const find = (name: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin"].map((folder) => Path.join(folder, name)).find((path) =>
    Fs.existsSync(path)
  )

const START_MS = 30_000

/** Starts an engine and gives how to end it; or why that cannot be. */
const startEngine = async (): Promise<(() => Promise<void>) | string> => {
  const dockerd = find("dockerd")
  if (find("docker") === undefined || dockerd === undefined) {
    return "Docker is not installed (apt-get install docker.io)"
  }
  if (answers()) return () => Promise.resolve()
  if (process.getuid?.() !== 0) return "no Docker Engine answers this user (docker version tells why)"
  const log = Path.join(Os.tmpdir(), `sandbox-sdk-dockerd-${process.pid}.log`)
  const output = Fs.openSync(log, "w")
  const engine = spawn(dockerd, [], { stdio: ["ignore", output, output], detached: true })
  const ended = new Promise<void>((resolve) => engine.once("exit", () => resolve()))
  for (const end = Date.now() + START_MS; Date.now() < end && engine.exitCode === null;) {
    if (answers()) {
      return () => {
        engine.kill("SIGTERM")
        return ended
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  engine.kill("SIGKILL")
  return `dockerd does not start: ${Fs.readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "it says nothing"}`
}

const TOOLS = [["busybox", "busybox-static"], ["docker-registry", "docker-registry"], ["dpkg-query", "dpkg"]] as const

const main = async (): Promise<number> => {
  const missing = TOOLS.find(([name]) => find(name) === undefined)
  if (missing !== undefined) {
    console.error(`test:docker: not run: ${missing[0]} is not installed (apt-get install ${missing[1]})`)
    return 1
  }
  const stop = await startEngine()
  if (typeof stop === "string") {
    console.error(`test:docker: not run: ${stop}`)
    return 1
  }
  try {
    await makeImages()
    const args = ["vitest", "run", "--config", "test/docker/vitest.config.ts", ...process.argv.slice(2)]
    return spawnSync("npx", args, { stdio: "inherit" }).status ?? 1
  } finally {
    await stop()
  }
}

process.exitCode = await main()
