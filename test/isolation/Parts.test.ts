/**
 * The parts of isolation that decide by what they read.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { settings } from "../../src/isolation/Cgroup.js"
import { type Tree, treesOf } from "../../src/isolation/CgroupTree.js"
import * as Owner from "../../src/isolation/Owner.js"
import { discover } from "../../src/isolation/Runtimes.js"
import * as Spawn from "../../src/isolation/Spawn.js"
import { chooseRange } from "../../src/isolation/Users.js"
import { isAlive, isRoot, makeFolder } from "./support.js"

describe("the numbers of users", () => {
  it("are high ones where all exist", () => {
    const all = "         0          0 4294967295\n"
    expect(chooseRange(all, all)).toEqual(Option.some({ first: 0x70000000, last: 0x7fffffff }))
  })

  it("are the upper half of what a container has", () => {
    const few = "0 100000 65536\n"
    expect(chooseRange(few, few)).toEqual(Option.some({ first: 42_768, last: 65_535 }))
  })

  it("exist as users and as groups", () => {
    expect(chooseRange("0 0 4294967295\n", "0 100000 65536\n")).toEqual(Option.some({ first: 42_768, last: 65_535 }))
  })

  it("are none where there are not enough", () => {
    expect(chooseRange("0 1000 1\n", "0 1000 1\n")).toEqual(Option.none())
    expect(chooseRange("", "")).toEqual(Option.none())
  })
})

describe("owners", () => {
  it.effect("are told by their names", () =>
    Effect.gen(function*() {
      const self = yield* Owner.self
      expect(Owner.fromName(Owner.toName(self))).toEqual(Option.some(self))
      expect(Owner.fromName(`${Owner.toName(self)}-check-abc`)).toEqual(Option.some(self))
      for (const name of ["sandbox-sdk-", "sandbox-sdk-1-2", "other-1-2-3", "sandbox-sdk-1-2-3x"]) {
        expect(Owner.fromName(name)).toEqual(Option.none())
      }
    }))

  it.effect("are gone only when they certainly are", () =>
    Effect.gen(function*() {
      const self = yield* Owner.self
      expect(yield* Owner.isGone(self)).toBe(false)
      // The number was used again.
      expect(yield* Owner.isGone({ ...self, startTime: "1" })).toBe(true)
      expect(yield* Owner.isGone({ ...self, pid: 2 ** 22 + 1 })).toBe(true)
      // Numbers of another namespace tell nothing.
      expect(yield* Owner.isGone({ ...self, startTime: "1", namespace: "1" })).toBe(false)
      expect(yield* Owner.isDead("sandbox-sdk-by-hand")).toBe(false)
    }))
})

describe("control groups", () => {
  const write = (path: string, text: string) => {
    Fs.mkdirSync(Path.dirname(path), { recursive: true })
    Fs.writeFileSync(path, text)
  }

  /** A tree of version 2: what each folder has, and what it hands down. */
  const version2 = (
    folders: Readonly<Record<string, readonly [has: string, hands: string]>>,
    own = "0::/app.slice/one.scope\n"
  ) =>
    Effect.gen(function*() {
      const root = yield* makeFolder
      for (const [folder, [has, hands]] of Object.entries(folders)) {
        write(Path.join(root, folder, "cgroup.controllers"), has)
        write(Path.join(root, folder, "cgroup.subtree_control"), hands)
        write(Path.join(root, folder, "cgroup.procs"), "")
      }
      const found = yield* treesOf(`30 25 0:26 / ${root} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n`, own)
      return found.flat().map(({ parent, ...tree }) => ({ ...tree, parent: Path.relative(root, parent) }))
    })

  const tree2 = (parent: string, ...controllers: ReadonlyArray<string>) => ({
    version: 2,
    parent,
    controllers,
    countsSwap: false
  })

  it.scoped("of version 2 are made in the nearest group that hands all controllers down", () =>
    Effect.gen(function*() {
      expect(
        yield* version2({
          "": ["cpu io memory pids", "cpu io memory pids"],
          "app.slice": ["cpu io memory pids", "memory pids cpu"],
          "app.slice/one.scope": ["memory pids cpu", ""]
        })
      ).toEqual([
        tree2("app.slice", "memory", "pids", "cpu"),
        tree2("", "memory", "pids", "cpu"),
        // It has processes, and the kernel will say so.
        { ...tree2("app.slice/one.scope", "memory", "pids", "cpu"), toEnable: ["memory", "pids", "cpu"] }
      ])
    }))

  it.scoped("of version 2 are made further up where that gives more, and in one that could give more before less", () =>
    Effect.gen(function*() {
      const own = { "app.slice": ["memory pids", "memory pids"], "app.slice/one.scope": ["memory pids", ""] } as const
      const nearest = tree2("app.slice", "memory", "pids")
      const scope = { ...tree2("app.slice/one.scope", "memory", "pids"), toEnable: ["memory", "pids"] }
      expect(yield* version2({ "": ["cpu memory pids", "cpu memory pids"], ...own })).toEqual([
        tree2("", "memory", "pids", "cpu"),
        scope,
        nearest
      ])
      expect(yield* version2({ "": ["cpu memory pids", "memory pids"], ...own })).toEqual([
        scope,
        { ...tree2("", "memory", "pids", "cpu"), toEnable: ["cpu"] },
        nearest,
        tree2("", "memory", "pids")
      ])
    }))

  it.scoped("of version 2 take what those of version 1 have left", () =>
    Effect.gen(function*() {
      const root = yield* makeFolder
      for (const [name, text] of [["cgroup.controllers", "memory"], ["cgroup.subtree_control", "memory"]] as const) {
        write(Path.join(root, "unified", name), text)
      }
      write(Path.join(root, "unified/cgroup.procs"), "")
      const mountinfo = `32 25 0:28 / ${root}/pids rw - cgroup cgroup rw,pids\n` +
        `33 25 0:29 / ${root}/unified rw - cgroup2 cgroup2 rw\n`
      expect(yield* treesOf(mountinfo, "5:pids:/\n0::/\n")).toEqual([
        [{ version: 1, parent: `${root}/pids`, controllers: ["pids"], countsSwap: false }],
        [{ version: 2, parent: `${root}/unified`, controllers: ["memory"], countsSwap: false }]
      ])
    }))

  it("are given limits in the words of their version", () => {
    const limits = { memoryBytes: 64 * 1024 * 1024, processes: 24, cpus: 0.25 }
    const controllers = ["memory", "pids", "cpu"]
    const written = (tree: Tree) => settings(tree, limits).map(({ file, optional, text }) => [file, text, optional])
    expect(written({ version: 2, parent: "/", controllers, countsSwap: false })).toEqual([
      ["memory.max", "67108864", false],
      ["memory.swap.max", "0", true],
      ["pids.max", "24", false],
      ["cpu.max", "25000 100000", false]
    ])
    expect(written({ version: 1, parent: "/", controllers, countsSwap: true })).toEqual([
      ["memory.limit_in_bytes", "67108864", false],
      ["memory.memsw.limit_in_bytes", "67108864", false],
      ["pids.max", "24", false],
      ["cpu.cfs_period_us", "100000", false],
      ["cpu.cfs_quota_us", "25000", false]
    ])
    expect(written({ version: 2, parent: "/", controllers: ["pids"], countsSwap: false })).toEqual([
      ["pids.max", "24", false]
    ])
  })

  it.scoped("of version 1 are made below the own group, also where a mount shows only a part", () =>
    Effect.gen(function*() {
      const root = yield* makeFolder
      write(Path.join(root, "memory/memory.memsw.limit_in_bytes"), "")
      const mountinfo = [
        `31 25 0:27 /docker/abc ${root}/memory rw - cgroup cgroup rw,memory`,
        `32 25 0:28 / ${root}/cpu rw - cgroup cgroup rw,cpu,cpuacct`,
        `33 25 0:29 / ${root}/unified rw - cgroup2 cgroup2 rw`
      ].join("\n")
      const cgroup = "4:memory:/docker/abc\n2:cpu,cpuacct:/one\n1:name=systemd:/one\n0::/one\n"
      expect(yield* treesOf(mountinfo, cgroup)).toEqual([
        [{ version: 1, parent: `${root}/memory`, controllers: ["memory"], countsSwap: true }],
        [{ version: 1, parent: `${root}/cpu/one`, controllers: ["cpu"], countsSwap: false }],
        []
      ])
    }))

  it.effect("are none where nothing is mounted", () =>
    Effect.gen(function*() {
      expect(yield* treesOf("", "0::/\n")).toEqual([])
    }))
})

