import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

export const otherLanguages: Part = (it) => {
  it.scoped("runs JavaScript: state, top-level await, imports, the last value", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "javascript" })
      yield* sandbox.runCode("const x = 20; function twice(n) { return n * 2 }")
      expect((yield* sandbox.runCode("const x = 21; await Promise.resolve(twice(x))")).execution.text).toBe("42")
      const { execution } = yield* sandbox.runCode(
        "import { basename } from 'node:path'\nconsole.log('log'); console.error('err')\nbasename('/a/b.txt')"
      )
      expect(execution.text).toBe("'b.txt'")
      expect(execution.logs).toEqual({ stdout: ["log\n"], stderr: ["err\n"] })
    }))

  it.scoped("gives what JavaScript throws as a typed error with the user's lines", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "javascript" })
      const error = yield* failsWith(sandbox.runCode("function f() {\n  throw new TypeError('no')\n}\nf()"), {
        _tag: "ExecutionError",
        name: "TypeError",
        value: "no"
      })
      if (error._tag !== "ExecutionError") return yield* Effect.die(error)
      expect(error.traceback).toContain(":2:")
      expect(error.traceback).not.toMatch(/kernel\.cjs|node:internal/)
    }))

  it.scoped("stops JavaScript that never ends, and keeps its state", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "javascript" })
      yield* sandbox.runCode("let kept = 1")
      for (const code of ["while (true) {}", "await new Promise(() => {})", "await 1; for (;;) {}"]) {
        yield* failsWith(sandbox.runCode(code, { timeoutMs: 300 }), { _tag: "TimeoutError", contextRestarted: false })
      }
      expect((yield* sandbox.runCode("kept")).execution.text).toBe("1")
    }))

  it.scoped("runs TypeScript", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "typescript" })
      yield* sandbox.runCode(
        "interface P { readonly name: string }\nenum Color { Red, Green }\nconst p: P = { name: 'x' }"
      )
      expect((yield* sandbox.runCode("`${p.name as string} ${Color.Green}`")).execution.text).toBe("'x 1'")
      yield* failsWith(sandbox.runCode("const = 1"), { _tag: "ExecutionError", name: "SyntaxError" })
    }))

  it.scoped("runs bash: state kept, exit status as data", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "bash" })
      yield* sandbox.runCode("x=5; mkdir -p d; cd d; greet() { echo \"hi $1\"; }")
      const { execution, metadata } = yield* sandbox.runCode("greet $x; pwd; echo oops >&2; false")
      expect(execution.logs).toEqual({ stdout: ["hi 5\n", "/workspace/d\n"], stderr: ["oops\n"] })
      expect(metadata.exitCode).toBe(1)
      for (const status of [3, 0, 4]) {
        const ended = yield* sandbox.runCode(`exit ${status}`)
        expect(ended.metadata.exitCode).toBe(status)
        expect((yield* sandbox.runCode("echo fresh")).execution.logs.stdout).toEqual(["fresh\n"])
      }
      expect((yield* sandbox.runCode("echo \"[$x]\"")).execution.logs.stdout).toEqual(["[]\n"])
    }))

  it.scoped("has a default context for each language, made on demand", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.runCode("x = 1")
      yield* sandbox.runCode("var x = 'js'", { language: "javascript" })
      yield* sandbox.runCode("x=sh", { language: "bash" })
      expect((yield* sandbox.runCode("x")).execution.text).toBe("1")
      expect((yield* sandbox.runCode("x", { language: "javascript" })).execution.text).toBe("'js'")
      expect((yield* sandbox.runCode("echo $x", { language: "bash" })).execution.logs.stdout).toEqual(["sh\n"])
      const languages = (yield* sandbox.listCodeContexts()).map((context) => context.language)
      expect(languages).toEqual(["python", "javascript", "bash"])
    }))

  it.scoped("never credits to a run what a timer of an earlier one prints", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "javascript" })
      yield* sandbox.runCode("setInterval(() => console.log('late'), 5); 0")
      const { execution } = yield* sandbox.runCode(
        "for (let n = 0; n < 10; n++) { console.log('now'); await new Promise((r) => setTimeout(r, 10)) }"
      )
      expect(execution.logs.stdout.join("")).toBe("now\n".repeat(10))
    }))
}
