import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Fs from "node:fs/promises"
import * as Lent from "../../src/agent/Lent.js"

const MIB = 1024 * 1024
const SIZE = 10 * MIB + 17

/** A file of one byte, again and again, that is open. */
const fileOf = (byte: number) =>
  Effect.gen(function*() {
    const path = `${yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())}/file`
    yield* Effect.promise(() => Fs.writeFile(path, Buffer.alloc(SIZE, byte)))
    return yield* Effect.acquireRelease(
      Effect.promise(() => Fs.open(path)),
      (file) => Effect.promise(() => file.close())
    )
  })

/** How many bytes come, all of which have to be this one. */
const lengthOf = (byte: number, pieces: Stream.Stream<Uint8Array, unknown>) =>
  Stream.runFold(pieces, 0, (length, piece) => {
    assert.isTrue(piece.every((found) => found === byte))
    return length + piece.length
  })

describe("a lent file that is read into memory that is used again", () => {
  it.scoped("is not in the memory of another one that is read at the same time", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([fileOf(1), fileOf(2)])
      // It leaves its memory to the next.
      assert.strictEqual(yield* lengthOf(1, Lent.read(a, true)), SIZE)
      // With each piece of the one, all of the other is read.
      const both = Stream.mapEffect(
        Lent.read(a, true),
        (piece) =>
          Effect.map(lengthOf(2, Lent.read(b, true)), (length) => {
            assert.strictEqual(length, SIZE)
            return piece
          })
      )
      assert.strictEqual(yield* lengthOf(1, both), SIZE)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scoped("keeps its memory when it is given up, as something may still be read into it", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([fileOf(1), fileOf(2)])
      let held: Uint8Array = new Uint8Array()
      yield* Stream.runForEach(Stream.take(Lent.read(a, true), 1), (piece) => Effect.sync(() => void (held = piece)))
      assert.strictEqual(yield* lengthOf(2, Lent.read(b, true)), SIZE)
      assert.isTrue(held.length > 0 && held.every((found) => found === 1))
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
