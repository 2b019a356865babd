import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Consumption from "../../src/isolation/Consumption.js"

const nothing = { memory: Option.none(), cpu: Option.none() }

/** A Python that says when it has come to its end, and then waits to be killed. */
const python = (code: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn("python3", ["-c", `${code}\nprint("done", flush=True)\nimport time; time.sleep(600)`], {
        stdio: ["ignore", "pipe", "inherit"],
        detached: true
      })
      if (child.stdout !== null) await once(child.stdout, "data")
      return child
    }),
    (child: ChildProcess) => Effect.sync(() => process.kill(-(child.pid ?? 0), "SIGKILL"))
  )

/** A folder with these files. */
const folder = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const path = await Fs.mkdtemp(Path.join(Os.tmpdir(), "consumption-"))
      for (const [name, text] of Object.entries(files)) await Fs.writeFile(Path.join(path, name), text)
      return path
    }),
    (path) => Effect.promise(() => Fs.rm(path, { recursive: true }))
  )

describe("what processes take, without control groups", () => {
  it.scopedLive("counts memory that several of them share once", () =>
    Effect.gen(function*() {
      const { pid = 0 } = yield* python(
        "import os\nkept = b'x' * 80_000_000\nfor _ in range(3):\n  if os.fork() == 0: os.read(os.pipe()[0], 1)"
      )
      const { cacheBytes, memoryBytes } = yield* Consumption.make(pid, nothing)
      expect(memoryBytes).toBeGreaterThan(80_000_000)
      expect(memoryBytes).toBeLessThan(160_000_000)
      expect(cacheBytes).toBe(0)
    }))

  it.scopedLive("counts processor time of what has ended", () =>
    Effect.gen(function*() {
      const { pid = 0 } = yield* python(
        "import os, time\nif os.fork() == 0:\n  while time.process_time() < 0.4: pass\n  os._exit(0)\nos.wait()"
      )
      const { cpuMicros } = yield* Consumption.make(pid, nothing)
      expect(cpuMicros).toBeGreaterThanOrEqual(380_000)
    }))

  it.effect("counts nothing for what is not there", () =>
    Effect.gen(function*() {
      expect(yield* Consumption.make(2 ** 22 + 1, nothing)).toEqual({ cpuMicros: 0, memoryBytes: 0, cacheBytes: 0 })
    }))
})

describe("what control groups count", () => {
  it.scoped("version 2: what is in /tmp is no cache", () =>
    Effect.gen(function*() {
      const path = yield* folder({
        "memory.current": "9000\n",
        "memory.stat": "anon 3000\nfile 5000\nkernel 1000\nshmem 2000\n",
        "cpu.stat": "usage_usec 123456\nuser_usec 100000\n"
      })
      const group = Option.some({ version: 2 as const, path })
      expect(yield* Consumption.make(0, { memory: group, cpu: group })).toEqual({
        cpuMicros: 123_456,
        memoryBytes: 6_000,
        cacheBytes: 3_000
      })
    }))

  it.scoped("version 1: with the groups below", () =>
    Effect.gen(function*() {
      const path = yield* folder({
        "memory.usage_in_bytes": "9000\n",
        "memory.stat": "cache 1\nshmem 1\ntotal_cache 5000\ntotal_shmem 2000\n",
        "cpuacct.usage": "123456789\n"
      })
      const group = Option.some({ version: 1 as const, path })
      expect(yield* Consumption.make(0, { memory: group, cpu: group })).toEqual({
        cpuMicros: 123_457,
        memoryBytes: 6_000,
        cacheBytes: 3_000
      })
    }))

  it.scopedLive("where one has no such file, processes are looked at", () =>
    Effect.gen(function*() {
      const { pid = 0 } = yield* python("kept = b'x' * 50_000_000")
      const group = Option.some({ version: 1 as const, path: yield* folder({}) })
      const { memoryBytes } = yield* Consumption.make(pid, { memory: group, cpu: group })
      expect(memoryBytes).toBeGreaterThan(50_000_000)
    }))

  it.effect("says that it cannot be measured elsewhere", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Consumption.unsupported)
      expect(error.code).toBe("unsupported")
    }))
})
