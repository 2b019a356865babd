import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Queue, Ref, Schema, Stream, TestClock } from "effect"
import * as fc from "fast-check"
import { ConnectionError, RateLimitError, SandboxError, TimeoutError } from "../../src/Errors.js"
import { type ExecutionEvent, ExecutionResult, type OutputMessage, type TerminalEvent } from "../../src/Execution.js"
import { collectExecution, type CollectOptions, collectTerminal } from "../../src/internal/collect.js"
import { splitLines } from "../../src/internal/lines.js"
import { Result } from "../../src/Result.js"

const started = {
  _tag: "Started",
  seq: 0,
  executionId: "e1",
  sandboxId: "s1",
  contextId: "c1",
  timestamp: 1_000
} as const
const out = (text: string, timestamp = 0) => ({ _tag: "Stdout", seq: 0, text, timestamp }) as const
const err = (text: string, timestamp = 0) => ({ _tag: "Stderr", seq: 0, text, timestamp }) as const
const shown = (text: string) =>
  ({ _tag: "Result", seq: 0, result: new Result({ isMainResult: true, text, extra: {} }) }) as const
const raised = { _tag: "Error", seq: 0, error: { name: "ValueError", value: "no", traceback: "line 1" } } as const
const counted = { _tag: "ExecutionCount", seq: 0, executionCount: 3 } as const
const ended = { _tag: "Ended", seq: 0, duration: 250, timestamp: 1_250, exitCode: 0 } as const

const collectAll = (events: ReadonlyArray<ExecutionEvent>, options?: CollectOptions) =>
  collectExecution(Stream.fromIterable(events), options)

/** Notes down, in order, what is called. */
const notes = () => {
  const list: Array<string> = []
  const line = (message: OutputMessage) => {
    list.push(`${message.error ? "err" : "out"} ${message.line}`)
  }
  const callbacks = {
    onStdout: line,
    onStderr: line,
    onResult: (result: Result) => {
      list.push(`result ${result.text}`)
    },
    onError: (error: { readonly name: string }) => {
      list.push(`error ${error.name}`)
    }
  }
  return { list, callbacks }
}

