/**
 * Every file of `examples/`, run in a process of its own against the build, as its reader would run it.
 */
import { assert, describe, it } from "@effect/vitest"
import { readdir, readFile } from "node:fs/promises"
import * as Path from "node:path"
import { serve } from "../src/server.js"
import { type Ended, type Reaction, root, run, typescript } from "./support/program.js"

const folder = Path.join(root, "examples")
const TIMEOUT = 120_000
const KEY = `e2b_${"0123456789".repeat(4)}`

/** Lines of standard output that must be there, in this order; others may stand between them. */
type Lines = ReadonlyArray<string | RegExp>

interface Expected {
  readonly lines: Lines
  readonly reaction?: Reaction
  /** Whether it is led to a server by the variables of E2B. */
  readonly usesE2b?: boolean
}

const expected: Readonly<Record<string, Expected>> = {
  "basic.ts": { lines: ["status: ready", "output: Hello, World!", "value: 42", "sandboxes left: 0"] },
  "batch.ts": {
    lines: [
      "started urgent",
      "started sum",
      "3 succeeded, 2 failed",
      "sum: 5050",
      "broken: ExecutionError",
      "urgent: 'first of all'",
      "endless: TimeoutError",
      "script: [ 1, 4, 9 ]"
    ]
  },
  "contexts.ts": {
    lines: ["'the default context'", "'blue'", "'TypeScript 2'", "contexts: python, python, typescript"]
  },
  "data-analysis.ts": {
    lines: [
      /^table: \{"month":\["Jan 2026","Feb 2026","Mar 2026"\]/,
      "bar: Jan 2026, north: 120",
      "bar: Mar 2026, south: 160",
      /^line: together \[\["Jan 2026",210\]/,
      /^the picture is in /
    ]
  },
  "e2b.ts": {
    lines: [
      "rows: 2",
      "sum: 13000",
      "raised: IndexError",
      "lines and folder: 3 /home/user",
      "files: numbers.csv",
      "runs: false"
    ],
    usesE2b: true
  },
  "errors.ts": {
    lines: [
      "value: 42",
      "the code raised KeyError: 'missing'",
      "stopped after 300 ms; it had printed [\"working\\n\"]",
      "the sandbox could not: kernel_died",
      "value: 'the next run has a fresh interpreter'",
      "a bad call: timeoutMs",
      "one of ours: true, SandboxError"
    ]
  },
  "files.ts": { lines: ["total: 6", "d /workspace/input", "- /workspace/total.txt", "gone: file_not_found"] },
  "graceful-shutdown.ts": {
    lines: [/^process \d+ runs/, "beat 1", "stopped; deleting the sandbox", "nothing is left"],
    reaction: { on: "beat 1", send: "SIGTERM" }
  },
  "lifecycle.ts": {
    lines: [
      "after stop: stopped",
      "files: still here",
      "variables: NameError: name 'x' is not defined",
      "expires: soon",
      "then: not_found"
    ]
  },
  "metrics.ts": {
    lines: [
      "requests: 4",
      "successful: 3, failed: 1",
      "active sandboxes: 1",
      /^on average: [\d.]+ ms$/,
      /^sandbox_executions_total\{.*outcome="error".*\} 1$/,
      /^sandbox_executions_total\{.*outcome="success".*\} 1$/
    ]
  },
  "processes.ts": {
    lines: ["runs: sorter", "sorted: 1 9 10", "all of it stands still: paused", "the terminal: 43 132"]
  },
  "promise.ts": {
    lines: [
      "status: ready",
      "output: Hello, World!",
      "value: 42",
      "from the shell",
      "exit status 3",
      "raised: ValueError",
      "aborted and stopped",
      "sandboxes left: 0"
    ]
  },
  "quickstart.ts": {
    lines: [
      /^sandbox sbx_[a-z2-7]{20} \(python-3\.\d+\)$/,
      "  line 1 of 4",
      "  line 2 of 4",
      "  line 3 of 4",
      "  line 4 of 4",
      "value: 5050",
      /^duration: \d+ ms$/,
      "typed error: ZeroDivisionError: division by zero",
      "sandbox deleted"
    ]
  },
  "reattach.ts": {
    lines: [
      "left after: step 0",
      "still there: code, running",
      "from there on, to the end: step 5",
      "from the beginning: 6 steps",
      "stopped: cancelled"
    ]
  },
  "remote.ts": {
    lines: [
      /^server at http:\/\/127\.0\.0\.1:\d+$/,
      "status: ready",
      "output: Hello, World!",
      "value: 42",
      "sandboxes left: 0"
    ]
  },
  "side-by-side.ts": {
    lines: [
      "2 to 10000: 1229 primes",
      "10000 to 20000: 1033 primes",
      "20000 to 30000: 983 primes",
      "together: 3245",
      "sandboxes left: 0"
    ]
  },
  "snapshots.ts": { lines: ["from the snapshot: 1 2 3", "sum: 30", "sum: 30", "sum: 31"] },
  "streaming.ts": {
    lines: [
      "stdout: tick 0",
      "stdout: tick 1",
      "stdout: tick 2",
      "result: {'progress': 1.0}",
      "result: 'done'",
      "took 3 pieces of an endless program"
    ]
  },
  "templates.ts": {
    lines: [
      /^\d+ templates: .*python-3\.\d+/,
      "from the template: 'Weekly numbers'",
      /^no second one: .*maxInstances/,
      "gone: template_not_found",
      "| greeting programs",
      "Hello Ada, says what the template installed"
    ]
  },
  "terminal.ts": { lines: ["files: a, b", "Stdout: building", "Stderr: broken", "exit status 2"] },
  "web-server.ts": {
    lines: [
      "{ path: '/first', visits: 1 }",
      "{ path: '/second?with=query', visits: 2 }",
      "SAID FROM OUTSIDE",
      "closed: nobody answers"
    ]
  },
  "typed-values.ts": { lines: ["the: 3", "and: 2", "longest: bird", "does not fit: words.0.count"] }
}

/** The first of the wanted lines that is not there after those before it. */
const firstMissing = (stdout: string, wanted: Lines): string | RegExp | undefined => {
  const lines = stdout.split("\n")
  let from = 0
  for (const each of wanted) {
    const index = lines.findIndex((line, at) =>
      at >= from && (typeof each === "string" ? line === each : each.test(line))
    )
    if (index < 0) return each
    from = index + 1
  }
  return undefined
}

const assertRan = ({ exitCode, leftFolders, leftProcesses, stderr, stdout }: Ended, lines: Lines) => {
  const said = `It printed:\n${stdout}\nand on standard error:\n${stderr}`
  assert.strictEqual(exitCode, 0, said)
  assert.isUndefined(firstMissing(stdout, lines), said)
  assert.deepStrictEqual(leftFolders, [], "folders that are left")
  assert.deepStrictEqual(leftProcesses, [], "processes that are left")
}

describe("examples", () => {
  it("are all tested, and each begins by saying what it shows", async () => {
    const files = (await readdir(folder)).filter((name) => name.endsWith(".ts")).sort()
    assert.deepStrictEqual(files, Object.keys(expected).sort())
    for (const name of files) {
      assert.match(await readFile(Path.join(folder, name), "utf8"), /^\/\/ [A-Z].{20,}/, name)
    }
  })

  for (const [name, { lines, reaction, usesE2b = false }] of Object.entries(expected)) {
    it(name, async () => {
      const server = usesE2b ? await serve({ port: 0, apiKeys: [KEY], e2b: true }) : undefined
      const env = server === undefined
        ? {}
        : { E2B_API_URL: server.url, E2B_SANDBOX_URL: server.url, E2B_API_KEY: KEY }
      try {
        assertRan(await run(process.execPath, typescript(Path.join(folder, name)), reaction, env), lines)
      } finally {
        await server?.close()
      }
    }, TIMEOUT)
  }

  it("graceful-shutdown.ts by Ctrl-C", async () => {
    const { lines } = expected["graceful-shutdown.ts"] ?? assert.fail()
    const reaction: Reaction = { on: "beat 1", send: "SIGINT" }
    assertRan(await run(process.execPath, typescript(Path.join(folder, "graceful-shutdown.ts")), reaction), lines)
  }, TIMEOUT)

  it("npm run quickstart shows each line as it is printed", async () => {
    const ended = await run("npm", ["run", "--silent", "quickstart"])
    assertRan(ended, expected["quickstart.ts"]?.lines ?? assert.fail())
    const arrived = [1, 2, 3, 4].map((line) => ended.pieces.findIndex((piece) => piece.includes(`line ${line} of 4`)))
    assert.deepStrictEqual(arrived, [...arrived].sort((a, b) => a - b), "in order")
    // Printed half a second apart: had they been kept back, they would have come as one piece.
    assert.isAbove(arrived[3] ?? -1, arrived[0] ?? Infinity, "the last line came later than the first")
  }, TIMEOUT)
})