describe("interpreters", () => {
  it.live("are found with the versions that they tell, newest first", () =>
    Effect.gen(function*() {
      const { bash, node, python } = yield* discover({ wholeHost: false })
      for (const kind of [bash, node, python]) {
        expect(kind.length).toBeGreaterThan(0)
        expect(new Set(kind.map(({ path }) => path)).size).toBe(kind.length)
        for (const { path, version } of kind) {
          expect(version).toMatch(/^\d+\.\d+\.\d+$/)
          expect(path).toMatch(/^\/(usr|opt\/node)\//)
        }
      }
      expect(node.map(({ version }) => version)).toContain(process.versions.node)
    }))

  it.scopedLive.skipIf(!isRoot)("are not those that the sandbox's user could not start", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const hidden = Path.join(folder, "hidden")
      Fs.mkdirSync(hidden, { mode: 0o700 })
      Fs.copyFileSync(process.execPath, Path.join(hidden, "node"))
      Fs.chmodSync(Path.join(hidden, "node"), 0o755)
      const look = Effect.acquireUseRelease(
        Effect.sync(() => {
          const path = process.env["PATH"]
          process.env["PATH"] = `${hidden}:${path}`
          return path
        }),
        () => discover({ wholeHost: false, user: { uid: 0x70000001, gid: 0x70000001 } }),
        (path) => Effect.sync(() => void (process.env["PATH"] = path))
      )
      expect((yield* look).mounts).toEqual([])
      Fs.chmodSync(hidden, 0o755)
      const { mounts, node } = yield* look
      const target = `/opt/node/${process.versions.node}/bin/node`
      expect(mounts).toEqual([{ source: Path.join(hidden, "node"), target }])
      expect(node.map(({ path }) => path)).toContain(target)
    }))
})

