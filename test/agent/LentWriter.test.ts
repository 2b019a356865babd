import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Option } from "effect"
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import * as LentWriter from "../../src/agent/LentWriter.js"

const MIB = 1024 * 1024

const open = (path: string, flags: number) =>
  Effect.acquireRelease(Effect.promise(() => Fs.open(path, flags)), (file) => Effect.promise(() => file.close()))

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

/** Bytes of which no two blocks are the same. */
const contentOf = (length: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let index = 0; index < words.length; index++) words[index] = index * 2_654_435_761
  return new Uint8Array(words.buffer, 0, length)
}

interface Piece {
  readonly length: number
  /** Whether it is put where the writer has room for it. */
  readonly inPlace: boolean
}

/** Pushes all of the content, in such pieces; gives what was left over, and where it begins. */
const pushAll = (writer: LentWriter.LentWriter, content: Uint8Array, from: number, pieces: ReadonlyArray<Piece>) =>
  Effect.gen(function*() {
    let offset = from
    for (let index = 0; offset < content.length; index++) {
      const { inPlace, length } = pieces[index % pieces.length] ?? { inPlace: false, length: MIB }
      const bytes = content.subarray(offset, offset + length)
      const room = inPlace ? writer.free().subarray(0, bytes.length) : new Uint8Array(bytes.length)
      const piece = bytes.subarray(0, room.length)
      room.set(piece)
      offset += piece.length
      const rest = yield* writer.push(room)
      if (rest.length > 0) return Buffer.concat([...rest, content.subarray(offset)])
      // It may change now.
      if (!inPlace) room.fill(0xff)
    }
    return Buffer.concat(yield* writer.end)
  })

/** Changes nothing, and says so when that matters. */
const lender = { changing: <A, E, R>(effect: Effect.Effect<A, E, R>) => effect, most: 1024 * MIB, sync: true }

const write = (options: {
  readonly path: string
  readonly direct: Option.Option<string>
  readonly content: Uint8Array
  readonly from: number
  readonly pieces: ReadonlyArray<Piece>
  readonly most?: number
}) =>
  Effect.scoped(Effect.gen(function*() {
    const { content, from, path, pieces } = options
    yield* Effect.promise(() => Fs.writeFile(path, content.subarray(0, from)))
    const file = yield* open(path, constants.O_WRONLY)
    const direct = Option.isSome(options.direct)
      ? Option.some(yield* open(options.direct.value, constants.O_WRONLY | constants.O_DIRECT))
      : Option.none()
    const writer = yield* LentWriter.make(file, direct, from, { ...lender, most: options.most ?? lender.most })
    const rest = yield* pushAll(writer, content, from, pieces)
    return { rest, written: yield* Effect.promise(() => Fs.readFile(path)) }
  }))

const isSame = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0

const size = fc.oneof(
  fc.integer({ min: 1, max: 6 * MIB }),
  fc.constantFrom(1, 511, 512, 4095, 4096, 4097, 4 * MIB, 4 * MIB + 1)
)

const input = fc.record({
  from: fc.oneof(fc.constant(0), size),
  more: size,
  around: fc.boolean(),
  pieces: fc.array(fc.record({ length: fc.integer({ min: 4_000, max: 6 * MIB }), inPlace: fc.boolean() }), {
    minLength: 1,
    maxLength: 6
  })
})

