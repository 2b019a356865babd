/**
 * `npm run test:docker`: the suites that every isolation must pass, in containers of the Docker Engine of this machine, and
 * of Podman where it is installed. What does not run is started, where this is root, and ended afterwards. The images are
 * made here, of what is installed. What is missing is said in one line: without an engine of Docker it ends with 1 then,
 * without Podman it goes on.
 *
 * What follows `--` goes to vitest: `npm run test:docker -- conformance`.
 */
import { spawn } from "node:child_process"
import * as Path from "node:path"
import * as Engines from "./engines.js"
import { copyImage, IMAGES, makeImages } from "./images.js"
import { PODMAN } from "./podman.js"

const TOOLS = [["busybox", "busybox-static"], ["docker-registry", "docker-registry"], ["dpkg-query", "dpkg"]] as const

/** All tests together. */
const TESTS_MS = 25 * 60_000

const root = Path.resolve(import.meta.dirname, "../..")

/** Runs them, and gives the status that they end with. */
const runTests = (env: NodeJS.ProcessEnv): Promise<number> =>
  new Promise((resolve) => {
    const vitest = spawn(
      process.execPath,
      [
        Path.join(root, "node_modules/vitest/vitest.mjs"),
        ...["run", "--config", "test/docker/vitest.config.ts", ...process.argv.slice(2)]
      ],
      { cwd: root, stdio: "inherit", env: { ...process.env, ...env } }
    )
    const late = setTimeout(() => {
      console.error(`test:docker: the tests are not done after ${TESTS_MS / 60_000} minutes, and are ended`)
      vitest.kill("SIGKILL")
    }, TESTS_MS)
    vitest.once("exit", (code) => {
      clearTimeout(late)
      resolve(code ?? 1)
    })
  })

const notRun = (why: string): number => {
  console.error(`test:docker: not run: ${why}`)
  return 1
}

const main = async (): Promise<number> => {
  const missing = TOOLS.find(([name]) => Engines.find(name) === undefined)
  if (missing !== undefined) return notRun(`${missing[0]} is not installed (apt-get install ${missing[1]})`)
  const docker = await Engines.docker()
  if (typeof docker === "string") return notRun(docker)
  try {
    await makeImages()
    const podman = await Engines.podman()
    if (typeof podman === "string") {
      console.error(`test:docker: without the tests on Podman: ${podman}`)
      return await runTests({})
    }
    try {
      for (const name of [IMAGES.full, IMAGES.node]) await copyImage(name, podman.address)
      return await runTests({ [PODMAN]: podman.address })
    } finally {
      await podman.stop()
    }
  } catch (cause) {
    return notRun(cause instanceof Error ? cause.message : String(cause))
  } finally {
    await docker.stop()
  }
}

// Who presses Ctrl-C ends the tests; the engines are then ended here.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {})

process.exitCode = await main()