describe("children", () => {
  const shell = (command: string) => ({
    command: "/bin/sh",
    args: ["-c", command],
    env: {},
    stdio: ["null", "pipe", "pipe"] as const
  })

  it.live("that ignore the signal to end are killed", () =>
    Effect.gen(function*() {
      const pid = yield* Effect.scoped(Effect.gen(function*() {
        const child = yield* Spawn.spawn({
          ...shell("trap '' TERM; echo ready; while :; do sleep 1; done"),
          graceMs: 50
        })
        const said = yield* child.pipe(1)
        yield* Effect.async<void>((resume) => void said.once("data", () => resume(Effect.void)))
        return child.pid
      }))
      expect(isAlive(String(pid))).toBe(false)
    }))

  it.live("that end when asked are not killed", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const left = Path.join(folder, "left")
      yield* Effect.scoped(Effect.gen(function*() {
        const child = yield* Spawn.spawn({
          ...shell(`trap 'echo orderly > ${left}; exit' TERM; echo ready; while :; do sleep 0.01; done`),
          graceMs: 10_000
        })
        const said = yield* child.pipe(1)
        yield* Effect.async<void>((resume) => void said.once("data", () => resume(Effect.void)))
      }))
      expect(Fs.readFileSync(left, "utf8")).toBe("orderly\n")
    }).pipe(Effect.scoped))

  it.live("may write more to standard error than a pipe holds", () =>
    Effect.gen(function*() {
      const ran = yield* Spawn.output({
        ...shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo end >&2"),
        timeoutMs: 20_000
      })
      expect(ran.exitCode).toBe(0)
      expect(ran.stderr.length).toBe(65_536)
      expect(ran.stderr.endsWith("xend\n")).toBe(true)
    }))

  it.live("that do not exist, or take too long, are errors", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(Spawn.output({ ...shell(""), command: "/nonexistent", timeoutMs: 1_000 }))
      expect(missing).toMatchObject({ _tag: "SpawnError", code: "ENOENT" })
      const slow = yield* Effect.flip(Spawn.output({ ...shell("sleep 60"), timeoutMs: 50 }))
      expect(slow).toMatchObject({ _tag: "SpawnError", code: "timeout" })
    }))
})
