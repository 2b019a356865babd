/**
 * Files that are so large that the engine reads and writes them itself: what holds in the middle of that.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Stream } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { layerLocal } from "../../src/local.js"
import { downloadFile, uploadFile } from "../../src/LocalFile.js"
import type { Resources } from "../../src/Resources.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"

const MIB = 1024 * 1024

/** A sandbox, until the scope closes. */
const make = (resources: Resources = {}) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const { sandbox: { id } } = yield* sdk.createSandbox({ templateId: "python", resources })
    return { sdk, id, shell: (command: string) => sdk.runTerminal(id, command) }
  })

const withEngine = () => Effect.provide(layerLocal())

/** Bytes that tell where they are. */
const pattern = (from: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  for (let index = 0; index + 4 <= length; index += 4) bytes.writeUInt32LE((from + index) >>> 0, index)
  return bytes
}

/** Pieces of 1 MiB; after so many of them it waits. */
const pieces = (count: number, pauseAfter = Infinity, pause: Effect.Effect<unknown> = Effect.void) =>
  Stream.range(0, count - 1).pipe(
    Stream.rechunk(1),
    Stream.mapEffect((index) => Effect.as(index === pauseAfter ? pause : Effect.void, pattern(index * MIB, MIB)))
  )

/** The files on disks of sandboxes that this process has open. */
const open = (): ReadonlyArray<string> => {
  const devices = Fs.readFileSync("/proc/self/mounts", "utf8").split("\n")
    .map((line) => line.split(" ")[1] ?? "").filter((path) => /sandbox-sdk-.*\/workspace$/.test(path))
    .map((path) => Fs.statSync(path).dev)
  return Fs.readdirSync("/proc/self/fd").filter((fd) => {
    const stats = Fs.statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false })
    return stats?.isFile() === true && devices.includes(stats.dev)
  })
}

/** How often one that is being written is open: for what goes through its cache, and for what goes around it. */
const WRITTEN = 2

const untilOpen = (count: number) => Effect.map(eventually(Effect.sync(() => open().length === count)), open)

const checksum = (bytes: Uint8Array) => execFileSync("sha256sum", { input: bytes }).toString().slice(0, 64)

