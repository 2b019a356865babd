import { describe, expect, it } from "@effect/vitest"
import { Chunk, Clock, Deferred, Effect, Exit, Fiber, Schema, Stream, TestClock } from "effect"
import * as fc from "fast-check"
import { BatchEvent, type BatchExecutionJob, BatchExecutionResult } from "../../src/Batch.js"
import { ExecutionError, SandboxError, TimeoutError } from "../../src/Errors.js"
import { Execution } from "../../src/Execution.js"
import type { BatchRunner } from "../../src/internal/batch.js"
import type { ExecuteBatchOptions, RunCodeOptions } from "../../src/Options.js"
import { executeBatch, executeBatchStream } from "../support/batch.js"

/** One run as the runner saw it. */
interface Run {
  readonly code: string
  readonly at: number
  readonly options: Pick<RunCodeOptions, "contextId" | "language" | "timeoutMs">
}

/**
 * A runner that has no interpreter, so that time is the test's. Its code is `sleep MS`, `raise NAME`, `timeout`, `print
 * N` (N lines) or `die`; it counts how much runs at a time, and which contexts are there.
 */
const makeRunner = (existing = "sandbox") => {
  const runs: Array<Run> = []
  const ended: Array<string> = []
  const contexts = new Map<string, string | undefined>()
  const notFound = new SandboxError({ code: "not_found", message: "There is no such sandbox." })
  let made = 0
  let running = 0
  let most = 0
  const execution = (text: string) => new Execution({ results: [], logs: { stdout: [text], stderr: [] } })

  const evaluate = (code: string, options: RunCodeOptions) =>
    Effect.gen(function*() {
      const [command = "", argument = ""] = code.split(" ")
      switch (command) {
        case "sleep":
          return yield* Effect.sleep(Number(argument))
        case "raise":
          return yield* new ExecutionError({
            message: `${argument}: no`,
            name: argument,
            value: "no",
            traceback: "line 1",
            execution: execution("before the error")
          })
        case "timeout":
          return yield* new TimeoutError({ message: "late", timeoutMs: 5, operation: "execution" })
        case "print":
          for (let line = 0; line < Number(argument); line += 1) {
            const effect = options.onStdout?.({ line: `${line}\n`, timestamp: 0, error: false })
            yield* Effect.isEffect(effect) ? effect : Effect.void
          }
          return
        case "die":
          return yield* Effect.die("defect")
      }
    })

  const runner: BatchRunner = {
    getSandbox: (id) =>
      id === existing
        ? Effect.succeed({
          id,
          userId: "local",
          templateId: "python",
          templateConfig: { name: "Python", language: "python", version: "3" },
          status: "running",
          createdAt: 0,
          updatedAt: 0
        })
        : Effect.fail(notFound),
    runJob: (_, code, options, begun) =>
      Effect.gen(function*() {
        yield* begun(`exe-${code}`)
        const { contextId, language, timeoutMs } = options
        runs.push({
          code,
          at: yield* Clock.currentTimeMillis,
          options: {
            ...(contextId === undefined ? {} : { contextId }),
            ...(language === undefined ? {} : { language }),
            ...(timeoutMs === undefined ? {} : { timeoutMs })
          }
        })
        running += 1
        most = Math.max(most, running)
        yield* Effect.ensuring(
          evaluate(code, options),
          Effect.sync(() => {
            running -= 1
            ended.push(code)
          })
        )
        return {
          execution: execution(`output of ${code}`),
          metadata: { executionId: "x", sandboxId: existing, startTime: 0 },
          timestamp: 0
        }
      }),
    createCodeContext: (sandboxId, options) =>
      Effect.suspend(() => {
        made += 1
        const id = `ctx-${made}`
        if (options?.language === "bash") {
          return Effect.fail(new SandboxError({ code: "language_unavailable", message: "There is no bash." }))
        }
        contexts.set(id, options?.language)
        return Effect.succeed({
          id,
          sandboxId,
          language: options?.language ?? "python",
          cwd: "/workspace",
          createdAt: 0,
          restarts: 0
        })
      }),
    deleteCodeContext: (id) => Effect.sync(() => void contexts.delete(id))
  }
  return { runner, runs, ended, contexts, most: () => most, running: () => running, made: () => made }
}

const job = (id: string, code: string, rest: Partial<BatchExecutionJob> = {}): BatchExecutionJob => ({
  id,
  code,
  ...rest
})

