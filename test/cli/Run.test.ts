/**
 * `sandbox run` on the engine of this machine.
 */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { mkdir, writeFile } from "node:fs/promises"
import * as Path from "node:path"
import { type Cli, install, isRunning, onTerminal } from "./support.js"

let cli: Cli
const file = async (name: string, text: string) => {
  await writeFile(Path.join(cli.folder, name), text)
  return name
}

beforeAll(async () => {
  cli = await install()
})

afterAll(() => cli.remove())

describe("output", () => {
  it("is that of the code, byte by byte, each stream by itself", async () => {
    const name = await file(
      "bytes.py",
      "import sys\nsys.stdout.buffer.write(b'\\xff\\x00\\xc3')\nsys.stdout.flush()\nsys.stderr.write('é')\n5"
    )
    const { status, stderr, stdout } = await cli.run(["run", name])
    assert.strictEqual(stdout.toString("hex"), "ff00c3")
    assert.strictEqual(stderr, "é")
    assert.strictEqual(status, 0)
  })

  it("arrives whole when there is much of it and the reader is slow", async () => {
    const name = await file("much.py", "for n in range(200000): print(n, 'x' * 50)")
    const { status, stdout } = await cli.shell(`$SANDBOX run ${name} | { sleep 0.5; md5sum; }`)
    const expected = await cli.shell(`python3 ${name} | md5sum`)
    assert.strictEqual(stdout.toString(), expected.stdout.toString())
    assert.strictEqual(status, 0)
  })

  it("ends with the reader, quietly", async () => {
    const name = await file("endless.sh", "while true; do echo line; done")
    const { status, stderr, stdout } = await cli.shell(`$SANDBOX run ${name} | head -1; exit \${PIPESTATUS[0]}`)
    assert.deepStrictEqual([stdout.toString(), stderr, status], ["line\n", "", 141])
  })

  it("has the value of the last expression on request", async () => {
    const { stdout } = await cli.run(["run", "-", "--language", "python", "--result"], { input: "print(1)\n6 * 7\n" })
    assert.strictEqual(stdout.toString(), "1\n42\n")
  })

  it("has that value on a terminal", async () => {
    const name = await file("value.js", "40 + 2")
    const { shown, status } = await onTerminal(cli, ["run", name], [])
    assert.deepStrictEqual([shown, status], ["42\r\n", 0])
  })
})

describe("exit status", () => {
  it("of Python: 1 with the traceback, or what it asks for", async () => {
    const raised = await cli.run(["run", "-", "-l", "python"], { input: "print('before')\n1/0\n" })
    assert.strictEqual(raised.status, 1)
    assert.strictEqual(raised.stdout.toString(), "before\n")
    assert.match(raised.stderr, /^Traceback[\s\S]*line 2[\s\S]*\nZeroDivisionError: division by zero\n$/)
    const exited = await cli.run(["run", "-", "-l", "python"], { input: "import sys; sys.exit(3)" })
    assert.deepStrictEqual([exited.status, exited.stderr], [3, ""])
    const said = await cli.run(["run", "-", "-l", "python"], { input: "import sys; sys.exit('no luck')" })
    assert.deepStrictEqual([said.status, said.stderr], [1, "no luck\n"])
  })

  it("of JavaScript and TypeScript", async () => {
    const typescript = await file("exit.ts", "const status: number = 4\nprocess.exit(status)")
    assert.strictEqual((await cli.run(["run", typescript])).status, 4)
    const raised = await cli.run(["run", await file("raise.mjs", "throw new TypeError('not so')")])
    assert.strictEqual(raised.status, 1)
    assert.match(raised.stderr, /TypeError: not so/)
  })

  it("of bash", async () => {
    assert.strictEqual((await cli.run(["run", await file("exit.sh", "exit 7")])).status, 7)
    assert.strictEqual((await cli.run(["run", await file("last.sh", "echo; false")])).status, 1)
  })

  it("124 for code that takes too long, which says how to give it more time", async () => {
    const name = await file("slow.sh", "echo begun; sleep 1000.4711")
    const { status, stderr, stdout } = await cli.run(["run", name, "--timeout", "300ms"])
    assert.deepStrictEqual([status, stdout.toString()], [124, "begun\n"])
    assert.include(stderr, "longer than 300 ms and was stopped. --timeout sets the limit.\n")
    assert.isFalse(isRunning("1000.4711"))
  })

  it("130 for Ctrl-C, after which nothing of the code is left", async () => {
    const { child, ended, says } = cli.start(["run", await file("wait.sh", "echo begun; sleep 1000.4712")])
    await says(/begun/)
    // It says so just before it starts it.
    await vi.waitFor(() => assert.isTrue(isRunning("1000.4712")), { timeout: 20_000 })
    child.kill("SIGINT")
    const { status, stderr } = await ended
    assert.strictEqual(status, 130)
    assert.notInclude(stderr, "Error")
    assert.isFalse(isRunning("1000.4712"))
  })

  it("70 for a sandbox that fails, in a line", async () => {
    const { status, stderr } = await cli.run(["run", "-", "-l", "bash"], { input: "kill -9 $$" })
    assert.strictEqual(status, 70)
    assert.match(stderr, /^The interpreter died[^\n]*SIGKILL[^\n]*\n$/)
  })
})

