import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { assets } from "../../src/agent/Assets.js"
import { describeAgents, startAgent } from "./harness.js"

const start = Effect.gen(function*() {
  const agent = yield* startAgent({ files: { "kernel.cjs": assets["kernel.cjs"] ?? "" }, env: { SHARED: "s" } })
  expect(yield* agent.open("c", "javascript", { env: { OWN: "o" } })).toMatchObject({ ev: "context.ready" })
  return agent
})

describeAgents("JavaScript, as the agent runs it", (it) => {
  it.scoped("keeps state, prints, and gives results, errors and variables", () =>
    Effect.gen(function*() {
      const agent = yield* start
      const first = yield* agent.run("c", "const x = 20; console.log('hi'); console.error('err'); x + 1")
      expect([first.stdout.toString(), first.stderr.toString()]).toEqual(["hi\n", "err\n"])
      expect(first.results.map((result) => [result.isMainResult, result.text])).toEqual([[true, "21"]])
      expect(first.end).toMatchObject({ ev: "done", count: 1 })
      const env = yield* agent.run("c", "[process.env.SHARED, process.env.OWN, process.env.RUN].join()", {
        env: { RUN: "r" }
      })
      expect(env.results[0]?.text).toContain("s,o,r")
      expect((yield* agent.run("c", "throw new TypeError('no')")).errors[0]).toMatchObject({
        name: "TypeError",
        value: "no"
      })
      expect((yield* agent.command("ls /run/sandbox")).stdout.toString()).toBe("")
    }))

  it.scoped("is interrupted, and keeps its state", () =>
    Effect.gen(function*() {
      const agent = yield* start
      yield* agent.run("c", "let kept = 7")
      for (const code of ["while (true) {}", "await new Promise((resolve) => setTimeout(resolve, 100000))"]) {
        const run = agent.start("c", code)
        yield* agent.command("sleep 0.3")
        agent.send({ op: "interrupt", run })
        const outcome = yield* agent.outcome(run)
        expect([code, outcome.end.ev, outcome.errors.length]).toEqual([code, "done", 1])
      }
      expect((yield* agent.run("c", "kept")).results[0]?.text).toBe("7")
    }))

  it.scoped("says when memory ran out", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({
        files: { "kernel.cjs": assets["kernel.cjs"] ?? "" },
        env: { NODE_OPTIONS: "--max-old-space-size=40" }
      })
      yield* agent.open("c", "javascript")
      const outcome = yield* agent.run("c", "const all = []; while (true) all.push(new Array(1000).fill(all.length))")
      expect(outcome.end).toMatchObject({ ev: "died", outOfMemory: true })
      yield* agent.exit("c")
    }))
})
