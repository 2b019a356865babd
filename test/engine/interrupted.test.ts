/**
 * What the engine writes among its own files is done when who had it written is interrupted: what cleans up then would be too
 * early otherwise, and something would stay behind.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { pbkdf2 } from "node:crypto"
import { rmSync } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { makePassage } from "../../src/engine/DataDirectory.js"
import { replaceFile } from "../../src/engine/JsonFile.js"

const folder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "interrupted-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

/** Keeps the threads busy on which Node works on files: what is asked of them meanwhile is done later. */
const busyThreads = Effect.forEach(
  Array.from({ length: 16 }),
  () => Effect.fork(Effect.async<void>((resume) => pbkdf2("", "", 100_000, 64, "sha512", () => resume(Effect.void))))
)

for (
  const [what, write] of [
    ["a folder", (path: string) => makePassage(path)],
    ["a record", (path: string) => replaceFile(path, "{}")]
  ] as const
) {
  it.scopedLive(`${what} is made when its making has been interrupted, and not later`, () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "made")
      const threads = yield* busyThreads
      yield* Effect.yieldNow()
      const fiber = yield* Effect.fork(write(path))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      // At once, and not by those threads.
      yield* Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      yield* Fiber.joinAll(threads)
      yield* Effect.promise(() => Fs.lstat("/"))
      expect(yield* Effect.promise(() => Fs.readdir(Path.dirname(path)))).toEqual([])
    }))
}
