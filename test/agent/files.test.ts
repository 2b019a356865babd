import { expect } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Buffer } from "node:buffer"
import type { EngineMessage } from "../../src/agent/Protocol.js"
import { FileInfo } from "../../src/File.js"
import type { Agent } from "./harness.js"
import { describeAgents, startAgent } from "./harness.js"

type Request<Op> = Extract<EngineMessage, { readonly op: Op; readonly id: number }>
type Without<T> = T extends unknown ? Omit<T, "id"> : never

const decodeList = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(FileInfo)))

const ask = (agent: Agent, request: Without<Request<EngineMessage["op"]>>) =>
  Effect.suspend(() => {
    const id = agent.number()
    agent.send({ ...request, id })
    return agent.answer(id)
  })

interface Reach {
  readonly whole?: boolean
}

const stat = (agent: Agent, path: string) => Effect.map(ask(agent, { op: "file.stat", path }), ({ message }) => message)

const list = (agent: Agent, path: string) =>
  Effect.map(ask(agent, { op: "file.list", path }), ({ blob, message }) => {
    expect(message).toMatchObject({ ev: "reply", value: null })
    return decodeList(blob.toString("utf8"))
  })

const write = (agent: Agent, path: string, content: string | Uint8Array, createParents = false, reach: Reach = {}) =>
  Effect.suspend(() => {
    const id = agent.number()
    agent.send({ op: "file.write", id, path, createParents, ...reach })
    agent.send({ op: "file.data", id, last: true }, content)
    return Effect.map(agent.answer(id), ({ message }) => message)
  })

const read = (agent: Agent, path: string, reach: Reach = {}) =>
  Effect.gen(function*() {
    const id = agent.number()
    agent.send({ op: "file.read", id, path, credit: 1_000_000, ...reach })
    const { message } = yield* agent.answer(id)
    const parts: Array<Buffer> = []
    let last = message.ev === "failed"
    while (!last) {
      const next = yield* agent.wait(({ message }) => message.ev === "file.data" && message.id === id)
      parts.push(next.blob)
      if (next.blob.length > 0) agent.send({ op: "file.credit", id, bytes: next.blob.length })
      last = next.message.ev === "file.data" && next.message.last
    }
    return { message, content: Buffer.concat(parts) }
  })

const code = (message: { readonly ev: string }) => ("code" in message ? message.code : message.ev)

const shell = (agent: Agent, command: string) => Effect.map(agent.command(command), ({ stdout }) => stdout.toString())

