import { expect } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream } from "effect"
import type { ExecutionEvent } from "../../src/Execution.js"
import { Sandbox } from "../../src/Sandbox.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

const make = Sandbox.make({ templateId: "javascript" })

const textOf = (events: Iterable<ExecutionEvent>): string =>
  [...events].flatMap((event) => event._tag === "Stdout" ? [event.text] : []).join("")

const WAIT = "while (!require('fs').existsSync('go')) await new Promise((done) => setTimeout(done, 5))"

export const javascript: Part = (it) => {
  it.scoped("streams the events of JavaScript in order, ended by exactly one end", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(
          sandbox.runCodeStream("console.log('o'); display(1); console.error('e'); throw new RangeError('no')")
        )
      )
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index))
      expect(events.map(({ _tag }) => _tag).filter((tag) => tag === "Ended")).toHaveLength(1)
      const tags = events.flatMap(({ _tag }) => ["Stdout", "Result", "Stderr", "Error"].includes(_tag) ? [_tag] : [])
      expect(tags).toEqual(["Stdout", "Result", "Stderr", "Error"])
    }))

  it.scoped("keeps what JavaScript displays in order with both streams", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = yield* sandbox.runCodeStream(
        "for (let n = 0; n < 100; n++) { n % 2 ? console.error(n) : console.log(n); display(n) }"
      ).pipe(Stream.runCollect)
      expect([...events].flatMap((event) => {
        switch (event._tag) {
          case "Stdout":
          case "Stderr":
            return [`${event._tag} ${event.text.trim()}`]
          case "Result":
            return [`Result ${event.result.text}`]
          default:
            return []
        }
      })).toEqual(
        Array.from({ length: 100 }, (_, n) => [`${n % 2 === 0 ? "Stdout" : "Stderr"} ${n}`, `Result ${n}`]).flat()
      )
    }))

  it.scoped("delivers all that JavaScript and its child processes print, also to a slow consumer", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const line = "x".repeat(99)
      const events = yield* sandbox.runCodeStream(
        `for (let n = 0; n < 20000; n++) console.log("${line}")\n` +
          "require('child_process').execSync('seq 1 50000; echo err > /dev/stderr', { stdio: 'inherit' }); 0"
      ).pipe(Stream.tap(() => Effect.sleep("1 millis")), Stream.runCollect)
      expect(textOf(events)).toBe(
        `${line}\n`.repeat(20_000) + Array.from({ length: 50_000 }, (_, n) => `${n + 1}\n`).join("")
      )
      const errors = [...events].flatMap((event) => event._tag === "Stderr" ? [event.text] : [])
      expect(errors.join("")).toBe("err\n")
    }))

  it.scoped("stops JavaScript with the child processes that it waits for, and keeps its state", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("let kept = 5")
      const fiber = yield* Effect.fork(
        sandbox.runCode("require('fs').writeFileSync('up', ''); require('child_process').execSync('sleep 7711')")
      )
      const sleeping = Effect.map(
        sandbox.runTerminal("grep -l 'sleep.771[1]' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"),
        (count) => Number(count)
      )
      yield* eventually(Effect.map(sleeping, (count) => count > 0))
      yield* Fiber.interrupt(fiber)
      expect(yield* sleeping).toBe(0)
      expect((yield* sandbox.runCode("kept")).execution.text).toBe("5")
    }))

  it.scoped("says kernel_died when Node is ended, with the output so far, and goes on with a fresh one", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("var lost = 1")
      for (const code of ["process.kill(process.pid, 'SIGKILL'); while (true) {}", "process.abort()"]) {
        const error = yield* failsWith(sandbox.runCode(`console.log('last words'); ${code}`), {
          _tag: "SandboxError",
          code: "kernel_died"
        })
        if (error._tag !== "SandboxError") return yield* Effect.die(error)
        expect(error.execution?.logs.stdout).toEqual(["last words\n"])
        expect((yield* sandbox.runCode("typeof lost")).execution.text).toBe("'undefined'")
      }
    }))

  it.scoped("gives contexts of JavaScript their own variables, directory and environment", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({
        templateId: "javascript",
        initialEnvVars: { A: "sandbox" }
      })
      yield* sandbox.makeDirectory("sub")
      const context = yield* sandbox.createCodeContext({ cwd: "/workspace/sub", envVars: { B: "context" } })
      const code = "[process.cwd(), process.env.A, process.env.B, process.env.C, typeof own].join()"
      yield* sandbox.runCode("var own = 1", { contextId: context.id })
      expect((yield* sandbox.runCode(code, { contextId: context.id, envs: { C: "run" } })).execution.text).toBe(
        "'/workspace/sub,sandbox,context,run,number'"
      )
      expect((yield* sandbox.runCode(code)).execution.text).toBe("'/workspace,sandbox,,,undefined'")
      yield* sandbox.deleteCodeContext(context.id)
      yield* failsWith(sandbox.runCode("1", { contextId: context.id }), { code: "context_not_found" })
    }))

  it.scoped("lets JavaScript go on that is detached, and picks it up where it was left", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const head = yield* sandbox.runCodeStream(`console.log('one'); ${WAIT}; console.log('two')`, { detached: true })
        .pipe(Stream.takeUntil((event) => event._tag === "Stdout"), Stream.runCollect)
      const [id = ""] = [...head].flatMap((event) => event._tag === "Started" ? [event.executionId] : [])
      yield* sandbox.writeFile("go", "")
      const tail = yield* Stream.runCollect(sandbox.attach(id, { after: Chunk.size(head) - 1 }))
      expect(textOf(Chunk.appendAll(head, tail))).toBe("one\ntwo\n")
    }))
}