describe("what the code gets", () => {
  it("variables, files and directories, and where it starts", async () => {
    await mkdir(Path.join(cli.folder, "tree/below"), { recursive: true })
    await file("tree/below/leaf", "leaf")
    await file("data.txt", "data")
    const { status, stderr, stdout } = await cli.run(
      ["run", "-", "-l", "bash", "-e", "A=1=2", "-e", "B", "-f", "data.txt:tree/named", "-f", "tree", "--cwd", "tree"],
      { input: "echo $A $B; pwd; cat named below/leaf", env: { B: "given" } }
    )
    assert.deepStrictEqual([stdout.toString(), stderr, status], ["1=2 given\n/workspace/tree\ndataleaf", "", 0])
  })

  it("nothing of this machine's environment besides", async () => {
    const { stdout } = await cli.run(["run", "-", "-l", "bash"], { input: "echo \"[$SECRET]\"", env: { SECRET: "x" } })
    assert.strictEqual(stdout.toString(), "[]\n")
  })
})

describe("a mistake", () => {
  const mistake = async (args: ReadonlyArray<string>, status: number, says: RegExp) => {
    const result = await cli.run(args)
    assert.match(result.stderr, says)
    assert.notMatch(result.stderr, /\n {2,}at |_tag|FiberFailure/)
    assert.deepStrictEqual([result.status, result.stdout.toString()], [status, ""])
  }

  it("in the arguments is named, with the usage, and ends with 64", async () => {
    await mistake(
      ["run", "--bogus", "a.py"],
      64,
      /no option --bogus[\s\S]*Usage: sandbox run .*<FILE>\nSee `sandbox run --help`/
    )
    await mistake(["run", "a.py", "--bogus"], 64, /unknown argument: '--bogus'[\s\S]*Usage: sandbox run/)
    await mistake(["run", "a.py", "--timeout", "soon"], 64, /--timeout takes a duration/)
    await mistake(["run", "a.py", "-e", "NOT_SET"], 64, /--env NOT_SET: .*NOT_SET=VALUE/)
    await mistake(["run", "a.what"], 64, /a\.what does not tell its language: add --language/)
    await mistake(["run", "-"], 64, /Standard input has no language: add --language/)
    await mistake(["runn"], 64, /Usage: sandbox COMMAND/)
  })

  it("in a path or a template", async () => {
    await mistake(["run", "none.py"], 66, /^Cannot read none\.py: there is no such file or directory\.\n$/)
    await mistake(["run", await file("a.py", "1"), "-f", "none"], 66, /^Cannot read none: there is no such/)
    await mistake(["run", "a.py", "--template", "cobol"], 70, /no template "cobol".*\nSee `sandbox templates`\.\n$/)
  })
})