describeAgents("files", (it, kind) => {
  it.scoped("reach the whole sandbox where that is asked for", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const whole = { whole: true }
      yield* shell(agent, "mkdir /tmp/there && ln -s /workspace /tmp/home && ln -s /tmp/there /workspace/out")
      expect(yield* write(agent, "/tmp/there/new/f", "text", true, whole)).toMatchObject({
        value: { path: "/tmp/there/new/f", name: "f", size: 4 }
      })
      expect((yield* read(agent, "/workspace/out/new/f", whole)).content.toString()).toBe("text")
      expect(code((yield* read(agent, "/workspace/out/new/f")).message)).toBe("path_outside_workspace")
      expect(yield* write(agent, "/tmp/home/g", "g", false, whole)).toMatchObject({ value: { path: "/workspace/g" } })
      const move = { op: "file.move", path: "/tmp/there/new/f", to: "/tmp/there/moved", ...whole } as const
      expect((yield* ask(agent, move)).message).toMatchObject({ value: { path: "/tmp/there/moved" } })
      const made = yield* ask(agent, { op: "file.makeDirectory", path: "/tmp/a/b", parents: true, ...whole })
      expect(made.message).toMatchObject({ value: { path: "/tmp/a/b", isDirectory: true } })
      const listed = yield* ask(agent, { op: "file.list", path: "/tmp/there", ...whole })
      expect(decodeList(listed.blob.toString("utf8")).map(({ path }) => path)).toEqual([
        "/tmp/there/moved",
        "/tmp/there/new"
      ])
      expect((yield* ask(agent, { op: "file.delete", path: "/tmp/there", ...whole })).message.ev).toBe("reply")
      expect(yield* shell(agent, "ls /tmp")).toBe("a\nhome\n")
      for (const path of ["/", "/workspace", "/tmp/home/."]) {
        const deleted = yield* ask(agent, { op: "file.delete", path, ...whole })
        expect([path, code(deleted.message)]).toEqual([path, "permission_denied"])
      }
      expect(code(yield* write(agent, "/usr/x", "x", false, whole))).toBe("permission_denied")
    }))

  it.scoped("never reach what only the agent sees", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const whole = { whole: true }
      yield* shell(
        agent,
        "cd /workspace; ln -s /proc/self/environ env; ln -s /proc/1 agent; ln -s /proc/self/fd fds; ln -s /dev/fd dev; ln -s / top; " +
          "ln -s /proc proc; ln -s /proc/self/cwd cwd"
      )
      const paths = [
        ...["/proc/self/environ", "/proc/1/environ", "/proc/1/maps", "/proc/1/mem", "/proc/thread-self/environ"],
        ...["/workspace/env", "/workspace/agent/maps", "/workspace/top/proc/1/maps", "/workspace/proc/self/maps"],
        ...["/proc/cpuinfo", "/proc/1/fdinfo/0", "/workspace/fds", "/workspace/dev", "/proc"]
      ]
      for (const path of paths) {
        const { content, message } = yield* read(agent, path, whole)
        expect([path, code(message)]).toEqual([path, "permission_denied"])
        expect(content.length).toBe(0)
      }
      for (const path of ["/proc/self/fd", "/workspace/agent/", "/workspace/proc", "/workspace/fds"]) {
        const { message } = yield* ask(agent, { op: "file.list", path, ...whole })
        expect([path, code(message)]).toEqual([path, "permission_denied"])
      }
      const watched = yield* ask(agent, { op: "file.watch", path: "/proc", recursive: true, credit: 1_000, ...whole })
      expect(code(watched.message)).toBe("permission_denied")
      // These lead to where they lead for the code.
      for (const path of ["/proc/1/root/etc/passwd", "/workspace/top/etc/passwd", "/workspace/agent/root/etc/passwd"]) {
        const { content } = yield* read(agent, path, whole)
        expect([path, content.toString()]).toEqual([path, yield* shell(agent, "cat /etc/passwd")])
      }
      expect(code((yield* read(agent, "/etc/shadow", whole)).message)).not.toBe("reply")
    }))

  it.scoped("are written and read exactly", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7 + (index >> 8)) % 256))
      const written = yield* write(agent, "/workspace/deep/er/file.bin", bytes, true)
      expect(written).toMatchObject({
        ev: "reply",
        value: {
          path: "/workspace/deep/er/file.bin",
          name: "file.bin",
          type: "file",
          isDirectory: false,
          size: 3_000_000,
          mode: 0o644
        }
      })
      const { content, message } = yield* read(agent, "/workspace/deep/er/file.bin")
      expect(message).toMatchObject({ ev: "reply", value: { size: 3_000_000 } })
      expect(content.equals(bytes)).toBe(true)
      yield* write(agent, "/workspace/empty", "")
      expect((yield* read(agent, "/workspace/empty")).content.length).toBe(0)
      expect(code(yield* write(agent, "/workspace/none/x", "a"))).toBe("file_not_found")
    }))

  it.scoped("are replaced in one step, keep their mode, and go through links inside", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(agent, "echo old > tool; chmod 750 tool; ln -s tool link; exec 5< tool; mkdir d")
      const id = agent.number()
      agent.send({ op: "file.write", id, path: "/workspace/link", createParents: false })
      agent.send({ op: "file.data", id, last: false }, "new ")
      yield* agent.wait(({ message }) => message.ev === "file.credit" && message.id === id)
      // The agent in Node gives it a name for as long as it is written, which begins with a dot.
      expect(yield* shell(agent, `cat tool; ls ${kind === "python" ? "-A" : ""}`)).toBe("old\nd\nlink\ntool\n")
      agent.send({ op: "file.data", id, last: true }, "content")
      yield* agent.answer(id)
      expect(yield* shell(agent, "cat tool; stat -c %a tool; ls -A; readlink link")).toBe(
        "new content750\nd\nlink\ntool\ntool\n"
      )
      expect(code(yield* write(agent, "/workspace/d", "x"))).toBe("not_a_file")
      expect(code(yield* write(agent, "/workspace", "x"))).toBe("not_a_file")
    }))

  it.scoped("leave no trace when a transfer is cancelled or fails", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ limits: { fileSize: 100_000 } })
      const id = agent.number()
      agent.send({ op: "file.write", id, path: "/workspace/a", createParents: false })
      agent.send({ op: "file.data", id, last: false }, "half")
      yield* agent.wait(({ message }) => message.ev === "file.credit" && message.id === id)
      agent.send({ op: "file.cancel", id })
      agent.send({ op: "file.data", id, last: true }, "rest")
      expect(code(yield* write(agent, "/workspace/b", "x".repeat(200_000)))).toBe("quota_exceeded")
      expect(yield* shell(agent, "ls -A")).toBe("")
      const reading = agent.number()
      yield* write(agent, "/workspace/c", "x".repeat(90_000))
      agent.send({ op: "file.read", id: reading, path: "/workspace/c", credit: 10 })
      yield* agent.answer(reading)
      yield* agent.wait(({ message }) => message.ev === "file.data" && message.id === reading)
      agent.send({ op: "file.cancel", id: reading })
      agent.send({ op: "file.credit", id: reading, bytes: 1000 })
      yield* shell(agent, "sleep 0.1")
      expect(agent.unread).toEqual([])
    }))

  it.scoped("are read under credit", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* write(agent, "/workspace/a", "x".repeat(1000))
      const id = agent.number()
      agent.send({ op: "file.read", id, path: "/workspace/a", credit: 300 })
      yield* agent.answer(id)
      yield* shell(agent, "sleep 0.1")
      expect(agent.unread.reduce((sum, { blob }) => sum + blob.length, 0)).toBe(300)
      agent.send({ op: "file.credit", id, bytes: 900 })
      yield* agent.wait(({ message }) => message.ev === "file.data" && message.id === id && message.last)
      expect(agent.unread.reduce((sum, { blob }) => sum + blob.length, 0)).toBe(1000)
    }))

  it.scoped("that are none are refused without hanging", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(agent, "mkfifo fifo; mkdir d; ln -s /dev/zero zero; ln -s loop loop")
      expect(code((yield* read(agent, "/workspace/fifo")).message)).toBe("not_a_file")
      expect(code((yield* read(agent, "/workspace/d")).message)).toBe("not_a_file")
      expect(code((yield* read(agent, "/workspace/zero")).message)).toBe("path_outside_workspace")
      expect(["file_error", "file_not_found"]).toContain(code((yield* read(agent, "/workspace/loop")).message))
      expect(code((yield* read(agent, "/workspace/none")).message)).toBe("file_not_found")
      expect(code(yield* write(agent, "/workspace/fifo", "x"))).toBe("not_a_file")
      expect(code(yield* stat(agent, "/workspace/d/none"))).toBe("file_not_found")
      expect(yield* stat(agent, "/workspace/fifo")).toMatchObject({ value: { type: "fifo" } })
    }))

  it.scoped("stay inside the workspace", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(
        agent,
        "ln -s /etc out; ln -s /tmp/x dangling; ln -s ../.. up; mkdir d; ln -s /workspace/d in; echo 1 > d/f"
      )
      for (
        const path of [
          "/etc/passwd",
          "/workspace/../etc/passwd",
          "/workspace/out/passwd",
          "/workspace/up/etc/passwd",
          "workspace/x",
          "",
          "/workspace2/x",
          "/workspace/dangling"
        ]
      ) {
        expect([path, code((yield* read(agent, path)).message)]).toEqual([path, "path_outside_workspace"])
        expect([path, code(yield* write(agent, path, "x"))]).toEqual([path, "path_outside_workspace"])
      }
      for (const path of ["/etc/passwd", "/workspace/out/passwd", "/workspace/up/etc"]) {
        const failed = yield* ask(agent, { op: "file.delete", path })
        expect(failed.message).toMatchObject({ ev: "failed", code: "path_outside_workspace", field: "path" })
        const moved = yield* ask(agent, { op: "file.move", path: "/workspace/d/f", to: path })
        expect(moved.message).toMatchObject({ ev: "failed", code: "path_outside_workspace", field: "to" })
        const made = yield* ask(agent, { op: "file.makeDirectory", path: `${path}/x`, parents: true })
        expect(code(made.message)).toBe("path_outside_workspace")
      }
      expect((yield* read(agent, "/workspace/in/f")).content.toString()).toBe("1\n")
      expect(code((yield* read(agent, "/workspace/a\0b")).message)).toBe("file_error")
    }))

  it.scoped("are listed and described, links as links", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const before = Date.now() - 2000
      yield* shell(agent, "echo abc > b.txt; chmod 600 b.txt; mkdir a; ln -s b.txt c; ln -s nowhere d; touch 'e f\n'")
      const entries = yield* list(agent, "/workspace")
      expect(entries.map(({ name, target, type }) => [name, type, target])).toEqual([
        ["a", "directory", undefined],
        ["b.txt", "file", undefined],
        ["c", "symlink", "b.txt"],
        ["d", "symlink", "nowhere"],
        ["e f\n", "file", undefined]
      ])
      const file = entries[1]
      expect(file).toMatchObject({ path: "/workspace/b.txt", size: 4, mode: 0o600, isDirectory: false })
      expect(file?.createdAt).toBeGreaterThan(before)
      expect(file?.modifiedAt).toBeGreaterThan(before)
      expect(yield* stat(agent, "/workspace/c")).toMatchObject({ value: { type: "symlink", target: "b.txt" } })
      expect(yield* stat(agent, "/workspace")).toMatchObject({ value: { path: "/workspace", type: "directory" } })
      expect(code((yield* ask(agent, { op: "file.list", path: "/workspace/b.txt" })).message)).toBe("not_a_directory")
      expect(yield* list(agent, "/workspace/a")).toEqual([])
    }))

  it.scoped("with names that are no UTF-8 are shown with U+FFFD and found by that", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(agent, "mkdir $'d\\xff'; echo 1 > $'d\\xff'/$'caf\\xe9.txt'; echo 2 > $'d\\xff'/café.txt")
      const [folder] = yield* list(agent, "/workspace")
      expect(folder?.path).toBe("/workspace/d\uFFFD")
      const entries = yield* list(agent, "/workspace/d\uFFFD")
      expect(entries.map(({ name }) => name)).toEqual(["café.txt", "caf\uFFFD.txt"])
      expect((yield* read(agent, "/workspace/d\uFFFD/caf\uFFFD.txt")).content.toString()).toBe("1\n")
      yield* ask(agent, { op: "file.delete", path: "/workspace/d\uFFFD" })
      expect(yield* shell(agent, "ls -A")).toBe("")
    }))

  it.scoped("in any number are listed", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(agent, "python3 -c \"for i in range(5000): open('n%06d' % i + 'x' * 60, 'w')\"")
      const entries = yield* list(agent, "/workspace")
      expect(entries.length).toBe(5000)
      expect(entries[4999]?.name).toContain("n004999")
    }))

  it.scoped("are deleted with all below them, never through a link", () =>
    Effect.gen(function*() {
      // Deeper than there are descriptors for.
      const agent = yield* startAgent({ limits: { openFiles: 60 } })
      yield* shell(
        agent,
        "mkdir -p keep t/x/y t/locked; echo 1 > keep/f; ln -s ../keep t/link; ln -s /etc t/etc; echo 1 > t/locked/f; " +
          "chmod 500 t/locked; mkfifo t/fifo; ln -s keep alias; " +
          "python3 -c \"import os\nos.chdir('t')\nfor i in range(300): os.mkdir('deep'); os.chdir('deep')\""
      )
      expect((yield* ask(agent, { op: "file.delete", path: "/workspace/t" })).message).toMatchObject({
        ev: "reply",
        value: null
      })
      yield* ask(agent, { op: "file.delete", path: "/workspace/alias" })
      expect(yield* shell(agent, "ls -A; cat keep/f; test -e /etc/passwd && echo there")).toBe("keep\n1\nthere\n")
      expect(code((yield* ask(agent, { op: "file.delete", path: "/workspace/t" })).message)).toBe("file_not_found")
      for (const path of ["/workspace", "/workspace/", "/workspace/keep/.."]) {
        const failed = yield* ask(agent, { op: "file.delete", path })
        expect(failed.message).toMatchObject({ ev: "failed", code: "permission_denied" })
      }
      expect(yield* shell(agent, "ls -A")).toBe("keep\n")
    }))

  it.scoped("and folders are made and moved", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const make = (path: string, parents: boolean) =>
        Effect.map(ask(agent, { op: "file.makeDirectory", path, parents }), ({ message }) => code(message))
      const move = (path: string, to: string) =>
        Effect.map(ask(agent, { op: "file.move", path, to }), ({ message }) => code(message))
      expect(yield* make("/workspace/a/b", false)).toBe("file_not_found")
      expect(yield* make("/workspace/a/b", true)).toBe("reply")
      expect(yield* make("/workspace/a/b", true)).toBe("reply")
      expect(yield* make("/workspace/a", false)).toBe("file_exists")
      yield* write(agent, "/workspace/f", "1")
      expect(yield* make("/workspace/f", true)).toBe("file_exists")
      expect(yield* make("/workspace/f/g", true)).toBe("not_a_directory")
      expect(yield* move("/workspace/f", "/workspace/a/b/g")).toBe("reply")
      expect(yield* move("/workspace/f", "/workspace/a/g")).toBe("file_not_found")
      expect(yield* move("/workspace/a", "/workspace/a/b/c")).toBe("file_error")
      expect(yield* make("/workspace/e", false)).toBe("reply")
      expect(yield* move("/workspace/e", "/workspace/a")).toBe("directory_not_empty")
      expect(yield* move("/workspace/a", "/workspace/z")).toBe("reply")
      expect(yield* move("/workspace", "/workspace/q")).toBe("permission_denied")
      expect(yield* shell(agent, "cat z/b/g; ls -A")).toBe("1e\nz\n")
    }))

  it.scoped("are written and read by the dozen", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* shell(agent, "mkdir d; printf old > old; chmod 751 old; ln -s old link; ln -s /etc out")
      const writeMany = (files: Readonly<Record<string, string>>) =>
        Effect.suspend(() => {
          const id = agent.number()
          const paths = Object.keys(files).map((name) => `/workspace/${name}`)
          const contents = Object.values(files)
          const sizes = contents.map((content) => Buffer.byteLength(content))
          agent.send({ op: "file.writeMany", id, paths, sizes, createParents: true }, contents.join(""))
          return agent.answer(id)
        })
      const written = yield* writeMany({ "a/b/1": "one", "a/b/2": "", "link": "zwölf", "a/3": "three" })
      expect(written.message).toMatchObject({ ev: "file.written" })
      expect(JSON.parse(written.blob.toString())).toEqual(
        ["a/b/1", "a/b/2", "old", "a/3"].map((name) => `/workspace/${name}`)
      )
      expect(yield* shell(agent, "cat a/b/1 a/b/2 old a/3; stat -c ' %a' old; find . -name '.sandbox*'")).toBe(
        "onezwölfthree 751\n"
      )
      const failed = yield* writeMany({ x: "before", d: "a folder", y: "after" })
      expect(failed.message).toMatchObject({ ev: "failed", code: "not_a_file", index: 1 })
      expect((yield* writeMany({ "out/f": "1" })).message).toMatchObject({ code: "path_outside_workspace", index: 0 })
      expect(yield* shell(agent, "cat x; ls -A | tr '\\n' ' '")).toBe("beforea d link old out x ")
      const readMany = (most: number, ...names: ReadonlyArray<string>) =>
        ask(agent, { op: "file.readMany", paths: names.map((name) => `/workspace/${name}`), most })
      const all = yield* readMany(1_000, "a/b/1", "a/b/2", "link", "a/3")
      expect(all.message).toMatchObject({ ev: "file.contents", sizes: [3, 0, 6, 5] })
      expect(all.blob.toString()).toBe("onezwölfthree")
      expect((yield* readMany(9, "a/b/1", "link", "a/3")).message).toMatchObject({ sizes: [3, 6] })
      expect((yield* readMany(2, "a/b/1")).message).toMatchObject({ sizes: [] })
      expect((yield* readMany(1_000, "a/3", "nothing")).message).toMatchObject({ code: "file_not_found", index: 1 })
      expect((yield* readMany(1_000, "out/passwd")).message).toMatchObject({ code: "path_outside_workspace", index: 0 })
    }))
})
