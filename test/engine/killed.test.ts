import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually } from "../conformance/support.js"
import { processesWith } from "../support/processes.js"
import { groupsOf, mountsOf } from "../support/traces.js"

const program = fileURLToPath(new URL("../support/abandoned.mjs", import.meta.url))

/** The folders, mounts and control groups of engines that were made by this process id. */
const tracesOf = (pid: number) =>
  Effect.promise(async () => {
    const folders = (await Fs.readdir(Os.tmpdir())).filter((name) => name.startsWith(`sandbox-sdk-${pid}-`))
    const mounts = await Promise.all(folders.map((name) => mountsOf(Path.join(Os.tmpdir(), name))))
    return { groups: await groupsOf([pid]), folders, mounts: mounts.flat() }
  })

const nothing = { groups: [], folders: [], mounts: [] }

/** A program that embeds the engine and has sandboxes in which things run. */
const embedding = Effect.fnUntraced(function*(mark: string, ...args: ReadonlyArray<string>) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(program, [mark, ...args], { stdio: "ignore", detached: true })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  yield* Effect.promise(() => once(child, "message"))
  yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length >= 4))
  return { child, pid: child.pid ?? 0 }
})

const endings: ReadonlyArray<
  readonly [what: string, end: (child: ChildProcess) => void, args?: ReadonlyArray<string>]
> = [
  ["is killed", (child) => child.kill("SIGKILL")],
  ["is killed with its process group", (child) => process.kill(-(child.pid ?? 0), "SIGKILL")],
  ["is ended by SIGTERM", (child) => child.kill("SIGTERM")],
  ["is ended by SIGHUP", (child) => child.kill("SIGHUP")],
  ["dies of an exception", (child) => child.send("now"), ["throw"]],
  ["calls process.exit()", (child) => child.send("now"), ["exit"]]
]

describe("an engine whose process", () => {
  for (const [what, end, args = []] of endings) {
    it.scopedLive(`${what} leaves no process, and after the start of the next one nothing else`, () =>
      Effect.gen(function*() {
        const mark = `abandoned-${process.pid}-${what.replace(/\W/g, "")}`
        const { child, pid } = yield* embedding(mark, ...args)
        expect((yield* tracesOf(pid)).folders).toHaveLength(1)
        const exit = once(child, "exit")
        end(child)
        yield* Effect.promise(() => exit)
        yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length === 0))
        yield* SandboxSDK.pipe(Effect.provide(layerLocal()))
        expect(yield* tracesOf(pid)).toEqual(nothing)
      }))
  }

  it.scopedLive(
    "is killed leaves nothing after the start of the next one, also without isolation",
    () =>
      Effect.gen(function*() {
        const mark = `abandoned-${process.pid}-none`
        const { child, pid } = yield* embedding(mark, "wait", "none")
        child.kill("SIGKILL")
        yield* Effect.promise(() => once(child, "exit"))
        yield* SandboxSDK.pipe(Effect.provide(layerLocal({ isolation: "none" })))
        expect(yield* processesWith(mark)).toEqual([])
        expect(yield* tracesOf(pid)).toEqual(nothing)
      }),
    120_000
  )

  it.scopedLive(
    "lives is left alone by all others, those in folders of their own and those without",
    () =>
      Effect.gen(function*() {
        const mark = `abandoned-${process.pid}-living`
        const { child, pid } = yield* embedding(mark)
        const before = { processes: yield* processesWith(mark), traces: yield* tracesOf(pid) }
        const folder = yield* Effect.acquireRelease(
          Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "data-"))),
          (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
        )
        yield* Effect.promise(() => Fs.chmod(folder, 0o755))
        for (const options of [{}, { dataDirectory: folder }, { isolation: "none" as const }]) {
          const create = Effect.flatMap(SandboxSDK, (sdk) => sdk.createSandbox({ templateId: "python" }))
          yield* Effect.provide(create, layerLocal(options))
        }
        expect({ processes: yield* processesWith(mark), traces: yield* tracesOf(pid) }).toEqual(before)
        expect(child.exitCode).toBeNull()
      }),
    120_000
  )
})