// Otherwise there is no disk by which a file is known.
describe.runIf(process.geteuid?.() === 0)("A large file", () => {
  it.scopedLive("arrives when its pieces use one piece of memory, and keeps its mode", () =>
    Effect.gen(function*() {
      const { id, sdk, shell } = yield* make()
      yield* shell("echo old > f; chmod 640 f; echo suid > s; chmod 6755 s")
      const memory = Buffer.alloc(333_333)
      let held = 0
      const content = Stream.range(0, 60).pipe(
        Stream.rechunk(1),
        Stream.map((index) => {
          held = Math.max(held, open().length)
          pattern(index * 333_333, 333_333).copy(memory)
          return memory
        })
      )
      const whole = Buffer.concat(Array.from({ length: 61 }, (_, index) => pattern(index * 333_333, 333_333)))
      yield* sdk.writeFileStream(id, "f", content)
      // Otherwise this tests something else.
      expect(held).toBe(WRITTEN)
      expect(yield* shell("sha256sum < f; stat -c '%U %a' f; ls -A")).toBe(
        `${checksum(whole)}  -\nuser 640\nf\ns\n`
      )
      yield* sdk.writeFileStream(id, "s", content)
      expect(yield* shell("stat -c %a s; cmp f s")).toBe("755\n")
      expect(Buffer.compare(yield* sdk.readFileBytes(id, "f"), whole)).toBe(0)
      expect(open()).toEqual([])
    }).pipe(withEngine()))

  it.scopedLive("of any size around those at which something changes is the same on its way back", () =>
    Effect.gen(function*() {
      const { id, sdk } = yield* make()
      for (const around of [MIB, 1.25 * MIB, 2 * MIB, 4 * MIB, 5 * MIB, 10 * MIB]) {
        for (const size of [around - 1, around, around + 1]) {
          const content = pattern(0, size)
          yield* sdk.writeFile(id, "f", content)
          expect([size, checksum(yield* sdk.readFileBytes(id, "f"))]).toEqual([size, checksum(content)])
        }
      }
    }).pipe(withEngine()))

  it.scopedLive("stands still while its sandbox is paused", () =>
    Effect.gen(function*() {
      const { id, sdk, shell } = yield* make()
      const go = yield* Deferred.make<void>()
      const writing = yield* Effect.fork(sdk.writeFileStream(id, "f", pieces(20, 10, Deferred.await(go))))
      const size = Effect.sync(() =>
        open().reduce(
          (most, fd) => Math.max(most, Fs.statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false })?.size ?? 0),
          0
        )
      )
      yield* eventually(Effect.map(size, (bytes) => bytes >= 8 * MIB))
      yield* sdk.pauseSandbox(id)
      const before = yield* size
      yield* Deferred.succeed(go, undefined)
      yield* Effect.sleep("300 millis")
      expect(yield* size).toBe(before)
      yield* sdk.resumeSandbox(id)
      yield* Fiber.join(writing)
      expect(yield* shell("sha256sum < f")).toBe(`${checksum(pattern(0, 20 * MIB))}  -\n`)
    }).pipe(withEngine()))

  it.scopedLive("leaves nothing when it is given up in the middle, or fails", () =>
    Effect.gen(function*() {
      const { id, sdk, shell } = yield* make()
      const writing = yield* Effect.fork(sdk.writeFileStream(id, "f", pieces(20, 10, Effect.never)))
      yield* untilOpen(WRITTEN)
      yield* Fiber.interrupt(writing)
      expect(open()).toEqual([])
      expect(yield* Effect.flip(sdk.writeFileStream(id, "f", Stream.concat(pieces(10), Stream.fail("no more"))))).toBe(
        "no more"
      )
      expect(open()).toEqual([])
      expect(yield* shell("ls -A")).toBe("")
      yield* sdk.writeFileStream(id, "f", pieces(20))
      // Who has read enough has read enough.
      const some = yield* Stream.runCollect(Stream.take(sdk.readFileStream(id, "f"), 3))
      expect(Buffer.concat(Chunk.toReadonlyArray(some)).equals(pattern(0, 3 * 256 * 1024))).toBe(true)
      yield* untilOpen(0)
    }).pipe(withEngine()))

  it.scopedLive("has its own bytes when others go beside it, and when one has been given up", () =>
    Effect.gen(function*() {
      const { id } = yield* make()
      const sandbox = yield* Sandbox.attach(id)
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      const files = [0, 1, 2].map((name) => ({ name, content: pattern(name * 100 * MIB, 13 * MIB + name) }))
      yield* Effect.forEach(files, ({ name, content }) => fs.writeFile(`${here}/${name}`, content))
      const there = Effect.forEach(
        files,
        ({ name, content }) =>
          Effect.map(fs.readFile(`${here}/back-${name}`), (bytes) => expect(checksum(bytes)).toBe(checksum(content))),
        { discard: true }
      )
      const up = Effect.forEach(files, ({ name }) => uploadFile(sandbox, `${here}/${name}`, `${name}`), {
        concurrency: "unbounded"
      })
      const down = Effect.forEach(files, ({ name }) => downloadFile(sandbox, `${name}`, `${here}/back-${name}`), {
        concurrency: "unbounded"
      })
      for (let round = 0; round < 2; round++) {
        yield* up
        yield* down
        yield* there
        // In the middle of it, and then of one that goes the other way.
        const begun = yield* Deferred.make<void>()
        const onProgress = () => Deferred.succeed(begun, undefined)
        const givenUp = yield* Effect.fork(
          round % 2 === 0
            ? downloadFile(sandbox, "0", `${here}/none`, { onProgress })
            : uploadFile(sandbox, `${here}/0`, "none", { onProgress })
        )
        yield* Deferred.await(begun)
        yield* Effect.zip(Fiber.interrupt(givenUp), down, { concurrent: true })
        yield* there
      }
    }).pipe(Effect.provide(NodeContext.layer), withEngine()))

  it.scopedLive("that has no room is refused, and so is one that is larger than a file may be", () =>
    Effect.gen(function*() {
      const { id, sdk, shell } = yield* make({ diskMb: 16, fileSizeMb: 64 })
      yield* failsWith(sdk.writeFileStream(id, "f", pieces(40)), { _tag: "SandboxError", code: "disk_full" })
      expect(yield* shell("ls -A")).toBe("")
      const other = yield* make({ fileSizeMb: 10 })
      yield* failsWith(sdk.writeFileStream(other.id, "f", pieces(11)), { _tag: "SandboxError", field: "path" })
      expect(yield* other.shell("ls -A")).toBe("")
      yield* sdk.writeFileStream(other.id, "f", pieces(10))
      expect(yield* other.shell("stat -c %s f")).toBe(`${10 * MIB}\n`)
      expect(open()).toEqual([])
    }).pipe(withEngine()))

  it.scopedLive("does not hold up the end of its sandbox, and tells of it", () =>
    Effect.gen(function*() {
      const { id, sdk } = yield* make()
      yield* sdk.writeFileStream(id, "f", pieces(20))
      const first = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const reading = yield* Effect.fork(Effect.either(Stream.runForEach(
        sdk.readFileStream(id, "f"),
        () => Effect.zipRight(Deferred.succeed(first, undefined), Deferred.await(go))
      )))
      const writing = yield* Effect.fork(Effect.either(sdk.writeFileStream(id, "g", pieces(20, 10, Effect.never))))
      yield* Deferred.await(first)
      yield* untilOpen(1 + WRITTEN)
      yield* sdk.deleteSandbox(id)
      expect(open()).toEqual([])
      expect(Fs.readFileSync("/proc/self/mounts", "utf8")).not.toContain(id)
      yield* Deferred.succeed(go, undefined)
      const lost = { _tag: "Left", left: { _tag: "SandboxError", sandboxId: id } }
      expect(yield* Fiber.join(reading)).toMatchObject(lost)
      expect(yield* Fiber.join(writing)).toMatchObject(lost)
    }).pipe(withEngine()))
})
