import { expect } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { Part } from "./support.js"
import { eventually, failsWith, python as make } from "./support.js"

/** Whether any process of the sandbox has this text in its command line. */
const isAlive = (sandbox: Effect.Effect.Success<typeof make>, text: string) =>
  Effect.map(
    sandbox.runTerminal(`grep -l '${text.slice(0, -1)}[${text.slice(-1)}]' /proc/[0-9]*/cmdline 2>/dev/null | wc -l`),
    (output) => output.trim() !== "0"
  )

export const stopping: Part = (it) => {
  it.scoped("stops code at timeoutMs, keeps the context's state, and carries the output so far", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("x = 'kept'")
      const error = yield* failsWith(
        sandbox.runCode("print('so far')\nimport time\nwhile True: time.sleep(0.01)", { timeoutMs: 300 }),
        { _tag: "TimeoutError", operation: "execution", timeoutMs: 300, contextRestarted: false }
      )
      if (error._tag !== "TimeoutError") return yield* Effect.die(error)
      expect(error.execution?.logs.stdout).toEqual(["so far\n"])
      expect((yield* sandbox.runCode("x")).execution.text).toBe("'kept'")
      const [context] = yield* sandbox.listCodeContexts()
      expect(context).toMatchObject({ restarts: 0 })
    }))

  it.scoped("kills code that does not heed the interrupt, and says that its state is lost", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("x = 1")
      const stubborn =
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('stubborn')\nwhile True: pass"
      const error = yield* failsWith(sandbox.runCode(stubborn, { timeoutMs: 300 }), {
        _tag: "TimeoutError",
        contextRestarted: true
      })
      if (error._tag !== "TimeoutError") return yield* Effect.die(error)
      expect(error.execution?.logs.stdout).toEqual(["stubborn\n"])
      const [context] = yield* sandbox.listCodeContexts()
      expect(context).toMatchObject({ restarts: 1, lastRestart: "timeout" })
      yield* failsWith(sandbox.runCode("x"), { _tag: "ExecutionError", name: "NameError" })
    }))

  it.scoped("stops the code when its fiber is interrupted, and the next run works", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("x = 1")
      const fiber = yield* Effect.fork(
        sandbox.runCode("open('started', 'w').close()\nimport subprocess\nsubprocess.run(['sleep', '7654'])")
      )
      yield* eventually(isAlive(sandbox, "7654"))
      yield* Fiber.interrupt(fiber)
      expect(yield* isAlive(sandbox, "7654")).toBe(false)
      expect((yield* sandbox.runCode("x")).execution.text).toBe("1")
    }))

  it.scoped("kills code that does not heed the interrupt of its fiber, or of its stream", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const stubborn =
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nopen('up', 'w').close()\nwhile True: pass"
      const fiber = yield* Effect.fork(sandbox.runCode(stubborn))
      yield* eventually(Effect.map(sandbox.listFiles(), ({ files }) => files.length === 1))
      yield* Fiber.interrupt(fiber)
      const [context] = yield* sandbox.listCodeContexts()
      expect(context).toMatchObject({ restarts: 1, lastRestart: "interrupted" })
      expect((yield* sandbox.runCode("1 + 1")).execution.text).toBe("2")
    }))

  it.scoped("stops what is interrupted while its interpreter is starting", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      for (const delay of [0, 1, 2, 3, 5]) {
        const fiber = yield* Effect.fork(sandbox.runCode("import time; time.sleep(60)"))
        yield* Effect.sleep(delay)
        yield* Fiber.interrupt(fiber)
      }
      expect((yield* sandbox.runCode("1 + 1")).execution.text).toBe("2")
    }))

  it.scoped("stops a command, and what it has put into the background", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* failsWith(sandbox.runTerminal("sleep 7601 & setsid sleep 7602 & sleep 7603", { timeoutMs: 300 }), {
        _tag: "TimeoutError",
        operation: "execution"
      })
      for (const text of ["7601", "7602", "7603"]) {
        expect(yield* isAlive(sandbox, text)).toBe(false)
      }
    }))

  it.scoped("stops the code when the consumer of its stream leaves early", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const first = yield* Stream.runHead(
        sandbox.runCodeStream("import time\nwhile True:\n    print('tick'); time.sleep(0.01)").pipe(
          Stream.filter((event) => event._tag === "Stdout")
        )
      )
      expect(first._tag).toBe("Some")
      expect((yield* sandbox.runCode("1 + 1")).execution.text).toBe("2")
    }))

  it.scoped("does not start what was interrupted while it waited for its turn", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const first = yield* Effect.fork(
        sandbox.runCode("import os, time\nopen('up', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)")
      )
      yield* eventually(Effect.map(sandbox.listFiles(), ({ files }) => files.length === 1))
      const second = yield* Effect.fork(sandbox.runCode("open('never', 'w').close()"))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(second)
      yield* sandbox.writeFile("go", "")
      yield* Fiber.join(first)
      yield* failsWith(sandbox.readFile("never"), { code: "file_not_found" })
    }))

  for (
    const [how, code] of [
      ["os._exit", "print('last words', flush=True); import os; os._exit(7)"],
      ["a segmentation fault", "print('last words', flush=True); import ctypes; ctypes.string_at(0)"],
      ["SIGKILL", "print('last words', flush=True); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    ] as const
  ) {
    it.scoped(`says kernel_died after ${how}, with the output so far, and goes on with a fresh interpreter`, () =>
      Effect.gen(function*() {
        const sandbox = yield* make
        yield* sandbox.runCode("x = 1")
        const error = yield* failsWith(sandbox.runCode(code), { _tag: "SandboxError", code: "kernel_died" })
        if (error._tag !== "SandboxError") return yield* Effect.die(error)
        expect(error.execution?.logs.stdout).toEqual(["last words\n"])
        yield* failsWith(sandbox.runCode("x"), { _tag: "ExecutionError", name: "NameError" })
        const [context] = yield* sandbox.listCodeContexts()
        expect(context).toMatchObject({ restarts: 1, lastRestart: "kernel_died" })
      }))
  }

  it.scoped("limits the whole call by requestTimeoutMs, the time in the queue included", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const first = yield* Effect.fork(sandbox.runCode("import time; time.sleep(30)"))
      yield* Effect.sleep("50 millis")
      yield* failsWith(sandbox.runCode("1", { requestTimeoutMs: 200 }), { _tag: "TimeoutError", operation: "request" })
      yield* Fiber.interrupt(first)
    }))
}
