/**
 * Sandboxes that are started ahead: who gets them, who does not, and what is left of them.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { CurrentUser } from "../../src/CurrentUser.js"
import { layerLocal, type LocalOptions } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually } from "../conformance/support.js"
import { groupsOf, mountsOf } from "../support/traces.js"

const abandoned = fileURLToPath(new URL("../support/abandonedPool.mjs", import.meta.url))

/** A folder for an engine, whose sandboxes can be counted from outside: those with a record, and those without. */
const dataFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await Fs.mkdtemp(Path.join(Os.tmpdir(), "pool-"))
    await Fs.chmod(folder, 0o755)
    return folder
  }),
  (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
)

const foldersIn = (data: string) =>
  Effect.promise(async () => {
    const root = Path.join(data, "sandboxes")
    const names = await Fs.readdir(root)
    const kinds = await Promise.all(
      names.map((name) => Fs.access(Path.join(root, name, "sandbox.json")).then(() => "used", () => "waiting"))
    )
    return {
      used: names.filter((_, index) => kinds[index] === "used"),
      waiting: names.filter((_, index) => kinds[index] === "waiting")
    }
  })

/** The processes on this machine that have a workspace below this folder, or an interpreter for it, by sandbox. */
const processesOf = (id: string) =>
  Effect.promise(async () => {
    const found: Array<number> = []
    for (const name of (await Fs.readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const text = await Fs.readFile(`/proc/${name}/mountinfo`, "utf8").catch(() => "")
      const group = await Fs.readFile(`/proc/${name}/cgroup`, "utf8").catch(() => "")
      const command = await Fs.readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")
      if (
        Number(name) !== process.pid &&
        (group.includes(id) || command.includes(id) || text.includes(`${id}/workspace /workspace`))
      ) found.push(Number(name))
    }
    return found
  })

const withPool = <A, E>(
  options: LocalOptions,
  use: (data: string) => Effect.Effect<A, E, SandboxSDK>
) =>
  Effect.flatMap(
    dataFolder,
    (dataDirectory) => Effect.provide(use(dataDirectory), layerLocal({ ...options, dataDirectory }))
  )

/** Waits until so many wait whose interpreter is up, as far as can be told from outside. */
const filled = (data: string, size: number) =>
  eventually(Effect.map(foldersIn(data), ({ waiting }) => waiting.length === size))

const create = (options: Parameters<SandboxSDK["Type"]["createSandbox"]>[0]) =>
  Effect.flatMap(SandboxSDK, (sdk) => Effect.map(sdk.createSandbox(options), ({ sandbox }) => sandbox))

describe("a pool", () => {
  it.scopedLive(
    "hands each of its sandboxes out once, as the sandbox that was asked for, and starts others",
    () =>
      withPool({ pool: { size: 3 } }, (data) =>
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* filled(data, 3)
          yield* Effect.sleep("2 seconds")
          const { waiting } = yield* foldersIn(data)
          const made = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (number) =>
            create({
              templateId: "python",
              name: `number ${number}`,
              metadata: { number: String(number) },
              initialEnvVars: number % 2 === 0 ? { NUMBER: String(number), PYTHONPATH: "/workspace/lib" } : {},
              resources: { idleTimeMs: 60_000 }
            }), { concurrency: "unbounded" })
          const ids = made.map(({ id }) => id)
          expect(new Set(ids).size).toBe(6)
          expect(ids.filter((id) => waiting.includes(id)).sort()).toEqual([...waiting].sort())
          const seen = yield* Effect.forEach(made, ({ id }) =>
            Effect.all([
              Effect.map(
                sdk.runCode(
                  id,
                  "import os, sys; (os.environ.get('NUMBER'), '/workspace/lib' in sys.path, os.listdir())"
                ),
                ({ execution }) => execution.text
              ),
              Effect.map(sdk.runTerminal(id, "echo $NUMBER"), (said) => said.trim()),
              Effect.map(sdk.listCodeContexts(id), ({ length }) => length)
            ]))
          expect(seen).toEqual([
            ["(None, False, [])", "", 1],
            ["('2', True, [])", "2", 1],
            ["(None, False, [])", "", 1],
            ["('4', True, [])", "4", 1],
            ["(None, False, [])", "", 1],
            ["('6', True, [])", "6", 1]
          ])
          expect((yield* sdk.listSandboxes()).map(({ name }) => name).sort()).toEqual(
            made.map(({ name }) => name).sort()
          )
          yield* filled(data, 3)
        })),
    120_000
  )

  it.scopedLive(
    "belongs to nobody: what waits is not listed, counted or found",
    () =>
      withPool({ pool: { size: 2 } }, (data) =>
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* filled(data, 2)
          const { waiting: [id = ""] } = yield* foldersIn(data)
          for (const user of ["", "anybody"]) {
            yield* Effect.gen(function*() {
              expect(yield* sdk.listSandboxes()).toEqual([])
              expect((yield* sdk.getUsage()).sandboxes).toBe(0)
              expect(yield* Effect.flip(sdk.getSandbox(id))).toMatchObject({ code: "not_found" })
              expect((yield* Effect.flip(sdk.runCode(id, "1"))).message).toContain("There is no sandbox")
            }).pipe(Effect.provideService(CurrentUser, user))
          }
          const mine = yield* Effect.provideService(create({ templateId: "python" }), CurrentUser, "me")
          const others = yield* Effect.flip(sdk.getSandbox(mine.id)).pipe(Effect.provideService(CurrentUser, "you"))
          expect(others).toMatchObject({ code: "not_found" })
        })),
    120_000
  )

  it.scopedLive(
    "is not used for what differs in what is fixed at the start",
    () =>
      withPool({ pool: { size: 1 }, network: "any" }, (data) =>
        Effect.gen(function*() {
          yield* filled(data, 1)
          yield* Effect.sleep("2 seconds")
          const { waiting: [id] } = yield* foldersIn(data)
          const others = yield* Effect.forEach([
            { templateId: "python", resources: { memoryMb: 512 } },
            { templateId: "python", resources: { processes: 100 } },
            { templateId: "python", network: { allow: ["127.0.0.1:9"] } },
            { templateId: "python", autoStart: false },
            { templateId: "bash" }
          ], create)
          expect(others.map((sandbox) => sandbox.id)).not.toContain(id)
          expect((yield* foldersIn(data)).waiting).toEqual([id])
          const same = yield* create({ templateId: "python", expiryTime: 60_000, resources: { memoryMb: 1024 } })
          expect(same.id).toBe(id)
          expect(same.expiresAt).toBeDefined()
        })),
    120_000
  )

  it.scopedLive(
    "knows a template by each of its names, and one from the other",
    () =>
      withPool({ pool: { size: 1, templates: ["python", "javascript"] } }, (data) =>
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* filled(data, 2)
          yield* Effect.sleep("2 seconds")
          const { waiting } = yield* foldersIn(data)
          const { templates } = yield* sdk.getTemplates()
          const [python] = templates.filter(({ config }) => config.language === "python")
          const other = yield* create({ templateId: "typescript" })
          expect([waiting.includes(other.id), other.templateConfig.language]).toEqual([false, "typescript"])
          const [byId, byAlias] = [
            yield* create({ templateId: python?.id ?? "" }),
            yield* create({ templateId: "javascript" })
          ]
          expect([byId.id, byAlias.id].sort()).toEqual([...waiting].sort())
          expect(byId).toMatchObject({ templateId: python?.id, templateConfig: python?.config })
          expect(byAlias.templateConfig.language).toBe("javascript")
          const wrong = yield* Effect.flip(
            create({ templateId: "python", resources: { memoryMb: 256, tmpMb: 200 } })
          )
          expect(wrong).toMatchObject({ field: "resources.tmpMb" })
        })),
    120_000
  )

  it.scopedLive(
    "throws away what is dead or does not answer, and gives the next one",
    () =>
      withPool({ pool: { size: 3 } }, (data) =>
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* filled(data, 3)
          yield* Effect.sleep("3 seconds")
          const { waiting } = yield* foldersIn(data)
          const pids = yield* Effect.forEach(waiting, processesOf)
          expect(pids.every((found) => found.length > 0)).toBe(true)
          // One is ended, one is sick: nothing in it goes on.
          const [dead = [], sick = []] = pids
          for (const pid of sick) process.kill(pid, "SIGSTOP")
          for (const pid of dead) process.kill(pid, "SIGKILL")
          const made = yield* Effect.forEach([1, 2, 3], () => create({ templateId: "python" }), { concurrency: 3 })
          const ids = made.map(({ id }) => id)
          expect(ids).not.toContain(waiting[0])
          expect(ids).not.toContain(waiting[1])
          const results = yield* Effect.forEach(ids, (id) => sdk.runCode(id, "1 + 1"))
          expect(results.map(({ execution }) => execution.text)).toEqual(["2", "2", "2"])
          yield* eventually(
            Effect.map(foldersIn(data), (found) => [...found.waiting, ...found.used].every((id) => id !== waiting[1]))
          )
        })),
    120_000
  )

  it.scopedLive("is drained when the engine ends, also while it is being filled", () =>
    Effect.gen(function*() {
      for (const wait of [true, false]) {
        const data = yield* dataFolder
        const made = yield* Effect.provide(
          Effect.zipRight(wait ? filled(data, 2) : Effect.void, create({ templateId: "python" })),
          layerLocal({ dataDirectory: data, pool: { size: 2 } })
        )
        expect(yield* foldersIn(data)).toEqual({ used: [made.id], waiting: [] })
        // A loop device goes when the last namespace that has seen it does.
        yield* eventually(Effect.map(Effect.promise(() => mountsOf(data)), (mounts) => mounts.length === 0))
        yield* eventually(Effect.map(Effect.promise(() => groupsOf([process.pid])), (groups) => groups.length === 0))
      }
    }), 120_000)

  it.scopedLive(
    "leaves nothing when its engine is killed, once the next one has started",
    () =>
      Effect.gen(function*() {
        const data = yield* dataFolder
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => fork(abandoned, [data], { stdio: "ignore" })),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const used = yield* Effect.promise(() => once(child, "message").then(([id]: ReadonlyArray<unknown>) => id))
        yield* filled(data, 2)
        const { waiting } = yield* foldersIn(data)
        const exit = once(child, "exit")
        child.kill("SIGKILL")
        yield* Effect.promise(() => exit)
        const listed = yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.listSandboxes()).pipe(
          Effect.provide(layerLocal({ dataDirectory: data }))
        )
        expect(listed.map(({ id }) => id)).toEqual([used])
        expect(yield* foldersIn(data)).toEqual({ used: [used], waiting: [] })
        yield* eventually(Effect.map(Effect.promise(() => mountsOf(data)), (mounts) => mounts.length === 0))
        // What was just killed is there until the first process of this machine has buried it.
        yield* eventually(Effect.map(Effect.forEach(waiting, processesOf), (found) => found.flat().length === 0))
      }),
    120_000
  )

  it.scopedLive("names the setting that is wrong", () =>
    Effect.gen(function*() {
      const failure = (options: LocalOptions) =>
        Effect.flip(Effect.provide(Effect.asVoid(SandboxSDK), layerLocal(options)))
      expect((yield* failure({ pool: { size: 0 } })).message).toContain("pool.size")
      expect((yield* failure({ pool: { size: 1, templates: ["cobol"] } })).message).toContain("cobol")
    }), 60_000)
})