/** What a caller in plain JavaScript passes is taken for what it should be. */
const claim = <A>() => (_: unknown): _ is A => true
const isJobs = claim<ReadonlyArray<BatchExecutionJob>>()
const isOptions = claim<ExecuteBatchOptions>()

const finish = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

describe("executeBatch", () => {
  it.effect("runs jobs of a higher priority first, others as given, and gives results as given", () =>
    Effect.gen(function*() {
      const { most, runner, runs } = makeRunner()
      const results = yield* finish(executeBatch(runner, "sandbox", [
        job("none", "sleep 10"),
        job("low", "sleep 20", { priority: 1 }),
        job("high", "sleep 30", { priority: 10 }),
        job("five", "sleep 40", { priority: 5 }),
        job("also high", "sleep 50", { priority: 10 })
      ]))
      expect(runs.map(({ at, code }) => [code, at])).toEqual([
        ["sleep 30", 0],
        ["sleep 50", 30],
        ["sleep 10", 80],
        ["sleep 40", 90],
        ["sleep 20", 130]
      ])
      expect(most()).toBe(1)
      expect(results.map(({ duration, jobId, success }) => [jobId, success, duration])).toEqual([
        ["none", true, 10],
        ["low", true, 20],
        ["high", true, 30],
        ["five", true, 40],
        ["also high", true, 50]
      ])
      expect(results[0]?.execution?.logs.stdout).toEqual(["output of sleep 10"])
    }))

  it.effect("turns a job's failure into its result, with its output, and goes on", () =>
    Effect.gen(function*() {
      const { runner } = makeRunner()
      const results = yield* finish(executeBatch(runner, "sandbox", [
        job("raises", "raise ZeroDivisionError"),
        job("too long", "timeout"),
        job("good", "sleep 1")
      ]))
      expect(results.map(({ success }) => success)).toEqual([false, false, true])
      const [raises, late, good] = results
      expect(raises?.error).toBeInstanceOf(ExecutionError)
      expect(raises?.error).toMatchObject({ name: "ZeroDivisionError", value: "no", traceback: "line 1" })
      expect(raises?.error?.message).toBe("ZeroDivisionError: no")
      expect(raises?.execution?.logs.stdout).toEqual(["before the error"])
      expect(JSON.stringify(raises?.error)).not.toContain("before the error")
      expect(late?.error).toBeInstanceOf(TimeoutError)
      expect(late?.execution).toBeUndefined()
      expect(good?.error).toBeUndefined()
      const encoded = yield* Schema.encode(Schema.parseJson(Schema.Array(BatchExecutionResult)))(results)
      const decoded = yield* Schema.decode(Schema.parseJson(Schema.Array(BatchExecutionResult)))(encoded)
      expect(decoded[0]?.error).toBeInstanceOf(ExecutionError)
      expect(decoded[0]?.execution?.logs).toEqual(raises?.execution?.logs)
    }))

  it.effect("uses one context by default, and the timeout and language of each job", () =>
    Effect.gen(function*() {
      const { made, runner, runs } = makeRunner()
      const jobs = [
        job("a", "sleep 1"),
        job("b", "sleep 2", { language: "javascript" }),
        job("c", "sleep 3", { timeout: 700 })
      ]
      yield* finish(executeBatch(runner, "sandbox", jobs, { timeoutMs: 900 }))
      expect(runs.map(({ options }) => options)).toEqual([
        { timeoutMs: 900 },
        { timeoutMs: 900, language: "javascript" },
        { timeoutMs: 700 }
      ])
      yield* finish(executeBatch(runner, "sandbox", [job("d", "sleep 4")], { contextId: "ctx-of-mine" }))
      expect(runs.at(-1)?.options).toEqual({ contextId: "ctx-of-mine" })
      expect(made()).toBe(0)
    }))

  it.effect("runs so many at a time, each in a context of its own that is gone afterwards", () =>
    Effect.gen(function*() {
      const { contexts, most, runner, runs } = makeRunner()
      const jobs = [
        job("a", "sleep 100"),
        job("b", "raise E", { language: "javascript" }),
        job("c", "sleep 100"),
        job("d", "sleep 100", { language: "bash" }),
        job("e", "sleep 50")
      ]
      const results = yield* finish(executeBatch(runner, "sandbox", jobs, { concurrency: 2 }))
      expect(most()).toBe(2)
      expect(results.map(({ jobId, success }) => [jobId, success])).toEqual([
        ["a", true],
        ["b", false],
        ["c", true],
        ["d", false],
        ["e", true]
      ])
      expect(results[3]?.error).toMatchObject({ code: "language_unavailable" })
      const used = runs.map(({ options }) => options.contextId)
      expect(new Set(used).size).toBe(4)
      expect(used).not.toContain(undefined)
      expect(runs.every(({ options }) => options.language === undefined)).toBe(true)
      expect(contexts.size).toBe(0)
    }))

  it.effect("stops what runs and starts no more when it is interrupted", () =>
    Effect.gen(function*() {
      const { contexts, ended, runner, running, runs } = makeRunner()
      const jobs = Array.from({ length: 9 }, (_, index) => job(`${index}`, "sleep 1000"))
      const fiber = yield* Effect.fork(executeBatch(runner, "sandbox", jobs, { concurrency: 3 }))
      yield* TestClock.adjust(1_500)
      expect(runs.length).toBe(6)
      yield* Fiber.interrupt(fiber)
      expect(running()).toBe(0)
      expect(contexts.size).toBe(0)
      yield* TestClock.adjust("1 hour")
      expect(runs.length).toBe(6)
      expect(ended.length).toBe(6)
    }))

  it.effect("fails as a whole only where there is no sandbox", () =>
    Effect.gen(function*() {
      const { runner, runs } = makeRunner()
      const error = yield* Effect.flip(executeBatch(runner, "another", [job("a", "sleep 1")]))
      expect(error).toMatchObject({ _tag: "SandboxError", code: "not_found" })
      expect(runs).toEqual([])
      expect(yield* executeBatch(runner, "sandbox", [])).toEqual([])
    }))

  it.effect.each<readonly [unknown, unknown, string, string]>([
    [undefined, {}, "jobs", "executeBatch: jobs must be an array of jobs, but it is undefined."],
    ["x", {}, "jobs", "executeBatch: jobs must be an array of jobs, but it is \"x\"."],
    [[{ id: "a" }], {}, "jobs.0.code", "executeBatch: jobs.0.code is missing; it must be a string."],
    [
      [job("a", "x"), job("b", "x", { priority: 11 })],
      {},
      "jobs.1.priority",
      "executeBatch: jobs.1.priority must be a whole number from 1 to 10, but it is 11."
    ],
    [
      [job("a", "x"), job("", "x")],
      {},
      "jobs.1.id",
      "executeBatch: jobs.1.id must be a string of 1 to 256 characters, but it is \"\"."
    ],
    [
      [job("a", "x"), job("b", "x"), job("a", "y")],
      {},
      "jobs.2.id",
      "executeBatch: two jobs have the id \"a\"; give each an id of its own."
    ],
    [[job("a", "x")], { concurrency: 0 }, "concurrency", "executeBatch: concurrency must be "],
    [
      [job("a", "x")],
      { concurrency: 2, contextId: "c" },
      "contextId",
      "executeBatch: contextId is for a concurrency of 1"
    ],
    [
      [job("a", "x", { language: "bash" })],
      { contextId: "c" },
      "jobs.0.language",
      "executeBatch: give either contextId or a job's language"
    ]
  ])("refuses %j with %j, and runs nothing", ([jobs, options, field, message]) =>
    Effect.gen(function*() {
      const { runner, runs } = makeRunner()
      const error = yield* isJobs(jobs) && isOptions(options)
        ? Effect.flip(executeBatch(runner, "sandbox", jobs, options))
        : Effect.dieMessage("not called")
      expect(error).toMatchObject({ _tag: "SandboxSDKError", code: "invalid_argument", field })
      expect(String(error)).toContain(message)
      expect(runs).toEqual([])
    }))

  it("keeps each result with its job, in the order given, whatever the priorities and the concurrency", async () => {
    const codes = fc.constantFrom("sleep 0", "raise E", "timeout", "print 3")
    await fc.assert(fc.asyncProperty(
      fc.array(fc.record({ code: codes, priority: fc.option(fc.integer({ min: 1, max: 10 })) }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 6 }),
      (specs, concurrency) =>
        Effect.runPromise(Effect.gen(function*() {
          const { contexts, most, runner, runs } = makeRunner()
          const jobs = specs.map(({ code, priority }, index) =>
            job(`${index}`, code, priority === null ? {} : { priority })
          )
          const results = yield* executeBatch(runner, "sandbox", jobs, { concurrency })
          expect(results.map(({ jobId }) => jobId)).toEqual(jobs.map(({ id }) => id))
          expect(results.map(({ success }) => success)).toEqual(
            jobs.map(({ code }) => code === "sleep 0" || code === "print 3")
          )
          expect(runs.length).toBe(jobs.length)
          expect(most()).toBeLessThanOrEqual(concurrency)
          expect(contexts.size).toBe(0)
        }))
    ))
  })
})