describe("a writer to a file that is lent", () => {
  it.scopedLive(
    "writes every byte in its place, whatever it is given and wherever it goes on",
    () =>
      Effect.gen(function*() {
        const path = `${yield* folder}/file`
        const all = contentOf(12 * MIB)
        const holds = fc.asyncProperty(input, ({ around, from, more, pieces }) =>
          Effect.runPromise(Effect.map(
            write({
              path,
              direct: around ? Option.some(path) : Option.none(),
              content: all.subarray(0, from + more),
              from,
              pieces
            }),
            ({ rest, written }) => rest.length === 0 && isSame(written, all.subarray(0, from + more))
          )))
        yield* Effect.promise(() => fc.assert(holds, { numRuns: 60 }))
      }).pipe(Effect.provide(NodeFileSystem.layer)),
    60_000
  )

  it.scopedLive("has its own memory while another one writes", () =>
    Effect.gen(function*() {
      const here = yield* folder
      const writerOf = (name: string) =>
        Effect.flatMap(
          open(`${here}/${name}`, constants.O_WRONLY | constants.O_CREAT),
          (file) => LentWriter.make(file, Option.none(), 0, lender)
        )
      const push = (writer: LentWriter.LentWriter, byte: number) =>
        Effect.suspend(() => writer.push(writer.free().subarray(0, MIB).fill(byte)))
      // It leaves its memory to the next.
      const first = yield* writerOf("0")
      yield* Effect.zipRight(push(first, 9), first.end)
      const writers = [yield* writerOf("1"), yield* writerOf("2")]
      for (let mebibyte = 0; mebibyte < 10; mebibyte++) {
        yield* Effect.forEach(writers, (writer, index) => push(writer, index + 1))
      }
      yield* Effect.forEach(writers, (writer) => writer.end)
      for (const byte of [1, 2]) {
        const written = yield* Effect.promise(() => Fs.readFile(`${here}/${byte}`))
        assert.isTrue(isSame(written, Buffer.alloc(10 * MIB, byte)))
      }
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("gives back what goes beyond the largest size, and everything behind it", () =>
    Effect.gen(function*() {
      const path = `${yield* folder}/file`
      const content = contentOf(10 * MIB + 17)
      const { rest, written } = yield* write({
        path,
        direct: Option.some(path),
        content,
        from: 100,
        pieces: [{ length: 700_001, inPlace: false }],
        most: 6 * MIB
      })
      assert.isAtMost(written.length, 6 * MIB)
      assert.isAtLeast(written.length, 4 * MIB)
      assert.isTrue(isSame(Buffer.concat([written, rest]), content))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("writes through the cache what the kernel does not take around it", () =>
    Effect.gen(function*() {
      const path = `${yield* folder}/file`
      const content = contentOf(3 * MIB + 1)
      // The kernel says EINVAL to whatever is no number, as it does to what begins or ends at a wrong byte.
      const direct = yield* open("/proc/self/oom_score_adj", constants.O_WRONLY)
      const file = yield* open(path, constants.O_WRONLY | constants.O_CREAT)
      const writer = yield* LentWriter.make(file, Option.some(direct), 0, lender)
      const rest = yield* pushAll(writer, content, 0, [{ length: MIB, inPlace: true }])
      assert.strictEqual(rest.length, 0)
      assert.isTrue(isSame(yield* Effect.promise(() => Fs.readFile(path)), content))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("writes whole blocks around the cache alone", () =>
    Effect.gen(function*() {
      const path = `${yield* folder}/file`
      const content = contentOf(5 * MIB)
      yield* Effect.promise(() => Fs.writeFile(path, ""))
      // Nothing can be written by this one.
      const file = yield* open(path, constants.O_RDONLY)
      const direct = yield* open(path, constants.O_WRONLY | constants.O_DIRECT)
      const writer = yield* LentWriter.make(file, Option.some(direct), 0, lender)
      const rest = yield* pushAll(writer, content, 0, [{ length: 700_001, inPlace: false }])
      assert.strictEqual(rest.length, 0)
      assert.isTrue(isSame(yield* Effect.promise(() => Fs.readFile(path)), content))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("gives back everything when it cannot write at all", () =>
    Effect.gen(function*() {
      const path = `${yield* folder}/file`
      const content = contentOf(3 * MIB + 1)
      yield* Effect.promise(() => Fs.writeFile(path, ""))
      const file = yield* open(path, constants.O_RDONLY)
      const writer = yield* LentWriter.make(file, Option.some(file), 0, lender)
      const rest = yield* pushAll(writer, content, 0, [{ length: 300_000, inPlace: true }])
      assert.isTrue(isSame(rest, content))
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
