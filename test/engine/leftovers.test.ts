/**
 * What an engine makes of a folder in which another one was cut off, or which is full.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { failsWith } from "../conformance/support.js"

const isRoot = process.getuid?.() === 0

const makeFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await Fs.mkdtemp(Path.join(Os.tmpdir(), "left-"))
    await Fs.chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

/** Does something with an engine that has the folder, and ends it. */
const withEngine = <A, E>(folder: string, use: Effect.Effect<A, E, SandboxSDK>) =>
  Effect.provide(use, layerLocal({ dataDirectory: folder }))

const create = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const { sandbox } = yield* sdk.createSandbox({ templateId: "bash" })
  yield* sdk.writeFile(sandbox.id, "kept", "still here")
  return sandbox.id
})

const ids = Effect.flatMap(SandboxSDK, (sdk) => Effect.map(sdk.listSandboxes(), (all) => all.map(({ id }) => id)))

describe("a folder in which an engine was cut off", () => {
  it.runIf(isRoot)(
    "has what still runs as the users of its sandboxes ended, and nothing else",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        const id = yield* withEngine(folder, create)
        const { uid } = yield* Effect.promise(() => Fs.stat(Path.join(folder, "sandboxes", id, "workspace")))
        // As the first process of a sandbox does for which bubblewrap was killed before it had let that go on.
        const running = (user: number) =>
          Effect.acquireRelease(
            Effect.sync(() => spawn("sleep", ["1000"], { uid: user, gid: user, stdio: "ignore" })),
            (child) => Effect.sync(() => child.kill("SIGKILL"))
          )
        const [left, other] = yield* Effect.all([running(uid), running(uid - 1)])
        const end = Effect.promise(() => once(left, "exit"))
        expect((yield* Effect.all([end, withEngine(folder, ids)], { concurrency: 2 }))[1]).toEqual([id])
        expect([left.signalCode, other.signalCode, other.exitCode]).toEqual(["SIGKILL", null, null])
      }).pipe(Effect.scoped, Effect.runPromise)
  )

  it.scopedLive("has its half-made sandboxes and drafts removed, and nothing else", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const [kept, deleted] = yield* withEngine(folder, Effect.all([create, create]))
      const sandboxes = Path.join(folder, "sandboxes")
      const at = (id: string, name = "") => Path.join(sandboxes, id, name)
      const halfMade = "sbx_aaaaaaaaaaaaaaaaaaaa"
      yield* Effect.promise(async () => {
        await Fs.mkdir(at(halfMade, "workspace"), { recursive: true })
        await Fs.rm(at(deleted, "sandbox.json"))
        await Fs.writeFile(at(kept, "sandbox.json.0123.new"), "{\"id\":")
        await Fs.mkdir(at(kept, "run-x"))
        await Fs.writeFile(Path.join(folder, "templates/tpl_x.json.0123.new"), "{")
        await Fs.writeFile(Path.join(folder, "owner.0123.new"), "{")
        await Fs.writeFile(Path.join(sandboxes, "notes.txt"), "somebody's")
      })
      expect(yield* withEngine(folder, ids)).toEqual([kept])
      const left = yield* Effect.promise(() => Fs.readdir(folder, { recursive: true }))
      expect(left.filter((name) => !name.startsWith("agent/")).sort()).toEqual([
        "agent",
        "builds",
        expect.stringMatching(/^owner\.\d+$/),
        "sandboxes",
        "sandboxes/notes.txt",
        `sandboxes/${kept}`,
        `sandboxes/${kept}/sandbox.json`,
        `sandboxes/${kept}/workspace`,
        // Where workspaces are no disks of their own, the file is in the folder.
        `sandboxes/${kept}/workspace${isRoot ? ".img" : "/kept"}`,
        "snapshots",
        "templates"
      ])
      const sdk = Effect.flatMap(SandboxSDK, (sdk) => sdk.readFile(kept, "kept"))
      expect(yield* withEngine(folder, sdk)).toBe("still here")
    }))

  it.scopedLive("keeps the files of a sandbox whose record cannot be read", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const id = yield* withEngine(folder, create)
      const record = Path.join(folder, "sandboxes", id, "sandbox.json")
      const text = yield* Effect.promise(() => Fs.readFile(record, "utf8"))
      yield* Effect.promise(() => Fs.writeFile(record, "{\"of\":\"a later version\"}"))
      expect(yield* withEngine(folder, ids)).toEqual([])
      yield* Effect.promise(() => Fs.writeFile(record, text))
      const sdk = Effect.flatMap(SandboxSDK, (sdk) => sdk.readFile(id, "kept"))
      expect(yield* withEngine(folder, sdk)).toBe("still here")
    }))

  it.scopedLive("has what was left of uploads removed before anybody can look", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const id = yield* withEngine(folder, create)
      const at = (name: string) => Path.join(folder, "sandboxes", id, name)
      const part = ".sandbox-new-0123456789abcdef01"
      yield* Effect.promise(async () => {
        // As the engine would have left them, killed in the middle of an upload.
        expect(await Fs.readdir(at(""))).not.toContain("uploads")
        await Fs.writeFile(at("uploads"), "")
        await Fs.mkdir(Path.join(folder, "outside"))
        await Fs.writeFile(Path.join(folder, "outside", part), "not in there")
        const workspace = at("workspace")
        if (isRoot) execFileSync("mount", ["-o", "loop", at("workspace.img"), workspace])
        const inside = (name: string) => Path.join(workspace, name)
        await Fs.mkdir(inside("deep/down"), { recursive: true })
        await Fs.chmod(inside("deep"), 0o777)
        await Fs.writeFile(inside(part), "half")
        await Fs.writeFile(inside(`deep/down/${part}`), "half")
        await Fs.symlink(Path.join(folder, "outside"), inside("link"))
        await Fs.writeFile(inside("deep/.sandbox-new-notes"), "the user's own")
        if (isRoot) execFileSync("umount", [workspace])
      })
      const listing = Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        return String(yield* sdk.runTerminal(id, "find . ! -type d | sort"))
      })
      expect(yield* withEngine(folder, listing)).toBe("./deep/.sandbox-new-notes\n./kept\n./link\n")
      expect(yield* Effect.promise(() => Fs.readdir(Path.join(folder, "outside")))).toEqual([part])
      expect(yield* Effect.promise(() => Fs.readdir(at("")))).not.toContain("uploads")
    }))

  it.scopedLive("is marked while an upload is under way, and for as long as one has not arrived", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const marks = (id: string) =>
        Effect.promise(async () => (await Fs.readdir(Path.join(folder, "sandboxes", id))).includes("uploads"))
      const [id, marked] = yield* withEngine(
        folder,
        Effect.gen(function*() {
          const id = yield* create
          return [id, yield* marks(id)] as const
        })
      )
      expect([marked, yield* marks(id)]).toEqual([true, false])
    }))
})

