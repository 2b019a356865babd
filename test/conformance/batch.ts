import { expect } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import type { Part } from "./support.js"
import { eventually, failsWith, python } from "./support.js"

export const batch: Part = (it) => {
  it.scoped("runs a batch: results in the order given, a failing job as a result like any other", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const results = yield* sandbox.executeBatch([
        { id: "job-1", code: "print('one')\n2 + 2" },
        { id: "job-2", code: "1 / 0" },
        { id: "job-3", code: "import time\nprint('so far')\ntime.sleep(60)", timeout: 300 },
        { id: "job-4", code: "console.log('js'); 3 * 3", language: "javascript" }
      ])
      expect(results.map(({ jobId, success }) => ({ jobId, success }))).toEqual([
        { jobId: "job-1", success: true },
        { jobId: "job-2", success: false },
        { jobId: "job-3", success: false },
        { jobId: "job-4", success: true }
      ])
      expect(results[0]?.execution?.text).toBe("4")
      expect(results[1]?.error).toMatchObject({ _tag: "ExecutionError", name: "ZeroDivisionError" })
      expect(results[2]?.error).toMatchObject({ _tag: "TimeoutError", timeoutMs: 300 })
      expect(results[2]?.execution?.logs.stdout).toEqual(["so far\n"])
      expect(results[3]?.execution?.logs.stdout).toEqual(["js\n"])
      expect(results.every(({ duration }) => duration >= 0)).toBe(true)
    }))

  it.scoped("runs jobs of a higher priority first, in one context", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.runCode("order = []")
      const job = (id: string, priority?: number) => ({
        id,
        code: `order.append("${id}")`,
        ...(priority === undefined ? {} : { priority })
      })
      yield* sandbox.executeBatch([job("low", 1), job("a"), job("high", 10), job("b")])
      expect((yield* sandbox.runCode("order")).execution.text).toBe("['high', 'a', 'b', 'low']")
    }))

  it.scoped("runs jobs side by side, a context each, and leaves no context behind", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      // Each waits for the other: one after the other they would never end.
      const meet = (id: string, other: string) => ({
        id,
        code:
          `import os, time\nopen("${id}", "w").close()\nwhile not os.path.exists("${other}"): time.sleep(0.01)\nx = 1`
      })
      const results = yield* sandbox.executeBatch([meet("a", "b"), meet("b", "a")], { concurrency: 2 })
      expect(results.every(({ success }) => success)).toBe(true)
      expect(yield* sandbox.listCodeContexts()).toEqual([])
    }))

  it.scoped("tells the progress of a batch, and stops it when nobody listens any more", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const jobs = [{ id: "a", code: "print('hello')\n1" }, { id: "b", code: "2" }]
      const events = yield* Stream.runCollect(sandbox.executeBatchStream(jobs))
      expect([...events].map((event) => event._tag)).toEqual([
        "BatchStarted",
        "JobStarted",
        "JobOutput",
        "JobEnded",
        "JobStarted",
        "JobEnded",
        "BatchEnded"
      ])
      const endless = [{ id: "x", code: "open('x', 'w').close()\nwhile True: pass" }, {
        id: "y",
        code: "open('y', 'w')"
      }]
      const fiber = yield* Effect.fork(sandbox.executeBatch(endless))
      yield* eventually(Effect.map(sandbox.listFiles(), ({ files }) => files.length === 1))
      yield* Fiber.interrupt(fiber)
      expect((yield* sandbox.listFiles()).files.map(({ name }) => name)).toEqual(["x"])
      expect((yield* sandbox.runCode("1 + 1")).execution.text).toBe("2")
    }))

  it.scoped("refuses a batch that names a job twice, or says something wrong about one", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const refused = { _tag: "SandboxSDKError", code: "invalid_argument" }
      yield* failsWith(sandbox.executeBatch([{ id: "a", code: "1" }, { id: "a", code: "2" }]), refused)
      yield* failsWith(sandbox.executeBatch([{ id: "a", code: "1", priority: 11 }]), refused)
      yield* failsWith(sandbox.executeBatch([{ id: "a", code: "1", timeout: -1 }]), refused)
    }))

  it.scoped("decodes the main result through a schema, and says which part does not fit", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const Point = Schema.Struct({ name: Schema.String, at: Schema.Tuple(Schema.Number, Schema.Number) })
      expect(yield* sandbox.runCodeAs("{'name': 'p', 'at': [1, 2]}", Point)).toEqual({ name: "p", at: [1, 2] })
      expect(yield* sandbox.runCodeAs("[1, 2]", Schema.Array(Schema.NumberFromString.pipe(Schema.typeSchema)))).toEqual(
        [1, 2]
      )
      expect(yield* sandbox.runCodeAs("'2020-02-03T00:00:00.000Z'", Schema.Date)).toEqual(new Date("2020-02-03"))
      expect(yield* sandbox.runCodeAs("import json; json.dumps({'a': True})", Schema.Struct({ a: Schema.Boolean })))
        .toEqual({
          a: true
        })
      yield* failsWith(sandbox.runCodeAs("{'name': 'p', 'at': [1, 'x']}", Point), {
        _tag: "SandboxSDKError",
        code: "decode_error",
        field: "at.1"
      })
      yield* failsWith(sandbox.runCodeAs("x = 1", Point), { _tag: "SandboxSDKError", code: "decode_error" })
      yield* failsWith(sandbox.runCodeAs("1 / 0", Point), { _tag: "ExecutionError", name: "ZeroDivisionError" })
    }))
}
