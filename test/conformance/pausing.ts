import { expect } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

const COUNTING = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done"

/** A sandbox with a process that counts, and how far what has been read of it has got. */
const counting = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "bash" })
  const { executionId } = yield* sandbox.startProcess({ command: COUNTING })
  const lines = Effect.map(sandbox.getExecution(executionId), ({ lastSeq }) => lastSeq)
  yield* eventually(Effect.map(lines, (count) => count > 3))
  return { sandbox, executionId, lines }
})

export const pausing: Part = (it) => {
  it.scoped("a paused sandbox stands still, with its memory and streams, and goes on where it was", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { executionId, lines, sandbox } = yield* counting
      yield* sandbox.runCode("kept=yes")
      const reading = yield* sandbox.attach(executionId).pipe(
        Stream.runFold("", (text, event) => event._tag === "Stdout" ? text + event.text : text),
        Effect.catchAll(() => Effect.succeed("")),
        Effect.fork
      )
      expect(yield* sandbox.pauseSandbox()).toMatchObject({ id: sandbox.id, status: "paused" })
      expect(yield* sandbox.pauseSandbox()).toMatchObject({ status: "paused" })
      expect(yield* sdk.getSandboxStatus(sandbox.id)).toBe("paused")
      expect((yield* sdk.listSandboxes({ status: "paused" })).map(({ id }) => id)).toContain(sandbox.id)
      const before = yield* lines
      yield* Effect.sleep("300 millis")
      expect(yield* lines).toBe(before)
      expect((yield* sandbox.listProcesses()).map((one) => one.executionId)).toEqual([executionId])
      expect((yield* sandbox.resumeSandbox()).status).toMatch(/^(ready|running)$/)
      yield* sandbox.resumeSandbox()
      yield* eventually(Effect.map(lines, (count) => count > before))
      expect((yield* sandbox.runCode("echo $kept")).execution.logs.stdout.join("")).toBe("yes\n")
      yield* sandbox.signalProcess(executionId, "SIGTERM")
      const text = yield* Fiber.join(reading)
      const numbers = text.trim().split("\n").map(Number)
      expect(numbers).toEqual(numbers.map((_, index) => index + 1))
    }))

  it.scoped("the next call that uses a paused sandbox lets it go on: code, files, a signal", () =>
    Effect.gen(function*() {
      const { executionId, sandbox } = yield* counting
      yield* sandbox.pauseSandbox()
      expect(yield* sandbox.runTerminal("echo awake")).toBe("awake\n")
      expect(yield* sandbox.getSandboxStatus()).not.toBe("paused")
      yield* sandbox.pauseSandbox()
      yield* sandbox.writeFile("file", "text")
      expect(yield* sandbox.readFile("file")).toBe("text")
      yield* sandbox.pauseSandbox()
      yield* sandbox.signalProcess(executionId, "SIGKILL")
      yield* eventually(Effect.map(sandbox.listProcesses(), (all) => all.length === 0))
    }))

  it.scoped("without autoStart it stays paused, and says so", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "bash", autoStart: false })
      yield* failsWith(sandbox.pauseSandbox(), { _tag: "SandboxError", code: "stopped", sandboxId: sandbox.id })
      yield* failsWith(sandbox.resumeSandbox(), { _tag: "SandboxError", code: "stopped" })
      yield* sandbox.startSandbox()
      const { executionId } = yield* sandbox.startProcess({ args: ["cat"], stdin: true })
      yield* sandbox.pauseSandbox()
      yield* failsWith(sandbox.runTerminal("true"), { _tag: "SandboxError", code: "stopped", sandboxId: sandbox.id })
      yield* failsWith(sandbox.readFile("file"), { code: "stopped" })
      yield* failsWith(sandbox.writeStdin(executionId, "x"), { code: "stopped" })
      expect(yield* sandbox.getSandboxStatus()).toBe("paused")
      yield* sandbox.resumeSandbox()
      yield* sandbox.writeStdin(executionId, "x")
      yield* sandbox.pauseSandbox()
      expect((yield* sandbox.startSandbox()).status).not.toBe("paused")
    }))

  it.scoped("limits of time stand still, and a run can be stopped meanwhile", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "bash" })
      const limited = yield* sandbox.startProcess({ command: "read x; echo $x", stdin: true, timeoutMs: 30_000 })
      const doomed = yield* sandbox.startProcess({ command: "setsid sleep 4741 & sleep 4742" })
      yield* sandbox.pauseSandbox()
      expect(yield* sandbox.cancelExecution(doomed.executionId)).toMatchObject({ error: { code: "cancelled" } })
      expect(yield* sandbox.getSandboxStatus()).toBe("paused")
      yield* sandbox.resumeSandbox()
      expect(yield* sandbox.runTerminal("ps -eo args= | grep '^sleep 474' || echo none")).toBe("none\n")
      yield* sandbox.writeStdin(limited.executionId, "on time\n")
      const text = yield* Stream.runFold(
        sandbox.attach(limited.executionId),
        "",
        (seen, event) => event._tag === "Stdout" ? seen + event.text : seen
      )
      expect(text).toBe("on time\n")
    }))

  it.scoped("can be stopped, deleted, and expires", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { executionId, sandbox } = yield* counting
      yield* sandbox.writeFile("kept", "yes")
      yield* sandbox.pauseSandbox()
      const reading = yield* Effect.fork(Stream.runDrain(sandbox.attach(executionId)))
      expect((yield* sandbox.stopSandbox()).status).toBe("stopped")
      yield* failsWith(Fiber.join(reading), { _tag: "SandboxError", code: "terminated" })
      yield* failsWith(sandbox.resumeSandbox(), { _tag: "SandboxError", code: "stopped" })
      expect(yield* sandbox.readFile("kept")).toBe("yes")
      yield* sandbox.pauseSandbox()
      yield* sandbox.deleteSandbox()
      yield* failsWith(sandbox.pauseSandbox(), { _tag: "SandboxError", code: "not_found" })
      const brief = yield* Sandbox.make({ templateId: "bash" })
      yield* brief.pauseSandbox()
      yield* brief.extendSandbox(100)
      yield* eventually(Effect.map(Effect.either(sdk.getSandbox(brief.id)), ({ _tag }) => _tag === "Left"))
    }))
}