// Only root may mount; elsewhere the same code runs, and its errors are those of the system.
describe.runIf(isRoot)("a disk that is full", () => {
  const makeDisk = Effect.gen(function*() {
    const folder = yield* makeFolder
    yield* Effect.acquireRelease(
      Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m,mode=0755", "tmpfs", folder])),
      () => Effect.sync(() => execFileSync("umount", ["-l", folder]))
    )
    return folder
  })

  /** Takes all the room that there is; what remains is less than a page. */
  const fill = (folder: string) =>
    Effect.promise(async () => {
      const file = await Fs.open(Path.join(folder, "ballast"), "a")
      const piece = Buffer.alloc(65_536)
      await (async () => {
        for (;;) {
          await file.write(piece)
        }
      })().catch(() => undefined)
      await file.close()
    })

  it.scopedLive("refuses sandboxes, templates and uploads by disk_full, leaves nothing half-written, and goes on after", () =>
    Effect.gen(function*() {
      const folder = yield* makeDisk
      yield* withEngine(
        folder,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const id = yield* create
          const { expiresAt } = yield* sdk.extendSandbox(id, 3_600_000)
          const { config } = yield* sdk.getTemplate("bash")
          yield* fill(folder)
          // The agent is compiled at some time after the first sandbox, on the same disk.
          const names = Effect.map(
            Effect.promise(() => Fs.readdir(folder, { recursive: true })),
            (all) => all.filter((name) => !name.startsWith("agent/__pycache__")).sort()
          )
          const before = yield* names
          const full = { _tag: "SandboxError", code: "disk_full" }
          yield* failsWith(sdk.createSandbox({ templateId: "bash" }), full)
          yield* failsWith(sdk.createSandbox({ templateId: "bash", autoStart: false }), full)
          yield* failsWith(sdk.createTemplate({ ...config, name: "none" }), full)
          yield* failsWith(sdk.extendSandbox(id, 7_200_000), full)
          yield* failsWith(sdk.writeFile(id, "kept", "x".repeat(100_000)), full)
          expect(yield* names).toEqual(before)
          expect(yield* sdk.listSandboxes()).toMatchObject([{ id, expiresAt }])
          expect(yield* sdk.readFile(id, "kept")).toBe("still here")
          yield* sdk.stopSandbox(id)
          expect(yield* sdk.readFile(id, "kept")).toBe("still here")
          yield* Effect.promise(() => Fs.rm(Path.join(folder, "ballast")))
          const { sandbox } = yield* sdk.createSandbox({ templateId: "bash" })
          yield* fill(folder)
          yield* sdk.deleteSandbox(sandbox.id)
        })
      )
      yield* Effect.promise(() => Fs.rm(Path.join(folder, "ballast")))
      expect(yield* withEngine(folder, ids)).toHaveLength(1)
    }))

  it.scopedLive("refuses an engine by disk_full, which starts when there is room", () =>
    Effect.gen(function*() {
      const folder = yield* makeDisk
      yield* fill(folder)
      yield* failsWith(withEngine(folder, ids), { _tag: "SandboxError", code: "disk_full" })
      yield* Effect.promise(() => Fs.rm(Path.join(folder, "ballast")))
      expect(yield* withEngine(folder, ids)).toEqual([])
    }))
})