describe("collectExecution", () => {
  it.effect("gives the output by line, the results, the count and the metadata", () =>
    Effect.gen(function*() {
      const result = yield* collectAll([
        started,
        out("a\nb"),
        err("warning"),
        out("c\n\nd"),
        shown("42"),
        counted,
        { ...ended, dropped: { stdout: 7, stderr: 0 } }
      ])
      expect(result.execution.logs).toEqual({ stdout: ["a\n", "bc\n", "\n", "d"], stderr: ["warning"] })
      expect(result.execution.text).toBe("42")
      expect(result.execution.executionCount).toBe(3)
      expect(result.metadata).toEqual({
        executionId: "e1",
        sandboxId: "s1",
        contextId: "c1",
        startTime: 1_000,
        endTime: 1_250,
        duration: 250,
        exitCode: 0,
        dropped: { stdout: 7, stderr: 0 }
      })
      expect(result.timestamp).toBe(1_250)
      expect(Schema.is(ExecutionResult)(result)).toBe(true)
    }))

  it.effect("captureOutput: false leaves the logs empty, and calls the callbacks all the same", () =>
    Effect.gen(function*() {
      const { callbacks, list } = notes()
      const { execution } = yield* collectAll([started, out("a\n"), err("b\n"), shown("1"), ended], {
        ...callbacks,
        captureOutput: false
      })
      expect(execution.logs).toEqual({ stdout: [], stderr: [] })
      expect(execution.text).toBe("1")
      expect(list).toEqual(["out a\n", "err b\n", "result 1"])
    }))

  it.effect("fails with what the code raised, and with all of its output", () =>
    Effect.gen(function*() {
      const { callbacks, list } = notes()
      const error = yield* Effect.flip(collectAll([started, out("a"), shown("1"), raised, out("b"), ended], callbacks))
      expect(error).toMatchObject({
        _tag: "ExecutionError",
        message: "no",
        name: "ValueError",
        value: "no",
        traceback: "line 1"
      })
      expect(error._tag === "ExecutionError" && error.execution?.logs.stdout).toEqual(["ab"])
      expect(error._tag === "ExecutionError" && error.execution?.text).toBe("1")
      expect(list).toEqual(["out a", "result 1", "error ValueError", "out b"])
      expect(String(error)).toBe("ValueError: no")
    }))

  const failures = [
    new TimeoutError({ message: "t", timeoutMs: 5, operation: "execution", contextRestarted: true }),
    new SandboxError({ message: "s", code: "kernel_died", sandboxId: "s1" }),
    new ConnectionError({ message: "c", url: "http://localhost", cause: new Error("reset") })
  ]

  it.effect.each(failures)(
    "gives $_tag the output so far, and leaves the rest of it alone",
    (failure) =>
      Effect.gen(function*() {
        const { callbacks, list } = notes()
        const events = Stream.concat(
          Stream.fromIterable([started, out("a\nb"), shown("1"), out("c")]),
          Stream.fail(failure)
        )
        const error = yield* Effect.flip(collectExecution(events, callbacks))
        expect(error).toBeInstanceOf(failure.constructor)
        const { execution, ...rest } = { ...error, execution: "execution" in error ? error.execution : undefined }
        expect(rest).toEqual((({ ...all }) => all)(failure))
        expect(error.message).toBe(failure.message)
        expect(error.stack).toBe(failure.stack)
        expect(execution?.logs.stdout).toEqual(["a\n", "bc"])
        expect(execution?.text).toBe("1")
        expect(list).toEqual(["out a\n", "out b", "result 1", "out c"])
      })
  )

  it.effect("passes on an error that says nothing of a run as it is", () =>
    Effect.gen(function*() {
      const failure = new RateLimitError({ message: "slow down", retryAfter: 5 })
      expect(yield* Effect.flip(collectExecution(Stream.fail(failure)))).toBe(failure)
    }))

  it.effect("a stream that just ends is a failure", () =>
    Effect.gen(function*() {
      const local = yield* Effect.flip(collectAll([started, out("half")]))
      expect(local).toMatchObject({ _tag: "SandboxError", code: "outcome_unknown", sandboxId: "s1" })
      expect(local._tag === "SandboxError" && local.execution?.logs.stdout).toEqual(["half"])
      const remote = yield* Effect.flip(collectAll([started, out("half")], { url: "http://localhost:3000" }))
      expect(remote).toMatchObject({ _tag: "ConnectionError", url: "http://localhost:3000" })
      expect(remote._tag === "ConnectionError" && remote.execution?.logs.stdout).toEqual(["half"])
      expect((yield* Effect.flip(collectAll([])))._tag).toBe("SandboxError")
    }))

  it("keeps every character, however it is cut", () => {
    const piece = fc.string({ unit: fc.constantFrom("a", "\n", "\r", "é", "😀", "") })
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), piece)), (pieces) => {
      const { callbacks, list } = notes()
      const events = pieces.map(([isError, text]) => isError ? err(text) : out(text))
      const { execution } = Effect.runSync(collectAll([started, ...events, ended], callbacks))
      for (const isError of [false, true]) {
        const whole = pieces.filter(([error]) => error === isError).map(([, text]) => text).join("")
        const lines = whole === "" ? [] : whole.match(/[^\n]*\n|[^\n]+$/g)
        expect(isError ? execution.logs.stderr : execution.logs.stdout).toEqual(lines)
        const prefix = isError ? "err " : "out "
        expect(list.filter((note) => note.startsWith(prefix)).map((note) => note.slice(4))).toEqual(lines)
      }
    }))
  })

  it("takes time in proportion to the length of a line", () => {
    // Joining anew for each of these pieces would copy 700 GB.
    const pieces = Array.from({ length: 65_536 }, () => "x".repeat(350))
    const { execution } = Effect.runSync(collectAll([started, ...pieces.map((text) => out(text)), ended]))
    expect(execution.logs.stdout.map((line) => line.length)).toEqual([65_536 * 350])
    const { callbacks, list } = notes()
    Effect.runSync(collectAll([started, ...pieces.map((text) => out(text)), ended], callbacks))
    expect(list.map((note) => note.length)).toEqual([65_536 * 350 + 4])
  })

  it("does not make millions of entries of newlines without end", () => {
    const lines = splitLines(Array.from({ length: 80 }, () => "\n".repeat(65_536)))
    expect(lines.length).toBeLessThan(4_300_000)
    expect(lines.reduce((sum, line) => sum + line.length, 0)).toBe(80 * 65_536)
  })
})

