/**
 * `sandbox doctor --install` against a package manager that is a few shell scripts: they keep a list of what is
 * installed and of every call. The real one would change the machine that runs the tests.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const asRoot = process.getuid?.() === 0
const sudo = asRoot ? "" : "sudo -n "
const installs = `${sudo}env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install --yes ` +
  "--no-install-recommends"

let folder = ""

const scripts = {
  "dpkg-query": `grep -qx "\${@: -1}" "$STATE/installed" && printf installed || { echo none >&2; exit 1; }`,
  "apt-cache": `grep -qx "\${@: -1}" "$STATE/listed" && echo "  Candidate: 1.0" || echo "  Candidate: (none)"`,
  "apt-get": `echo "apt-get $*" >> "$STATE/calls"
echo "progress of apt-get"
[ "$1" = update ] && { echo fresh >> "$STATE/listed"; exit 0; }
for name in "$@"; do case $name in -*|install|DPkg*) ;; broken) exit 100 ;; *) echo "$name" >> "$STATE/installed" ;; esac; done`,
  sudo: `[ -e "$STATE/nosudo" ] && exit 1
shift; exec "$@"`
}

/** Runs the built command with those scripts in front of the system's programs. */
const doctor = async (args: ReadonlyArray<string>, uid?: number) => {
  const child = spawn(process.execPath, [Path.join(folder, "cli/sandbox.js"), "doctor", ...args], {
    env: { PATH: `${Path.join(folder, "bin")}:/usr/bin:/bin`, STATE: folder },
    stdio: ["ignore", "pipe", "pipe"],
    ...(uid === undefined ? {} : { uid, gid: uid })
  })
  const output = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => output.stderr += text)
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve))
  return { ...output, code }
}

const calls = async () => (await readFile(Path.join(folder, "calls"), "utf8")).split("\n").filter((line) => line !== "")

beforeAll(async () => {
  folder = await mkdtemp(Path.join(tmpdir(), "sandbox-sdk-doctor-"))
  await chmod(folder, 0o755)
  await cp(Path.join(root, "dist/cli"), Path.join(folder, "cli"), { recursive: true })
  await writeFile(Path.join(folder, "package.json"), JSON.stringify({ type: "module" }))
  await mkdir(Path.join(folder, "bin"))
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(Path.join(folder, "bin", name), `#!/bin/bash\n${text}\n`, { mode: 0o755 })
  }
})

beforeEach(async () => {
  await writeFile(Path.join(folder, "installed"), "there\n")
  await writeFile(Path.join(folder, "listed"), "there\nknown\nbroken\n")
  await writeFile(Path.join(folder, "calls"), "")
  await rm(Path.join(folder, "nosudo"), { force: true })
})

afterAll(() => rm(folder, { recursive: true, force: true }))

describe("sandbox doctor --install", () => {
  it("says in one line that nothing is missing, and calls no installer", async () => {
    const result = await doctor(["--install", "--packages", "there"])
    assert.deepStrictEqual(result, { stdout: "Nothing is missing.\n", stderr: "", code: 0 })
    assert.deepStrictEqual(await calls(), [])
  })

  it("shows the command before it runs it, and installs only what is missing", async () => {
    const result = await doctor(["--install", "--packages", "there, known"])
    assert.strictEqual(result.stderr, `+ ${installs} known\nprogress of apt-get\n`)
    assert.strictEqual(result.stdout, "Installed known.\n")
    assert.strictEqual(result.code, 0)
    assert.deepStrictEqual(await calls(), [
      "apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends known"
    ])
  })

  it("downloads the list of packages first when the package is not in it", async () => {
    const result = await doctor(["--install", "--packages", "fresh"])
    assert.strictEqual(result.code, 0)
    assert.deepStrictEqual((await calls()).map((call) => call.split(" ").at(-1)), ["update", "fresh"])
  })

  it("tries once more with a new list, then ends with exit status 1 and the line to run", async () => {
    const result = await doctor(["--install", "--packages", "broken"])
    assert.strictEqual(result.code, 1)
    assert.strictEqual(result.stdout, "")
    assert.deepStrictEqual((await calls()).map((call) => call.split(" ").at(-1)), ["broken", "update", "broken"])
    const hand = asRoot ? "" : "sudo "
    assert.match(
      result.stderr,
      new RegExp(`\n  ${hand}apt-get update && ${hand}apt-get install --yes --no-install-recommends broken\n$`)
    )
  })

  it("writes one JSON value to standard output", async () => {
    const result = await doctor(["--install", "--json", "--packages", "known"])
    assert.deepStrictEqual(JSON.parse(result.stdout), { installed: ["known"] })
  })

  it.skipIf(!asRoot)("runs nothing without root and sudo, and says what to run", async () => {
    await writeFile(Path.join(folder, "nosudo"), "")
    const result = await doctor(["--install", "--packages", "known"], 65534)
    assert.strictEqual(result.code, 1)
    assert.match(
      result.stderr,
      /\n {2}sudo apt-get update && sudo apt-get install --yes --no-install-recommends known\n$/
    )
    assert.deepStrictEqual(await calls(), [])
  })

  it("says that an option is unknown", async () => {
    const result = await doctor(["--instal"])
    assert.strictEqual(result.code, 64)
    assert.match(result.stderr, /--instal/)
  })
})
