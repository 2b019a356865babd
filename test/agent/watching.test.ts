import { expect } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { FileEvent } from "../../src/File.js"
import { FileEvent as FileEventSchema } from "../../src/File.js"
import type { Agent } from "./harness.js"
import { describeAgents, startAgent } from "./harness.js"

const decode = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(FileEventSchema)))

const watch = (agent: Agent, path: string, recursive: boolean, credit = 256 * 1024) =>
  Effect.gen(function*() {
    const id = agent.number()
    agent.send({ op: "file.watch", id, path, recursive, credit })
    const { message } = yield* agent.answer(id)
    return { id, message }
  })

/** Events up to the one about `/workspace/…end`, in short. */
const eventsUntilEnd = (agent: Agent, id: number) =>
  Effect.gen(function*() {
    const all: Array<FileEvent> = []
    while (!all.some(({ path }) => path.endsWith("end"))) {
      const { blob } = yield* agent.wait(({ message }) => message.ev === "file.events" && message.id === id)
      agent.send({ op: "file.credit", id, bytes: blob.length })
      all.push(...decode(blob.toString("utf8")))
    }
    return all
      .filter(({ path }) => !path.endsWith("end"))
      .map((event) =>
        `${event.type} ${event.from === undefined ? "" : `${event.from.slice(11)} > `}${event.path.slice(11)}${
          event.isDirectory ? "/" : ""
        }`
      )
  })

describeAgents("watching a directory", (it) => {
  it.scoped("tells what happens to its entries", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("mkdir sub; touch old")
      const { id, message } = yield* watch(agent, "/workspace", false)
      expect(message).toMatchObject({ ev: "reply", value: { path: "/workspace", type: "directory" } })
      // One by one: what comes and goes at once, the agent in Node does not see.
      for (
        const command of [
          ...["echo 1 > a", "mv a b", "chmod 600 b", "mv b sub/c", "rm old", "mkdir d", "rmdir d", "touch sub/unseen"],
          ...["mv sub/c e", "touch end"]
        ]
      ) {
        yield* agent.command(command)
      }
      expect(yield* eventsUntilEnd(agent, id)).toEqual([
        "created a",
        "modified a",
        "renamed a > b",
        "attributes b",
        "deleted b",
        "deleted old",
        "created d/",
        "deleted d/",
        "created e"
      ])
    }))

  it.scoped("goes with folders as they are made, moved and deleted", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("mkdir -p one/two")
      const { id } = yield* watch(agent, "/workspace", true)
      yield* agent.command("echo 1 > one/two/f")
      for (
        const command of [
          ...["mv one uno", "echo 1 > uno/two/g", "mv uno/two two", "echo 1 > two/h", "mkdir -p x/y/z"],
          ...["echo 1 > x/y/z/i", "rm -r x", "rm two/f", "rm two/g", "mv two /tmp", "touch /tmp/two/j end"]
        ]
      ) {
        yield* agent.command(command)
      }
      expect(yield* eventsUntilEnd(agent, id)).toEqual([
        "created one/two/f",
        "modified one/two/f",
        "renamed one > uno/",
        "created uno/two/g",
        "modified uno/two/g",
        "renamed uno/two > two/",
        "created two/h",
        "modified two/h",
        "created x/",
        "created x/y/",
        "created x/y/z/",
        "created x/y/z/i",
        "modified x/y/z/i",
        "deleted x/y/z/i",
        "deleted x/y/z/",
        "deleted x/y/",
        "deleted x/",
        "deleted two/f",
        "deleted two/g",
        // To another file system: copied and removed.
        "deleted two/h",
        "deleted two/"
      ])
    }))

  it.scoped("shows a written file once, as created or modified", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const { id } = yield* watch(agent, "/workspace", true)
      for (const name of ["f", "f", "end"]) {
        const write = agent.number()
        agent.send({ op: "file.write", id: write, path: `/workspace/${name}`, createParents: false })
        agent.send({ op: "file.data", id: write, last: true }, "x")
        yield* agent.answer(write)
      }
      expect(yield* eventsUntilEnd(agent, id)).toEqual(["created f", "modified f"])
    }))

  it.scoped("sends no more than the credit, and fails when events were lost", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const { id } = yield* watch(agent, "/workspace", false, 300)
      yield* agent.command("for i in 1 2 3 4 5 6 7 8 9; do touch f$i; done; sleep 0.1")
      const sent = agent.unread.filter(({ message }) => message.ev === "file.events")
      expect(sent.reduce((sum, { blob }) => sum + blob.length, 0)).toBeLessThanOrEqual(300)
      yield* agent.command(
        "python3 -c \"import os\nfor i in range(20000): os.close(os.open('g%d' % i, os.O_CREAT)); os.unlink('g%d' % i)\""
      )
      agent.send({ op: "file.credit", id, bytes: 100_000_000 })
      const { message } = yield* agent.answer(id)
      expect(message).toMatchObject({ ev: "failed", code: "quota_exceeded" })
    }))

  it.scoped("fails when the directory goes, and for what is none", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("mkdir d; touch f; ln -s /tmp out")
      const { id } = yield* watch(agent, "/workspace/d", true)
      yield* agent.command("rmdir d")
      expect((yield* agent.answer(id)).message).toMatchObject({ ev: "failed", code: "file_not_found" })
      expect((yield* watch(agent, "/workspace/d", false)).message).toMatchObject({ code: "file_not_found" })
      expect((yield* watch(agent, "/workspace/f", false)).message).toMatchObject({ code: "not_a_directory" })
      expect((yield* watch(agent, "/workspace/out", false)).message).toMatchObject({ code: "path_outside_workspace" })
      const cancelled = yield* watch(agent, "/workspace", false)
      agent.send({ op: "file.cancel", id: cancelled.id })
      yield* agent.command("touch g; sleep 0.1")
      expect(agent.unread).toEqual([])
    }))
})