describe("callbacks", () => {
  const live = Effect.gen(function*() {
    const queue = yield* Queue.unbounded<ExecutionEvent>()
    const { callbacks, list } = notes()
    const fiber = yield* Effect.fork(
      collectExecution(Stream.takeUntil(Stream.fromQueue(queue), (event) => event._tag === "Ended"), callbacks)
    )
    return { say: (event: ExecutionEvent) => Queue.offer(queue, event), fiber, list }
  })

  /** Lets everything run that does not wait for the clock. */
  const settle = TestClock.adjust(0)

  it.effect("a line is handed over when it is complete, a rest after 100 ms", () =>
    Effect.gen(function*() {
      const { fiber, list, say } = yield* live
      yield* say(started)
      yield* say(out("a\nb"))
      yield* settle
      expect(list).toEqual(["out a\n"])
      yield* TestClock.adjust(99)
      expect(list).toEqual(["out a\n"])
      yield* TestClock.adjust(1)
      expect(list).toEqual(["out a\n", "out b"])
      yield* say(out("c\n"))
      yield* settle
      expect(list).toEqual(["out a\n", "out b", "out c\n"])
      yield* TestClock.adjust(1_000)
      yield* say(ended)
      const { execution } = yield* Fiber.join(fiber)
      expect(execution.logs.stdout).toEqual(["a\n", "bc\n"])
      expect(list.length).toBe(3)
    }))

  it.effect("the 100 ms count from the first character that waits, not from the last", () =>
    Effect.gen(function*() {
      const { fiber, list, say } = yield* live
      yield* say(started)
      yield* say(out("a", 11))
      yield* TestClock.adjust(60)
      yield* say(out("b"))
      yield* settle
      expect(list).toEqual([])
      yield* TestClock.adjust(40)
      expect(list).toEqual(["out ab"])
      // A line that was completed in between does not shorten the time of the next one.
      yield* say(out("c"))
      yield* TestClock.adjust(60)
      yield* say(out("d\ne"))
      yield* settle
      expect(list).toEqual(["out ab", "out cd\n"])
      yield* TestClock.adjust(60)
      expect(list).toEqual(["out ab", "out cd\n"])
      yield* TestClock.adjust(40)
      expect(list).toEqual(["out ab", "out cd\n", "out e"])
      yield* say(ended)
      yield* Fiber.join(fiber)
    }))

  it.effect("each stream waits for itself", () =>
    Effect.gen(function*() {
      const { fiber, list, say } = yield* live
      yield* say(started)
      yield* say(out("o"))
      yield* TestClock.adjust(50)
      yield* say(err("e"))
      yield* TestClock.adjust(50)
      expect(list).toEqual(["out o"])
      yield* TestClock.adjust(50)
      expect(list).toEqual(["out o", "err e"])
      yield* say(ended)
      yield* Fiber.join(fiber)
    }))

  it.effect("a rest comes before what was displayed after it, and at the end", () =>
    Effect.gen(function*() {
      const { callbacks, list } = notes()
      yield* collectAll([started, out("a"), shown("1"), out("b"), ended], callbacks)
      expect(list).toEqual(["out a", "result 1", "out b"])
    }))

  it.effect("a line has the time at which its first piece was written", () =>
    Effect.gen(function*() {
      const times: Array<[string, number]> = []
      yield* collectAll([started, out("a", 10), out("b\nc\nd", 20), out("e\n", 30), out("f", 40), ended], {
        onStdout: ({ line, timestamp }) => {
          times.push([line, timestamp])
        }
      })
      expect(times).toEqual([["ab\n", 10], ["c\n", 20], ["de\n", 20], ["f", 40]])
    }))

  it.effect("effects run one at a time, and hold the stream up", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const gate = yield* Effect.makeSemaphore(0)
      const events = Stream.fromIterable<ExecutionEvent>([started, out("a\n"), err("b\n"), shown("1"), ended]).pipe(
        Stream.rechunk(1),
        Stream.tap((event) => Effect.sync(() => log.push(`event ${event._tag}`)))
      )
      const slow = (name: string) =>
        Effect.sync(() => log.push(`begin ${name}`)).pipe(
          Effect.zipRight(gate.take(1)),
          Effect.zipRight(Effect.sync(() => log.push(`end ${name}`))),
          Effect.asVoid
        )
      const fiber = yield* Effect.fork(collectExecution(events, {
        onStdout: () => slow("out"),
        onStderr: () => slow("err"),
        onResult: () => slow("result")
      }))
      yield* settle
      expect(log).toEqual(["event Started", "event Stdout", "begin out"])
      yield* gate.release(1)
      yield* settle
      expect(log.slice(3)).toEqual(["end out", "event Stderr", "begin err"])
      yield* gate.release(2)
      yield* Fiber.join(fiber)
      expect(log.slice(6)).toEqual(["end err", "event Result", "begin result", "end result", "event Ended"])
    }))

  it.effect("a callback by the clock and one by an event never run at once", () =>
    Effect.gen(function*() {
      const queue = yield* Queue.unbounded<ExecutionEvent>()
      const log: Array<string> = []
      const fiber = yield* Effect.fork(
        collectExecution(Stream.takeUntil(Stream.fromQueue(queue), (event) => event._tag === "Ended"), {
          onStdout: ({ line }) =>
            Effect.sync(() => log.push(`begin ${line}`)).pipe(
              Effect.zipRight(Effect.sleep(500)),
              Effect.zipRight(Effect.sync(() => log.push(`end ${line}`))),
              Effect.asVoid
            )
        })
      )
      yield* queue.offer(started)
      yield* queue.offer(out("a"))
      yield* TestClock.adjust(100)
      yield* queue.offer(out("b\n"))
      yield* queue.offer(ended)
      yield* TestClock.adjust(5_000)
      yield* Fiber.join(fiber)
      expect(log).toEqual(["begin a", "end a", "begin b\n", "end b\n"])
    }))

  const boom = new Error("boom")

  it.effect.each(
    [
      ["by an event", () => {
        throw boom
      }, 0],
      ["by an event, in an effect", () => Effect.die(boom), 0],
      ["by the clock", () => {
        throw boom
      }, 100]
    ] as const
  )(
    "what a callback throws stops the run and is what the call dies with (%s)",
    ([, onStdout, wait]) =>
      Effect.gen(function*() {
        const closed = yield* Ref.make(false)
        const events = Stream.fromIterable<ExecutionEvent>([started, out(wait === 0 ? "a\n" : "a")]).pipe(
          Stream.concat(Stream.never),
          Stream.ensuring(Ref.set(closed, true))
        )
        const fiber = yield* Effect.fork(collectExecution(events, { onStdout }))
        yield* TestClock.adjust(wait)
        const exit = yield* Fiber.await(fiber)
        expect(Exit.isFailure(exit) && Chunk.toReadonlyArray(Cause.defects(exit.cause))).toEqual([boom])
        expect(yield* Ref.get(closed)).toBe(true)
      })
  )

  it.effect("interrupting the call closes the stream before the call is over", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const begun = yield* Deferred.make<void>()
      const events = Stream.fromIterable<ExecutionEvent>([started, out("a")]).pipe(
        Stream.concat(Stream.fromEffect(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))),
        Stream.ensuring(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => log.push("closed"))))
      )
      const { callbacks } = notes()
      const fiber = yield* Effect.fork(
        Effect.ensuring(collectExecution(events, callbacks), Effect.sync(() => log.push("over")))
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(log).toEqual(["closed", "over"])
    }))
})

describe("collectTerminal", () => {
  it.effect("gives both streams in the order of arrival", () =>
    Effect.gen(function*() {
      const { callbacks: { onStderr, onStdout }, list } = notes()
      const events: ReadonlyArray<TerminalEvent> = [
        started,
        out("a\nb"),
        err("oops\n"),
        out("c"),
        { ...ended, exitCode: 1 }
      ]
      const text = yield* collectTerminal(Stream.fromIterable(events), { onStdout, onStderr })
      expect(text).toBe("a\nboops\nc")
      expect(list).toEqual(["out a\n", "err oops\n", "out bc"])
    }))

  it.effect("gives a limit of time the output so far", () =>
    Effect.gen(function*() {
      const failure = new TimeoutError({ message: "t", timeoutMs: 5, operation: "execution" })
      const error = yield* Effect.flip(
        collectTerminal(Stream.concat(Stream.fromIterable([started, out("a\n")]), Stream.fail(failure)))
      )
      expect(error._tag === "TimeoutError" && error.execution?.logs.stdout).toEqual(["a\n"])
    }))
})
