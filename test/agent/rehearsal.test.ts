/**
 * What an interpreter runs before anybody asks it to: nobody hears of it, and nothing is left of it. And the question whether
 * an agent answers.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Agent } from "./harness.js"
import { describeAgents, startAgent, startContext } from "./harness.js"

/** All that code can see of what was run before it. */
const LOOK = `
import builtins, gc, linecache, os, sys, threading
[
  sorted(globals()), sorted(vars(builtins)), sorted(linecache.cache), sorted(sys.modules), threading.active_count(),
  sorted(os.listdir("/proc/self/fd")), sorted(os.environ.items()), sys.path, os.listdir(), os.listdir("/run/sandbox")
]`

const ping = (agent: Agent, ctx?: string) =>
  Effect.suspend(() => {
    const id = agent.number()
    agent.send({ op: "ping", id, ...(ctx === undefined ? {} : { ctx }) })
    return agent.wait(({ message }) => message.ev === "reply" && message.id === id)
  })

const runsOf = (agent: Agent) => agent.unread.filter(({ message }) => "run" in message || message.ev === "failed")

describe("a rehearsal", () => {
  it.scoped("leaves nothing, and nobody hears of it", () =>
    Effect.gen(function*() {
      // The first of an agent each: the next ones share modules that it has imported for them.
      const other = yield* startContext("python")
      const agent = yield* startAgent()
      expect(yield* agent.open("rehearsed", "python", { rehearse: true })).toMatchObject({ ev: "context.ready" })
      // What wakes it leaves nothing either, as often as it is done.
      for (let count = 0; count < 3; count++) yield* ping(agent, "rehearsed")
      const [fresh, rehearsed] = [yield* other.run("c", LOOK), yield* agent.run("rehearsed", LOOK)]
      expect(rehearsed.results.map(({ text }) => text)).toEqual(fresh.results.map(({ text }) => text))
      expect(rehearsed.order).toEqual(rehearsed.results.map(({ text }) => `result:${text}`))
      expect(rehearsed.end).toMatchObject({ ev: "done", count: 1 })
      const raised = yield* agent.run("rehearsed", "_[0][0]\n1/0")
      expect(raised.errors.map(({ traceback }) => traceback.includes("<cell 2>"))).toEqual([true])
      expect(runsOf(agent)).toEqual([])
    }))

  it.scoped("leaves what has run as it is, as does a ping after that", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.open("c", "python", { rehearse: true })
      yield* agent.run("c", "x = 5\nx")
      yield* ping(agent, "c")
      const second = yield* agent.run("c", "(_, x)")
      expect(second.results.map(({ text }) => text)).toEqual(["(5, 5)"])
      expect(second.end).toMatchObject({ count: 2 })
    }))

  it.scoped("holds up a run that comes meanwhile, and an end, no longer than it takes", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.open("c", "python", { rehearse: true })
      for (let count = 0; count < 20; count++) agent.send({ op: "ping", id: agent.number(), ctx: "c" })
      const first = yield* agent.run("c", "print('out')\n1")
      expect(first.order).toEqual(["1:out\n", "result:1"])
      yield* agent.open("d", "python", { rehearse: true })
      agent.send({ op: "ping", id: agent.number(), ctx: "d" })
      agent.send({ op: "context.close", ctx: "d" })
      yield* agent.wait(({ message }) => message.ev === "context.exit" && message.ctx === "d")
      expect(runsOf(agent)).toEqual([])
    }))
})

describeAgents("a ping", (it) => {
  it.scoped("is answered, also with a context that is not there, or that cannot rehearse", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      expect((yield* ping(agent)).message).toMatchObject({ value: null })
      expect((yield* ping(agent, "nowhere")).message).toMatchObject({ value: null })
      expect(yield* agent.open("c", "bash", { rehearse: true })).toMatchObject({ ev: "context.ready" })
      expect((yield* ping(agent, "c")).message).toMatchObject({ value: null })
      expect((yield* agent.run("c", "echo $_; echo here")).stdout.toString()).toContain("here")
    }))
})
