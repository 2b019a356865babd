import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import * as Reusing from "../../src/internal/reusing.js"

/** 0, 1, 2 and 3, in new pieces or in one that changes, where that is wished or else in its own memory. */
const counting = () => {
  const own = new Uint8Array(1)
  const numbers = Stream.rechunk(Stream.range(0, 3), 1)
  const again = (memory?: Reusing.Memory) =>
    Stream.map(numbers, (n) => {
      const piece = memory?.() ?? own
      piece[0] = n
      return piece
    })
  return Reusing.make(Stream.map(numbers, (n) => Uint8Array.of(n)), again)
}

/** What is in the pieces when all of them have come. */
const kept = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(stream), (pieces) => Chunk.toReadonlyArray(pieces).map(([n]) => n))

/** What is in each piece when it comes. */
const passing = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.gen(function*() {
    const seen: Array<number | undefined> = []
    yield* Stream.runForEach(stream, ([n]) => Effect.sync(() => seen.push(n)))
    return seen
  })

describe("a stream whose memory is used again", () => {
  it.effect("is a plain stream for who does not ask, and behind any combinator", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* kept(counting()), [0, 1, 2, 3])
      assert.deepStrictEqual(yield* kept(Reusing.reusing(Stream.buffer(counting(), { capacity: 4 }))), [0, 1, 2, 3])
    }))

  it.effect("uses it again for who asks, also through what keeps both forms", () =>
    Effect.gen(function*() {
      const doubling = Reusing.through(Stream.map((piece: Uint8Array) => {
        piece[0] = 2 * (piece[0] ?? 0)
        return piece
      }))
      const both = Reusing.unwrap(Effect.succeed(doubling(counting())))
      assert.deepStrictEqual(yield* passing(Reusing.reusing(both)), [0, 2, 4, 6])
      assert.deepStrictEqual(yield* kept(Reusing.reusing(both)), [6, 6, 6, 6])
      assert.deepStrictEqual(yield* kept(both), [0, 2, 4, 6])
    }))

  it.effect("puts each piece where that is wished, also through what keeps both forms", () =>
    Effect.gen(function*() {
      const places = new Uint8Array(4)
      let next = 0
      const through = Reusing.through(Stream.tap((_: Uint8Array) => Effect.void))
      const both = Reusing.unwrap(Effect.succeed(through(counting())))
      // The second one is left to the stream.
      const memory = () => next++ === 1 ? undefined : places.subarray(next - 1, next)
      assert.deepStrictEqual(yield* passing(Reusing.reusing(both, memory)), [0, 1, 2, 3])
      assert.deepStrictEqual([...places], [0, 0, 2, 3])
    }))
})
