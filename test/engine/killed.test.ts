import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually } from "../conformance/support.js"
import { processesWith } from "../support/processes.js"

const program = fileURLToPath(new URL("../support/abandoned.mjs", import.meta.url))

/** The folders and control groups of engines that were made by this process id. */
const tracesOf = (pid: number) =>
  Effect.promise(async () => {
    const mine = (name: string) => name.startsWith(`sandbox-sdk-${pid}-`)
    const groups = (await Fs.readdir("/sys/fs/cgroup", { recursive: true }).catch(() => []))
      .filter((path) => path.split("/").some(mine))
    const folders = (await Fs.readdir(Os.tmpdir())).filter(mine)
    const mounts = (await Fs.readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) =>
      folders.some((name) => line.includes(Path.join(Os.tmpdir(), name)))
    )
    return { groups, folders, mounts }
  })

describe("an engine whose process was killed", () => {
  it.live("leaves no process, and after the start of the next one no mount, control group or folder", () =>
    Effect.gen(function*() {
      const mark = `abandoned-${process.pid}`
      const child = spawn(process.execPath, [program, mark], { stdio: ["ignore", "pipe", "inherit"] })
      const pid = child.pid ?? 0
      yield* Effect.promise(() => once(child.stdout, "data"))
      yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length >= 4))
      expect((yield* tracesOf(pid)).folders).toHaveLength(1)
      child.kill("SIGKILL")
      yield* Effect.promise(() => once(child, "exit"))
      yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length === 0))
      yield* SandboxSDK.pipe(Effect.provide(layerLocal()))
      expect(yield* tracesOf(pid)).toEqual({ groups: [], folders: [], mounts: [] })
    }))
})
