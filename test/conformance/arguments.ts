import { expect } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { unsafeCoerce } from "effect/Function"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

/** A value as plain JavaScript would pass it. */
const untyped: (value: unknown) => never = unsafeCoerce

export const badArguments: Part = (it) => {
  it.scoped("refuses malformed arguments by name, and nothing else changes", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* python
      yield* sandbox.runCode("x = 1")
      const list = sdk.listSandboxes({ metadata: { nothing: "new" } })
      const refused: ReadonlyArray<readonly [field: string, effect: Effect.Effect<unknown, AnySandboxSDKError>]> = [
        ["templateId", sdk.createSandbox(untyped({}))],
        ["templateId", sdk.createSandbox({ templateId: untyped(5) })],
        ["templateId", sdk.createSandbox({ templateId: "" })],
        ["templatId", sdk.createSandbox(untyped({ templateId: "python", templatId: "python" }))],
        ["initialEnvVars", sdk.createSandbox({ templateId: "python", initialEnvVars: { "A=B": "x" } })],
        ["resources.memoryMb", sdk.createSandbox({ templateId: "python", resources: { memoryMb: -1 } })],
        ["resources.tmpMb", sdk.createSandbox({ templateId: "python", resources: { memoryMb: 128, tmpMb: 128 } })],
        ["id", sdk.getSandbox("")],
        ["id", sdk.runCode(untyped(undefined), "1")],
        ["code", sdk.runCode(sandbox.id, untyped(1))],
        ["timeoutMs", sdk.runCode(sandbox.id, "x = 2", { timeoutMs: -1 })],
        ["timeoutMs", sdk.runCode(sandbox.id, "x = 2", { timeoutMs: untyped("1") })],
        ["timeoutMs", sdk.runCode(sandbox.id, "x = 2", { timeoutMs: 1e12 })],
        ["language", sdk.runCode(sandbox.id, "x = 2", { language: untyped("cobol") })],
        ["timeout", sdk.runCode(sandbox.id, "x = 2", untyped({ timeout: 5 }))],
        ["onStdout", sdk.runCode(sandbox.id, "x = 2", { onStdout: untyped("print") })],
        ["command", sdk.runTerminal(sandbox.id, "")],
        ["command", sdk.runTerminal(sandbox.id, "   ")],
        ["command", sdk.runTerminal(sandbox.id, "echo \0")],
        ["timeoutMs", Stream.runDrain(sdk.runTerminalStream(sandbox.id, "touch /workspace/x", { timeoutMs: 0 }))],
        ["timeoutMs", Stream.runDrain(sdk.runCodeStream(sandbox.id, "x = 2", { timeoutMs: Number.NaN }))],
        ["path", sdk.readFile(sandbox.id, "")],
        ["path", sdk.readFile(sandbox.id, "a\0b")],
        ["path", sdk.readFile(sandbox.id, "x".repeat(300))],
        ["encoding", sdk.readFile(sandbox.id, "x", { encoding: untyped("latin1") })],
        ["content", sdk.writeFile(sandbox.id, "x", untyped({ not: "content" }))],
        ["files", sdk.writeFiles(sandbox.id, untyped("x"))],
        ["files", sdk.writeFiles(sandbox.id, Array.from({ length: 100_001 }, () => ({ path: "x", content: "" })))],
        ["files.0", sdk.writeFiles(sandbox.id, [untyped("x")])],
        ["files.1.path", sdk.writeFiles(sandbox.id, [{ path: "x", content: "" }, { path: "", content: "" }])],
        ["files.0.content", sdk.writeFiles(sandbox.id, [{ path: "x", content: untyped(1) }])],
        ["createParent", sdk.writeFiles(sandbox.id, [], untyped({ createParent: true }))],
        ["paths", sdk.readFiles(sandbox.id, untyped("x"))],
        ["paths.0", sdk.readFiles(sandbox.id, [untyped(1)])],
        ["language", sdk.createCodeContext(sandbox.id, { language: untyped("cobol") })],
        ["page", sdk.getTemplates(0)],
        ["pageSize", sdk.getTemplates(1, 1.5)],
        ["pageSize", sdk.listSandboxes({ pageSize: 0 })]
      ]
      for (const [field, effect] of refused) {
        const error = yield* failsWith(effect, { _tag: "SandboxSDKError", code: "invalid_argument" })
        expect(Reflect.get(error, "field")).toContain(field)
        expect(error.message).toContain(field)
      }
      expect((yield* sandbox.runCode("x")).execution.text).toBe("1")
      expect((yield* sandbox.listFiles()).files).toEqual([])
      expect(yield* list).toEqual([])
    }))

  it.effect("says not_found for a sandbox that does not exist, in every operation", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const id = "sbx_nobody"
      const all: ReadonlyArray<Effect.Effect<unknown, AnySandboxSDKError>> = [
        sdk.getSandbox(id),
        sdk.getSandboxStatus(id),
        sdk.runCode(id, "1"),
        Stream.runDrain(sdk.runCodeStream(id, "1")),
        sdk.runTerminal(id, "true"),
        Stream.runDrain(sdk.runTerminalStream(id, "true")),
        sdk.readFile(id, "a"),
        sdk.writeFile(id, "a", ""),
        sdk.writeFiles(id, [{ path: "a", content: "" }]),
        sdk.readFiles(id, ["a"]),
        sdk.deleteFile(id, "a"),
        sdk.listFiles(id),
        sdk.createCodeContext(id),
        sdk.listCodeContexts(id)
      ]
      for (const effect of all) {
        yield* failsWith(effect, { _tag: "SandboxError", code: "not_found", sandboxId: id })
      }
    }))

  it.scoped("refuses a context together with a language", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const context = yield* sandbox.createCodeContext()
      yield* failsWith(sandbox.runCode("1", { contextId: context.id, language: "bash" }), {
        _tag: "SandboxSDKError",
        field: "language"
      })
    }))
}
