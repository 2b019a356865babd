import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import type { Part } from "./support.js"
import { failsWith, python as make, runOnce } from "./support.js"

export const python: Part = (it) => {
  it.scoped("keeps state between runs and counts them", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const first = yield* sandbox.runCode("x = 20\ndef twice(n):\n    return n * 2")
      const second = yield* sandbox.runCode("twice(x) + 2")
      expect(first.execution.text).toBeUndefined()
      expect(first.execution.executionCount).toBe(1)
      expect(second.execution.text).toBe("42")
      expect(second.execution.executionCount).toBe(2)
    }))

  it.scoped("gives the raised error as a typed one, with the user's lines and the output so far", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const code = "print('before')\ndef divide(a, b):\n    return a / b\ndivide(1, 0)\nprint('after')"
      const error = yield* failsWith(sandbox.runCode(code), {
        _tag: "ExecutionError",
        name: "ZeroDivisionError",
        value: "division by zero"
      })
      if (error._tag !== "ExecutionError") return yield* Effect.die(error)
      expect(error.traceback).toContain("divide(1, 0)")
      expect(error.traceback).toContain("return a / b")
      expect(error.traceback).not.toMatch(/\/opt\/sandbox|kernel\.py|agent\.py/)
      expect(error.execution?.logs.stdout).toEqual(["before\n"])
      expect(error.execution?.error?.name).toBe("ZeroDivisionError")
      expect(String(error)).toContain("division by zero")
    }))

  it.scoped("awaits at the top level, on one event loop", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("import asyncio\nevent = asyncio.Event()\nawait asyncio.sleep(0.01)")
      const { execution } = yield* sandbox.runCode("event.set()\nawait event.wait()")
      expect(execution.text).toBe("True")
    }))

  it.effect("shows rich objects in every representation that they offer", () =>
    Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* make
      const { execution } = yield* sandbox.runCode(`
class Rich:
    def __repr__(self): return "plain"
    def _repr_html_(self): return "<b>html</b>"
    def _repr_markdown_(self): return "**md**"
    def _repr_svg_(self): return "<svg/>"
    def _repr_latex_(self): return "$x$"
    def _repr_png_(self): return b"\\x89PNG"
    def _repr_json_(self): return {"a": [1, 2]}
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "bundle", "application/vnd.custom+json": {"b": 1}}
display(Bundle())
Rich()`)
      const [displayed, main] = execution.results
      expect(displayed).toMatchObject({
        isMainResult: false,
        text: "bundle",
        extra: { "application/vnd.custom+json": { b: 1 } }
      })
      expect(main).toMatchObject({
        isMainResult: true,
        text: "plain",
        html: "<b>html</b>",
        markdown: "**md**",
        svg: "<svg/>",
        latex: "$x$",
        png: Buffer.from("\x89PNG", "latin1").toString("base64"),
        json: { a: [1, 2] }
      })
      expect(execution.text).toBe("plain")
    })))

  it.effect("shows a pandas frame as html and as data", () =>
    Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* make
      const { execution } = yield* sandbox.runCode(
        "import pandas as pd\npd.DataFrame({'name': ['a', 'b'], 'n': [1, None]})"
      )
      const [result] = execution.results
      expect(result?.html).toContain("<table")
      expect(result?.data).toEqual({ name: ["a", "b"], n: [1, null] })
    })))

  it.effect("shows a matplotlib figure as png and as a typed chart", () =>
    Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* make
      const { execution } = yield* sandbox.runCode(`
import matplotlib.pyplot as plt
plt.bar(["x", "y"], [3, 5], label="n")
plt.title("Counts")
plt.xlabel("letter")
plt.show()`)
      const chart = execution.results.find((result) => result.chart !== undefined)
      expect(Buffer.from(chart?.png ?? "", "base64").subarray(1, 4).toString()).toBe("PNG")
      expect(chart?.chart).toMatchObject({
        type: "bar",
        title: "Counts",
        xLabel: "letter",
        elements: [{ label: "x", value: 3 }, { label: "y", value: 5 }]
      })
      const again = yield* sandbox.runCode("1")
      expect(again.execution.results).toHaveLength(1)
    })))

  it.effect("has the output of child processes and of threads", () =>
    Effect.gen(function*() {
      const { stdout } = yield* runOnce(`
import subprocess, sys, threading
print("one")
subprocess.run(["echo", "two"])
thread = threading.Thread(target=lambda: print("three"))
thread.start(); thread.join()
import os
os.system("echo four")
print("five")`)
      expect(stdout).toBe("one\ntwo\nthree\nfour\nfive\n")
    }))

  it.effect("answers input() with an error that says why", () =>
    Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* make
      const error = yield* failsWith(sandbox.runCode("input('name? ')"), { _tag: "ExecutionError" })
      expect(error.message).toMatch(/input/)
    })))

  it.effect("takes exit() as the end of a run and not of the interpreter", () =>
    Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("x = 1")
      yield* failsWith(sandbox.runCode("import sys; sys.exit(3)"), { _tag: "ExecutionError", name: "SystemExit" })
      expect((yield* sandbox.runCode("x")).execution.text).toBe("1")
    })))

  it.effect("gives environment variables to the sandbox, to a context and to one run, as they are", () =>
    Effect.scoped(Effect.gen(function*() {
      const nasty = `'"; import os\n$(x) \\ ü`
      const sandbox = yield* Sandbox.make({ templateId: "python", initialEnvVars: { A: nasty, B: "sandbox" } })
      const context = yield* sandbox.createCodeContext({ envVars: { B: "context" } })
      const seen = (options: { readonly contextId?: string; readonly envs?: Record<string, string> }) =>
        Effect.map(
          sandbox.runCode(`import json, os\nprint(json.dumps([os.environ.get(k) for k in "ABC"]))`, options),
          ({ execution }): unknown => JSON.parse(execution.logs.stdout.join(""))
        )
      expect(yield* seen({})).toEqual([nasty, "sandbox", null])
      expect(yield* seen({ envs: { C: "run" } })).toEqual([nasty, "sandbox", "run"])
      expect(yield* seen({})).toEqual([nasty, "sandbox", null])
      expect(yield* seen({ contextId: context.id })).toEqual([nasty, "context", null])
      expect(yield* seen({ contextId: context.id, envs: { B: nasty } })).toEqual([nasty, nasty, null])
    })))
}
