import { expect } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

export const snapshots: Part = (it) => {
  it.scoped("keeps the files of a sandbox that runs, and makes sandboxes with them", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* Sandbox.make({
        templateId: "python",
        initialEnvVars: { KEPT: "yes", CHANGED: "old" },
        metadata: { a: "1", b: "2" },
        resources: { memoryMb: 512 }
      })
      yield* sandbox.runCode("x = 5")
      yield* sandbox.writeFile("deep/down/file", "before")
      yield* sandbox.runTerminal("ln -s /etc/passwd link; ln deep/down/file second; mkfifo pipe; chmod 700 deep")
      const snapshot = yield* sandbox.snapshot({ name: "before it changed" })
      yield* Effect.addFinalizer(() => Effect.ignore(sdk.deleteSnapshot(snapshot.id)))
      expect(snapshot).toMatchObject({
        name: "before it changed",
        sandboxId: sandbox.id,
        templateId: sandbox.info.templateId,
        metadata: { a: "1", b: "2" }
      })
      expect(snapshot.sizeBytes).toBeGreaterThan(0)
      // It goes on as if nothing had been.
      expect((yield* sandbox.runCode("x")).execution.text).toBe("5")
      yield* sandbox.writeFile("deep/down/file", "after")

      const copy = yield* Effect.acquireRelease(
        sdk.createSandbox({ fromSnapshot: snapshot.id, initialEnvVars: { CHANGED: "new" }, metadata: { b: "3" } }),
        ({ sandbox }) => Effect.ignore(sdk.deleteSandbox(sandbox.id))
      )
      const { id, metadata, templateId } = copy.sandbox
      expect({ metadata, templateId }).toEqual({ metadata: { a: "1", b: "3" }, templateId: sandbox.info.templateId })
      expect(yield* sdk.readFile(id, "deep/down/file")).toBe("before")
      const seen = yield* sdk.runTerminal(
        id,
        "echo $KEPT $CHANGED; readlink link; stat -c %h second; stat -c %F pipe; id -un"
      )
      expect(seen).toBe("yes new\n/etc/passwd\n2\nfifo\nuser\n")
      yield* sdk.writeFile(id, "deep/down/file", "its own")
      expect(yield* sandbox.readFile("deep/down/file")).toBe("after")
      // Variables are not kept.
      yield* failsWith(sdk.runCode(id, "x"), { _tag: "ExecutionError", name: "NameError" })
    }))

  it.scoped("lists and deletes snapshots, which outlive their sandbox", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const [one, two, source] = yield* Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "bash" })
        yield* sandbox.writeFile("file", "1")
        const one = yield* sandbox.snapshot({ name: "one" })
        yield* sandbox.stopSandbox()
        const two = yield* sandbox.snapshot()
        return [one, two, sandbox.id] as const
      }))
      const ids = (options?: Parameters<typeof sdk.listSnapshots>[0]) =>
        Effect.map(sdk.listSnapshots(options), (all) => all.map(({ id }) => id))
      expect(yield* ids()).toEqual(expect.arrayContaining([one.id, two.id]))
      expect(yield* ids({ sandboxId: source })).toEqual([one.id, two.id])
      expect(yield* ids({ sandboxId: source, name: "one" })).toEqual([one.id])
      const { sandbox } = yield* sdk.createSandbox({ fromSnapshot: two.id })
      yield* sdk.deleteSnapshot(two.id)
      yield* sdk.deleteSnapshot(two.id)
      expect(yield* sdk.readFile(sandbox.id, "file")).toBe("1")
      yield* sdk.deleteSandbox(sandbox.id)
      yield* sdk.deleteSnapshot(one.id)
      expect(yield* ids({ sandboxId: source })).toEqual([])
      yield* failsWith(sdk.createSandbox({ fromSnapshot: one.id }), {
        _tag: "SandboxError",
        code: "snapshot_not_found",
        field: "fromSnapshot"
      })
    }))

  it.scoped("forks a sandbox while code runs in it, which goes on", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python", metadata: { who: "parent" } })
      yield* sandbox.writeFile("shared", "same")
      const counting = yield* Effect.fork(sandbox.runCode(
        "import time\nfor i in range(40):\n    open('count', 'w').write(str(i)); time.sleep(0.05)\ni"
      ))
      yield* eventually(Effect.map(Effect.exit(sandbox.readFile("count")), ({ _tag }) => _tag === "Success"))
      const forks = yield* sandbox.fork(3)
      expect(new Set(forks.map(({ id }) => id)).size).toBe(3)
      for (const [index, fork] of forks.entries()) {
        expect(fork.info).toMatchObject({ status: "ready", metadata: { who: "parent" } })
        expect(yield* fork.readFile("shared")).toBe("same")
        yield* fork.writeFile("shared", `own ${index}`)
      }
      expect(yield* sandbox.readFile("shared")).toBe("same")
      expect((yield* Fiber.join(counting)).execution.text).toBe("39")
    }))

  it.scoped("makes all forks or none", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const template = yield* sdk.createTemplate({ name: "Few", language: "bash", version: "5", maxInstances: 2 })
      yield* Effect.addFinalizer(() => Effect.ignore(sdk.deleteTemplate(template.id)))
      const sandbox = yield* Sandbox.make({ templateId: template.id, metadata: { few: template.id } })
      yield* failsWith(sdk.forkSandbox(sandbox.id, 2), { _tag: "SandboxError", code: "quota_exceeded" })
      expect(yield* sdk.listSandboxes({ metadata: { few: template.id } })).toHaveLength(1)
      expect(yield* sandbox.fork()).toHaveLength(1)
    }))

  it.scoped("refuses what makes no sense, by name", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const invalid = { _tag: "SandboxSDKError", code: "invalid_argument" }
      const sandbox = yield* Sandbox.make({ templateId: "bash" })
      yield* failsWith(sdk.forkSandbox(sandbox.id, 0), { ...invalid, field: "count" })
      yield* failsWith(sdk.forkSandbox(sandbox.id, 1.5), { ...invalid, field: "count" })
      yield* failsWith(sdk.createSandbox({ templateId: "bash", fromSnapshot: "x" }), {
        ...invalid,
        field: "fromSnapshot"
      })
      const snapshot = yield* sandbox.snapshot()
      yield* failsWith(sdk.createSandbox({ fromSnapshot: snapshot.id, resources: { diskMb: 64 } }), {
        ...invalid,
        field: "resources.diskMb"
      })
      yield* sdk.deleteSnapshot(snapshot.id)
      yield* failsWith(sdk.snapshotSandbox("sbx_nobody"), { code: "not_found" })
      yield* failsWith(sdk.forkSandbox("sbx_nobody"), { code: "not_found" })
    }))
}
