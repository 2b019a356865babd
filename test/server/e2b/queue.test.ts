/**
 * Runs in a default context whose interpreter is long in coming up: asked for by plain requests, so that each can be left
 * and sent in a known order.
 */
import { Sandbox } from "@e2b/code-interpreter"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import type { RunningServer } from "../../../src/server.js"
import { eventually, start } from "../support.js"

const KEY = `e2b_${"5f2c".repeat(10)}`

/** Every interpreter of JavaScript waits in here until it is let go. */
const GATE = `const { existsSync, writeFileSync } = require("node:fs")
if (!existsSync("/workspace/open")) writeFileSync("/workspace/waiting", "")
while (!existsSync("/workspace/open")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
`

let server: RunningServer
let sandbox: Sandbox

beforeAll(async () => {
  server = await start({ apiKeys: [KEY], e2b: true })
})

afterAll(() => server.close())

beforeEach(async () => {
  const target = { apiKey: KEY, apiUrl: server.url, sandboxUrl: server.url }
  sandbox = await Sandbox.create({ ...target, envs: { NODE_OPTIONS: "--require /workspace/gate.js" } })
  await sandbox.files.write("gate.js", GATE)
  return async () => {
    await sandbox.kill()
  }
})

const isWaiting = () => eventually(() => sandbox.files.exists("waiting"))

const open = () => sandbox.files.write("open", "")

/** The records of a run; it may be left. */
const execute = async (code: string, signal?: AbortSignal): Promise<ReadonlyArray<{ readonly type: string }>> => {
  const response = await fetch(`${server.url}/execute`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "E2b-Sandbox-Id": sandbox.sandboxId,
      // As their client has it from the answer to `create`.
      "X-Access-Token": String(Reflect.get(sandbox, "envdAccessToken"))
    },
    body: JSON.stringify({ code, language: "javascript" }),
    ...signal === undefined ? {} : { signal }
  })
  expect(response.status).toBe(200)
  return (await response.text()).split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 100))

describe("runs in a default context that is being made", () => {
  it("go on when the one that asked for it has left", async () => {
    const leaving = new AbortController()
    const first = execute("'first'", leaving.signal).catch(() => "left")
    await isWaiting()
    const second = execute("'second'")
    await soon()
    leaving.abort()
    expect(await first).toBe("left")
    await soon()
    await open()
    const records = await second
    expect(records.filter(({ type }) => type === "error")).toEqual([])
    expect(records).toContainEqual(expect.objectContaining({ type: "result", text: "second" }))
    expect(records.at(-1)).toEqual({ type: "end_of_execution" })
  })

  it("are run in the order of their arrival", async () => {
    const note = (at: number) => `(globalThis.order ??= []).push(${at})`
    const runs = [execute(note(0))]
    await isWaiting()
    for (const at of [1, 2, 3]) {
      runs.push(execute(note(at)))
      await soon()
    }
    await open()
    // These arrive about when it is there.
    for (const at of [4, 5, 6, 7, 8, 9]) {
      runs.push(execute(note(at)))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    for (const run of runs) expect((await run).at(-1)).toEqual({ type: "end_of_execution" })
    const { text } = await sandbox.runCode("order.join()", { language: "javascript" })
    expect(text).toBe("0,1,2,3,4,5,6,7,8,9")
  })

  it("have one context together, also after it was deleted while they waited for it", async () => {
    await open()
    const first = execute(
      "require('fs').writeFileSync('/workspace/began', ''); await new Promise((resolve) => setTimeout(resolve, 60000))"
    )
    // Before it runs, it would wait for another context like the others.
    await eventually(() => sandbox.files.exists("began"))
    const runs: Array<ReturnType<typeof execute>> = []
    for (const at of [1, 2, 3]) {
      runs.push(execute(`(globalThis.order ??= []).push(${at})`))
      await soon()
    }
    const context = (await sandbox.listCodeContexts()).find(({ language }) => language === "javascript")
    await sandbox.removeCodeContext(context?.id ?? "")
    expect(await first).toContainEqual(expect.objectContaining({ type: "error", name: "UnexpectedEndOfExecution" }))
    for (const run of runs) expect((await run).filter(({ type }) => type === "error")).toEqual([])
    const { text } = await sandbox.runCode("order.join()", { language: "javascript" })
    expect(text).toBe("1,2,3")
  })

  it("a language that is named is the sandbox's own as well", async () => {
    await sandbox.runCode("x = 5")
    expect((await sandbox.runCode("x", { language: "python" })).text).toBe("5")
  })

  it("are told when none could be made, and the next one has another made", async () => {
    await sandbox.files.write("gate.js", "process.exit(9)")
    for (const run of [execute("1"), execute("2")]) {
      expect(await run).toContainEqual(expect.objectContaining({ type: "error", name: "UnexpectedEndOfExecution" }))
    }
    await sandbox.files.write("gate.js", "")
    expect((await sandbox.runCode("3", { language: "javascript" })).text).toBe("3")
  })

  it("make one context", async () => {
    const runs = [execute("1"), execute("2"), execute("3")]
    await isWaiting()
    await open()
    await Promise.all(runs)
    expect((await sandbox.listCodeContexts()).filter(({ language }) => language === "javascript")).toHaveLength(1)
  })
})
