import { expect } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

export const contexts: Part = (it) => {
  it.scoped("creates, lists and deletes contexts, each with its own variables and directory", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* python
      yield* sandbox.runTerminal("mkdir -p /workspace/sub")
      const context = yield* sandbox.createCodeContext({ language: "python", cwd: "/workspace/sub" })
      expect(context).toMatchObject({ sandboxId: sandbox.id, language: "python", cwd: "/workspace/sub", restarts: 0 })
      yield* sandbox.runCode("x = 'default'")
      yield* sandbox.runCode("x = 'own'", { contextId: context.id })
      expect((yield* sandbox.runCode("x")).execution.text).toBe("'default'")
      const there = yield* sandbox.runCode("import os; (x, os.getcwd())", { contextId: context.id })
      expect(there.execution.text).toBe("('own', '/workspace/sub')")
      expect(there.metadata.contextId).toBe(context.id)
      expect((yield* sandbox.listCodeContexts()).map(({ id }) => id)).toContain(context.id)
      yield* sdk.deleteCodeContext(context.id)
      expect((yield* sandbox.listCodeContexts()).map(({ id }) => id)).not.toContain(context.id)
      yield* failsWith(sandbox.runCode("x", { contextId: context.id }), {
        _tag: "SandboxError",
        code: "context_not_found",
        field: "contextId"
      })
      yield* failsWith(sdk.deleteCodeContext(context.id), { _tag: "SandboxError", code: "context_not_found" })
    }))

  it.scoped("ends what runs in a context that is deleted", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* python
      const context = yield* sandbox.createCodeContext()
      const fiber = yield* Effect.fork(
        failsWith(sandbox.runCode("import time; time.sleep(60)", { contextId: context.id }), { _tag: "SandboxError" })
      )
      yield* Effect.sleep("100 millis")
      yield* sdk.deleteCodeContext(context.id)
      yield* Fiber.join(fiber)
    }))

  it.scoped("says which directory a context cannot start in", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* failsWith(sandbox.createCodeContext({ cwd: "/workspace/nowhere" }), { _tag: "SandboxError", field: "cwd" })
      expect(yield* sandbox.listCodeContexts()).toEqual([])
    }))

  it.scoped("restarts a context: its variables are lost, its place is kept", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* python
      yield* sandbox.makeDirectory("sub")
      const context = yield* sandbox.createCodeContext({ cwd: "sub", envVars: { X: "1" } })
      yield* sandbox.runCode("x = 1", { contextId: context.id })
      const fiber = yield* Effect.fork(
        failsWith(sandbox.runCode("import time; time.sleep(60)", { contextId: context.id }), { _tag: "SandboxError" })
      )
      yield* Effect.sleep("100 millis")
      const restarted = yield* sdk.restartCodeContext(context.id)
      expect(restarted).toMatchObject({ id: context.id, restarts: 1, lastRestart: "requested" })
      yield* Fiber.join(fiber)
      yield* failsWith(sandbox.runCode("x", { contextId: context.id }), { _tag: "ExecutionError", name: "NameError" })
      const there = yield* sandbox.runCode("import os; (os.getcwd(), os.environ['X'])", { contextId: context.id })
      expect(there.execution.text).toBe("('/workspace/sub', '1')")
      yield* failsWith(sdk.restartCodeContext("ctx_nobody"), { code: "context_not_found" })
    }))
}
