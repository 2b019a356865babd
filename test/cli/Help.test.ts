/**
 * What the command line says of itself.
 */
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { readdir, rm } from "node:fs/promises"
import * as Path from "node:path"
import { type Cli, install, onTerminal } from "./support.js"

let cli: Cli

beforeAll(async () => {
  cli = await install()
})

afterAll(() => cli.remove())

it("lists the commands, the statuses and the variables, without colours in a pipe", async () => {
  const { status, stdout } = await cli.run(["--help"])
  const text = stdout.toString()
  for (
    const word of [
      "run",
      "shell",
      "serve",
      "ls",
      "cp",
      "rm",
      "templates",
      "snapshots",
      "doctor",
      "124",
      "SANDBOX_API_KEY"
    ]
  ) {
    assert.match(text, new RegExp(`^ +${word}\\b`, "m"))
  }
  assert.notInclude(text, "\u001b")
  assert.strictEqual(status, 0)
  assert.isTrue(stdout.equals((await cli.run([])).stdout))
})

it("has colours on a terminal, unless NO_COLOR is set", async () => {
  assert.include((await onTerminal(cli, ["--help"], [])).shown, "\u001b[1m")
  const plain = await cli.shell("NO_COLOR=1 script -qec \"$SANDBOX --help\" /dev/null < /dev/null")
  assert.include(plain.stdout.toString(), "Usage")
  assert.notInclude(plain.stdout.toString(), "\u001b[1m")
})

it("explains each command by its options", async () => {
  for (const command of ["run", "shell", "serve", "ls", "cp", "rm", "templates", "snapshots", "doctor"]) {
    const { status, stdout } = await cli.run([command, "--help"])
    assert.strictEqual(status, 0)
    assert.match(stdout.toString(), new RegExp(`USAGE\\n\\n\\$ ${command}\\b`))
  }
})

it("explains a command also when the question comes last", async () => {
  const asked = await cli.run(["shell", "--language", "python", "--help"])
  assert.isTrue(asked.stdout.equals((await cli.run(["shell", "--help"])).stdout))
})

it("needs neither the engine nor the server for that", async () => {
  const folder = Path.join(cli.folder, "cli")
  for (const name of (await readdir(folder)).filter((name) => /^(local|server|Server|Doctor)-/.test(name))) {
    await rm(Path.join(folder, name))
  }
  assert.strictEqual((await cli.run(["--help"])).status, 0)
  assert.strictEqual((await cli.run(["run", "--help"])).status, 0)
  assert.notStrictEqual((await cli.run(["run", "-", "-l", "bash"], { input: "true" })).status, 0)
})
