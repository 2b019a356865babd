import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import { createServer } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FolderLock from "../../src/engine/FolderLock.js"
import * as Owner from "../../src/isolation/Owner.js"
import { failsWith } from "../conformance/support.js"

const makeFolder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "lock-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

const boot = Effect.promise(() => Fs.readFile("/proc/sys/kernel/random/boot_id", "utf8").then((text) => text.trim()))

/** A folder that somebody has taken. */
const takenBy = Effect.fnUntraced(function*(
  change: { readonly owner?: Partial<Owner.Owner>; readonly boot?: string; readonly beacon?: string }
) {
  const folder = yield* makeFolder
  const owner = { ...yield* Owner.self, ...change.owner }
  const holder = { boot: yield* boot, ...change, owner }
  yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "owner.7"), JSON.stringify(holder)))
  return folder
})

/** A socket; the name of one whose owner is gone stays. */
const makeSocket = (folder: string, alive: boolean) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const path = Path.join(folder, "alive-theirs")
      const server = createServer().listen(alive ? path : `${path}-once`)
      await once(server, "listening")
      if (!alive) {
        await Fs.rename(`${path}-once`, path)
        server.close()
      }
      return server
    }),
    (server) => Effect.sync(() => server.close())
  )

const isInUse = (folder: string) =>
  failsWith(Effect.scoped(FolderLock.acquire(folder)), { _tag: "SandboxError", code: "start_failed" })

const isFree = (folder: string) => Effect.scoped(FolderLock.acquire(folder))

/** A process that there cannot be. */
const NOBODY = 2 ** 22 + 1

describe("the lock of a folder", () => {
  it.scopedLive("keeps others out until it is given back, also when many want it", () =>
    Effect.gen(function*() {
      const folder = yield* takenBy({ owner: { pid: NOBODY } })
      for (let round = 0; round < 10; round++) {
        const tries = yield* Effect.forEach(
          Array.from({ length: 8 }),
          () =>
            Effect.flatMap(Scope.make(), (scope) =>
              Effect.map(Effect.exit(Scope.extend(FolderLock.acquire(folder), scope)), (exit) => ({ exit, scope }))),
          { concurrency: "unbounded" }
        )
        expect(tries.filter(({ exit }) =>
          Exit.isSuccess(exit)
        )).toHaveLength(1)
        yield* isInUse(folder)
        yield* Effect.forEach(tries, ({ exit, scope }) => Scope.close(scope, exit))
        expect((yield* Effect.promise(() => Fs.readdir(folder))).filter((name) => !/^owner\.\d+$/.test(name))).toEqual(
          []
        )
      }
      expect(yield* Effect.promise(() => Fs.readdir(folder))).toHaveLength(1)
    }))

  it.scopedLive("falls to the next when its process is gone", () =>
    Effect.gen(function*() {
      yield* isFree(yield* takenBy({ owner: { pid: NOBODY } }))
    }))

  it.scopedLive("falls to the next when the number of its process is another's by now", () =>
    Effect.gen(function*() {
      yield* isFree(yield* takenBy({ owner: { startTime: "1" } }))
      yield* isInUse(yield* takenBy({}))
    }))

  it.scopedLive("falls to the next after a reboot, whatever has the number and the start time now", () =>
    Effect.gen(function*() {
      yield* isFree(yield* takenBy({ boot: "00000000-0000-0000-0000-000000000000" }))
    }))

  it.scopedLive("of another process namespace is kept, unless its socket says that nobody is there", () =>
    Effect.gen(function*() {
      const elsewhere = { owner: { namespace: "1", pid: NOBODY } }
      yield* isInUse(yield* takenBy(elsewhere))
      const gone = yield* takenBy({ ...elsewhere, beacon: "alive-theirs" })
      yield* makeSocket(gone, false)
      yield* isFree(gone)
      const alive = yield* takenBy({ ...elsewhere, beacon: "alive-theirs" })
      yield* makeSocket(alive, true)
      yield* isInUse(alive)
    }))

  it.scopedLive("is not taken from what cannot be understood, and the message says what to remove", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const file = Path.join(folder, "owner.3")
      yield* Effect.promise(() => Fs.writeFile(file, "{\"version\":2}"))
      const error = yield* isInUse(folder)
      expect(error.message).toContain(file)
      yield* Effect.promise(() => Fs.rm(file))
      yield* isFree(folder)
    }))

  it.scopedLive("works in a folder with a long path", () =>
    Effect.gen(function*() {
      const folder = Path.join(yield* makeFolder, "x".repeat(200))
      yield* Effect.promise(() => Fs.mkdir(folder))
      yield* FolderLock.acquire(folder)
      yield* isInUse(folder)
      expect((yield* Effect.promise(() => Fs.readdir(folder))).some((name) => name.startsWith("alive-"))).toBe(true)
    }))
})
