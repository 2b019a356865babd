import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Pulls from "../../src/internal/pulls.js"

/** In which way a stream is read. Plainly is how one is that has been through a combinator of `Stream`. */
const ways = [
  { name: "pulled", read: <A, E>(stream: Stream.Stream<A, E>) => stream },
  { name: "as a plain stream", read: <A, E>(stream: Stream.Stream<A, E>) => Stream.map(stream, (a) => a) }
]

const ends = {
  "its end": Effect.fail(Option.none()),
  "a failure": Effect.fail(Option.some("broken")),
  "a defect": Effect.die("a defect"),
  "an interruption": Effect.interrupt
} satisfies Record<string, Pulls.Pull<never, string>>

const outcome = (exit: Exit.Exit<unknown, string>): string =>
  Exit.match(exit, {
    onSuccess: () => "success",
    onFailure: (cause) =>
      Cause.isInterruptedOnly(cause) ? "interrupted" : Cause.squash(cause) === "broken" ? "broken" : "died"
  })

/** Two chunks and an end, with all that can be put around them; what happens is noted. */
const make = (end: Pulls.Pull<never, string>) => {
  const notes: Array<string> = []
  const note = (text: string) => Effect.sync(() => notes.push(text))
  const inner = Pulls.make(Effect.gen(function*() {
    yield* note("opened")
    yield* Effect.addFinalizer((exit) => note(`closed: ${Exit.isSuccess(exit) ? "success" : "failure"}`))
    let pulled = 0
    return yield* Pulls.toPull(Pulls.repeat(
      Effect.suspend((): Pulls.Pull<number, string> =>
        ++pulled > 2 ? end : Effect.succeed(Chunk.make(pulled, pulled * 10))
      )
    ))
  }))
  const stream = Pulls.unwrap(Effect.as(
    note("unwrapped"),
    inner.pipe(
      (self) => Pulls.mapChunksEffect(self, (chunk) => Effect.succeed(Chunk.map(chunk, (n) => n + 1))),
      (self) => Pulls.ensuring(self, Effect.succeed((exit) => note(`over: ${outcome(exit)}`)))
    )
  ))
  return { notes, stream }
}

/** Reads, and gives what came before the end and how it ended. */
const collect = (stream: Stream.Stream<number, string>) =>
  Effect.gen(function*() {
    const got: Array<number> = []
    const exit = yield* Effect.exit(
      Pulls.runForEachChunk(stream, (chunk) => Effect.sync(() => got.push(...chunk)))
    )
    return { got, how: outcome(exit) }
  })

describe.each(ways)("A stream that is $name", ({ read }) => {
  it.effect.each(Object.entries(ends))(
    "gives what there is, and closes after %s, once and from the inside out",
    ([name, end]) =>
      Effect.gen(function*() {
        const { notes, stream } = make(end)
        expect(notes).toStrictEqual([])
        const how = { "its end": "success", "a failure": "broken", "a defect": "died" }[name] ?? "interrupted"
        expect(yield* collect(read(stream))).toStrictEqual({ got: [2, 11, 3, 21], how })
        expect(notes).toStrictEqual([
          "unwrapped",
          "opened",
          `closed: ${how === "success" ? "success" : "failure"}`,
          `over: ${how}`
        ])
      })
  )

  it.effect("closes when its reader leaves", () =>
    Effect.gen(function*() {
      const { notes, stream } = make(Effect.never)
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(read(stream), 3)))).toStrictEqual([2, 11, 3])
      expect(notes).toStrictEqual(["unwrapped", "opened", "closed: success", "over: success"])
    }))

  it.live("closes when its reader is interrupted", () =>
    Effect.gen(function*() {
      const { notes, stream } = make(Effect.never)
      const second = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Pulls.runForEachChunk(read(stream), (chunk) =>
          Chunk.unsafeHead(chunk) === 3 ? Deferred.succeed(second, undefined) : Effect.void)
      )
      yield* Deferred.await(second)
      yield* Fiber.interrupt(fiber)
      expect(notes).toStrictEqual(["unwrapped", "opened", "closed: failure", "over: interrupted"])
    }))

  it.effect("fails with what it cannot be opened with", () =>
    Effect.gen(function*() {
      const notes: Array<string> = []
      const stream = Pulls.ensuring(
        Pulls.make<number, string>(Effect.zipRight(
          Effect.addFinalizer(() => Effect.sync(() => notes.push("closed"))),
          Effect.fail("broken")
        )),
        Effect.succeed((exit) => Effect.sync(() => notes.push(outcome(exit))))
      )
      expect(yield* collect(read(stream))).toStrictEqual({ got: [], how: "broken" })
      expect(notes).toStrictEqual(["closed", "broken"])
    }))
})

it.effect("A pull that has failed fails again in the same way, and opens nothing anew", () =>
  Effect.scoped(Effect.gen(function*() {
    const { notes, stream } = make(ends["a failure"])
    const pull = yield* Pulls.toPull(stream)
    yield* pull
    yield* pull
    expect(yield* Effect.flip(pull)).toStrictEqual(Option.some("broken"))
    expect(yield* Effect.flip(pull)).toStrictEqual(Option.some("broken"))
    expect(notes.filter((one) => one === "opened")).toHaveLength(1)
  })))
