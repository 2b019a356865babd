/**
 * `sandbox shell` on the engine of this machine: from a pipe, and on a terminal.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type Cli, install, isRunning, onTerminal } from "./support.js"

let cli: Cli

beforeAll(async () => {
  cli = await install()
})

afterAll(() => cli.remove())

describe("from a pipe", () => {
  it("runs bash line by line with its state, constructs of several lines as one, without a prompt", async () => {
    const input = `x=5; echo "x is $x"
for i in 1 2
do
  echo "i is $i"
done
cat <<END
here $x
END
echo "two \\
lines" 'and
more'
false
echo "status $?"
cd /tmp
pwd`
    const { status, stderr, stdout } = await cli.run(["shell"], { input })
    assert.strictEqual(
      stdout.toString(),
      "x is 5\ni is 1\ni is 2\nhere 5\ntwo lines and\nmore\nstatus 1\n/tmp\n"
    )
    assert.deepStrictEqual([stderr, status], ["", 0])
  })

  it("answers each line when it comes", async () => {
    const { child, ended, says } = cli.start(["shell"])
    child.stdin.write("n=1; echo first $n\n")
    await says(/first 1\n/)
    child.stdin.write("n=$((n+1)); echo second $n\n")
    await says(/second 2\n/)
    child.stdin.end()
    assert.strictEqual((await ended).status, 0)
  })

  it("leaves where the commands say so, with their status", async () => {
    const { status, stdout } = await cli.run(["shell"], { input: "leave() { exit 4; }\ntrue && leave\necho no\n" })
    assert.deepStrictEqual([stdout.toString(), status], ["", 4])
    assert.strictEqual((await cli.run(["shell"], { input: "false\n" })).status, 1)
  })

  it("runs another language as one program", async () => {
    const input = "def f():\n  x = 1\n\n  return x\nprint(f())\n1/0\n"
    const { status, stderr, stdout } = await cli.run(["shell", "--language", "python"], { input })
    assert.deepStrictEqual([stdout.toString(), status], ["1\n", 1])
    assert.match(stderr, /ZeroDivisionError/)
  })

  it("ends by a signal, and what it runs with it", async () => {
    const { child, ended, says } = cli.start(["shell"])
    child.stdin.write("echo begun; sleep 1000.4713\n")
    await says(/begun/)
    child.kill("SIGTERM")
    assert.strictEqual((await ended).status, 143)
    assert.isFalse(isRunning("1000.4713"))
  })
})

describe("on a terminal", () => {
  it("is a terminal: keys edit, interrupt and end, programs are told its size, and nothing is left", async () => {
    const { shown, status, stderr } = await onTerminal(cli, ["shell"], [
      // It is the child that says so: before it is in the foreground, the key would not reach it.
      ["sandbox:~$ ", "here=kept; sh -c \"echo beg''un; exec sleep 1000.4714\"\r"],
      ["begun", "\u0003"],
      ["sandbox:~$ ", "echo $here $?; cd /tmp\r"],
      ["kept 130", ""],
      ["sandbox:/tmp$ ", "for i in 1 2\r"],
      ["> ", "do printf \"<$i>\"; done\r"],
      ["<1><2>", ""],
      ["sandbox:/tmp$ ", "stty size\r"],
      ["24 80", ""],
      ["sandbox:/tmp$ ", "never run\u0003"],
      ["^C", ""],
      ["sandbox:/tmp$ ", "ecXX\u007f\u007fho edi''ted; test -t 1 && tty\r"],
      ["edited", ""],
      ["/dev/pts/", ""],
      ["sandbox:/tmp$ ", "exit 9\r"]
    ])
    assert.strictEqual(stderr, "")
    assert.strictEqual(status, 9, shown)
    assert.notInclude(shown, "not found")
    assert.isFalse(isRunning("1000.4714"))
  })

  it("is a prompt of Python, too", async () => {
    const { shown, status, stderr } = await onTerminal(cli, ["shell", "--language", "python"], [
      [">>> ", "def double(x):\r"],
      ["... ", "  return x * 2\r"],
      ["... ", "\r"],
      [">>> ", "double(21)\r"],
      ["42", ""],
      [">>> ", "1/0\r"],
      ["ZeroDivisionError", ""],
      [">>> ", "(1,\r"],
      ["... ", "2)\r"],
      ["(1, 2)", ""],
      [">>> ", "\u0004"]
    ])
    assert.deepStrictEqual([stderr, status], ["", 0], shown)
  })
})