describe("executeBatchStream", () => {
  it.effect("tells what happens, numbered without gaps, and ends with BatchEnded", () =>
    Effect.gen(function*() {
      const { runner } = makeRunner()
      const jobs = [job("a", "print 2"), job("b", "raise E", { priority: 9 })]
      const events = Chunk.toArray(yield* Stream.runCollect(executeBatchStream(runner, "sandbox", jobs)))
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index))
      expect(events.map((event) =>
        event._tag === "JobEnded"
          ? ["JobEnded", event.result.jobId, event.result.success]
          : event._tag === "BatchEnded"
          ? ["BatchEnded", event.succeeded, event.failed]
          : event._tag === "JobOutput"
          ? ["JobOutput", event.jobId, event.message.line]
          : event._tag === "JobStarted"
          ? ["JobStarted", event.jobId, event.executionId]
          : ["BatchStarted", event.executionId]
      )).toEqual([
        ["BatchStarted", "b1"],
        ["JobStarted", "b", "exe-raise E"],
        ["JobEnded", "b", false],
        ["JobStarted", "a", "exe-print 2"],
        ["JobOutput", "a", "0\n"],
        ["JobOutput", "a", "1\n"],
        ["JobEnded", "a", true],
        ["BatchEnded", 1, 1]
      ])
      const Json = Schema.parseJson(Schema.Array(BatchEvent))
      const again = yield* Schema.decode(Json)(yield* Schema.encode(Json)(events))
      expect(again.map((event) => event._tag)).toEqual(events.map((event) => event._tag))
    }))

  it.effect("makes the jobs wait for a reader that is slow", () =>
    Effect.gen(function*() {
      const { runner } = makeRunner()
      const gate = yield* Deferred.make<void>()
      let printed = 0
      const counting: BatchRunner = {
        ...runner,
        runJob: (id, code, options, begun) =>
          runner.runJob(id, code, {
            ...options,
            onStdout: (message) => {
              printed += 1
              return options.onStdout?.(message)
            }
          }, begun)
      }
      const fiber = yield* Effect.fork(
        Stream.runForEach(
          executeBatchStream(counting, "sandbox", [job("a", "print 100000")]),
          () => Deferred.await(gate)
        )
      )
      yield* TestClock.adjust("1 minute")
      expect(printed).toBeGreaterThan(0)
      expect(printed).toBeLessThan(1_000)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      expect(printed).toBe(100_000)
    }))

  it.effect("stops the jobs when its reader leaves", () =>
    Effect.gen(function*() {
      const { contexts, runner, running, runs } = makeRunner()
      const jobs = Array.from({ length: 5 }, (_, index) => job(`${index}`, "sleep 1000"))
      const events = yield* finish(
        Stream.runCollect(Stream.take(executeBatchStream(runner, "sandbox", jobs, { concurrency: 2 }), 3))
      )
      expect(Chunk.size(events)).toBe(3)
      expect(running()).toBe(0)
      expect(contexts.size).toBe(0)
      expect(runs.length).toBe(2)
    }))

  it.effect("fails as executeBatch does, and dies with a defect", () =>
    Effect.gen(function*() {
      const { runner } = makeRunner()
      const missing = yield* Effect.flip(Stream.runDrain(executeBatchStream(runner, "another", [])))
      expect(missing).toMatchObject({ code: "not_found" })
      const twice = [job("a", "x"), job("a", "x")]
      const invalid = yield* Effect.flip(Stream.runDrain(executeBatchStream(runner, "sandbox", twice)))
      expect(invalid.message).toContain("executeBatchStream: two jobs have the id \"a\"")
      const exit = yield* Effect.exit(Stream.runDrain(executeBatchStream(runner, "sandbox", [job("a", "die")])))
      expect(exit).toEqual(Exit.die("defect"))
    }))
})
