import { expect } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

export const lifecycle: Part = (it) => {
  it.scoped("creates a sandbox, describes it, runs code in it and deletes it", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { id: templateId } = yield* sdk.getTemplate("python")
      const before = Date.now()
      const { sandbox } = yield* sdk.createSandbox({
        templateId: "python",
        name: "first",
        metadata: { purpose: "test" }
      })
      expect(sandbox).toMatchObject({
        name: "first",
        status: "ready",
        metadata: { purpose: "test" },
        templateConfig: { language: "python" }
      })
      expect(templateId).toMatch(/^python-3\.\d+$/)
      expect(sandbox.templateId).toBe(templateId)
      expect(sandbox.createdAt).toBeGreaterThanOrEqual(before)
      expect(yield* sdk.getSandbox(sandbox.id)).toEqual(sandbox)
      expect(yield* sdk.getSandboxStatus(sandbox.id)).toBe("ready")
      const { execution, metadata } = yield* sdk.runCode(sandbox.id, "print('Hello')\n42")
      expect(execution.text).toBe("42")
      expect(execution.logs).toEqual({ stdout: ["Hello\n"], stderr: [] })
      expect(metadata).toMatchObject({ sandboxId: sandbox.id })
      expect(metadata.duration).toBeGreaterThan(0)
      yield* sdk.deleteSandbox(sandbox.id)
      yield* failsWith(sdk.getSandbox(sandbox.id), { _tag: "SandboxError", code: "not_found", sandboxId: sandbox.id })
      yield* failsWith(sdk.runCode(sandbox.id, "1"), { _tag: "SandboxError", code: "not_found" })
    }))

  it.scoped("leaves a fiber that makes many sandboxes as it was", () =>
    Effect.gen(function*() {
      const use = Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        yield* sandbox.runCode("1+1")
        yield* sandbox.writeFile("a.txt", "a")
        yield* sandbox.runTerminal("cat a.txt")
      }))
      // What a fiber keeps of its references, it keeps for as long as it lives.
      const kept = Effect.map(Effect.getFiberRefs, ({ locals }) =>
        [...locals.values()].reduce((sum, values) => sum + values.length, 0))
      yield* use
      const before = yield* kept
      yield* Effect.repeatN(use, 2)
      expect(yield* kept).toBe(before)
    }))

  it.scoped("deletes twice without complaint", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
      yield* sdk.deleteSandbox(sandbox.id)
      yield* sdk.deleteSandbox(sandbox.id)
    }))

  it.scoped("lists sandboxes, filtered and paged", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const group = `group-${Math.random()}`
      const made = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Sandbox.make({ templateId: "bash", name, metadata: { group, name } }))
      const ids = made.map((sandbox) =>
        sandbox.id
      )
      const list = (options: Parameters<typeof sdk.listSandboxes>[0]) =>
        Effect.map(sdk.listSandboxes(options), (sandboxes) => sandboxes.map((sandbox) => sandbox.id))
      expect(yield* list({ metadata: { group } })).toEqual(ids)
      expect(yield* list({ metadata: { group, name: "b" } })).toEqual([ids[1]])
      expect(yield* list({ metadata: { group }, page: 2, pageSize: 2 })).toEqual([ids[2]])
      expect(yield* list({ metadata: { group }, status: "ready" })).toEqual(ids)
      expect(yield* list({ metadata: { group }, status: "stopped" })).toEqual([])
      expect(yield* list({})).toEqual(expect.arrayContaining(ids))
    }))

  it.scoped("says that it is running while code runs", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const fiber = yield* Effect.fork(sandbox.runCode("import time; time.sleep(60)"))
      yield* eventually(Effect.map(sdk.getSandboxStatus(sandbox.id), (status) => status === "running"))
      yield* Fiber.interrupt(fiber)
      expect(yield* sdk.getSandboxStatus(sandbox.id)).toBe("ready")
    }))

  it.scoped("gives each sandbox files and processes of its own", () =>
    Effect.gen(function*() {
      const [one, two] = yield* Effect.all([
        Sandbox.make({ templateId: "python" }),
        Sandbox.make({ templateId: "python" })
      ])
      yield* one.writeFile("mine.txt", "one")
      yield* one.runCode("secret = 1")
      yield* failsWith(two.readFile("mine.txt"), { _tag: "SandboxError", code: "file_not_found" })
      yield* failsWith(two.runCode("secret"), { _tag: "ExecutionError", name: "NameError" })
    }))

  it.effect("deletes the sandbox of a handle when the scope closes: after success, failure and interruption", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const use = <E>(then: Effect.Effect<void, E>) =>
        Effect.gen(function*() {
          let id = ""
          const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
            const sandbox = yield* Sandbox.make({ templateId: "bash" })
            id = sandbox.id
            yield* then
          })))
          yield* failsWith(sdk.getSandbox(id), { code: "not_found" })
          return exit
        })
      expect(yield* use(Effect.void)).toEqual(Exit.void)
      expect(yield* use(Effect.fail("no"))).toEqual(Exit.fail("no"))
      expect(Exit.isInterrupted(yield* use(Effect.interrupt))).toBe(true)
    }))

  it.scoped("stops a sandbox with its files kept, and starts it again, by itself or when told", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      yield* sandbox.writeFile("kept", "yes")
      yield* sandbox.runCode("x = 1")
      const fiber = yield* Effect.fork(failsWith(sandbox.runTerminal("sleep 60"), { _tag: "SandboxError" }))
      yield* eventually(Effect.map(sandbox.getSandboxStatus(), (status) => status === "running"))
      expect(yield* sandbox.stopSandbox()).toMatchObject({ id: sandbox.id, status: "stopped" })
      yield* Fiber.join(fiber)
      expect(yield* sandbox.getSandboxStatus()).toBe("stopped")
      expect(yield* sandbox.stopSandbox()).toMatchObject({ status: "stopped" })
      expect(yield* sandbox.startSandbox()).toMatchObject({ status: "ready" })
      expect(yield* sandbox.readFile("kept")).toBe("yes")
      yield* failsWith(sandbox.runCode("x"), { _tag: "ExecutionError", name: "NameError" })
      yield* sandbox.stopSandbox()
      // The next operation starts it.
      expect(yield* sandbox.readFile("kept")).toBe("yes")
      expect(yield* sdk.getSandboxStatus(sandbox.id)).toBe("ready")
    }))

  it.scoped("leaves a sandbox with autoStart: false stopped until it is started", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python", autoStart: false })
      expect(sandbox.info.status).toBe("stopped")
      yield* failsWith(sandbox.runCode("1"), { _tag: "SandboxError", code: "stopped", sandboxId: sandbox.id })
      yield* sandbox.startSandbox()
      expect((yield* sandbox.runCode("1")).execution.text).toBe("1")
    }))

  it.scoped("deletes a sandbox when its time is over, which can be put off", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const short = yield* Sandbox.make({ templateId: "bash", expiryTime: 600 })
      // Long enough to be made and extended where that takes a while.
      const long = yield* Sandbox.make({ templateId: "bash", expiryTime: 5_000 })
      const extended = yield* long.extendSandbox(3_600_000)
      expect(extended.expiresAt).toBeGreaterThan(Date.now() + 3_000_000)
      yield* eventually(Effect.map(Effect.option(sdk.getSandbox(short.id)), (option) => option._tag === "None"))
      yield* eventually(Effect.sync(() => Date.now() > extended.createdAt + 5_500))
      expect(yield* long.getSandboxStatus()).toBe("ready")
      yield* failsWith(long.extendSandbox(0), { _tag: "SandboxSDKError", field: "ms" })
    }))

  it.scoped("says how much the files of all sandboxes take", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const before = yield* sdk.getUsage()
      expect(before.sandboxes).toBeGreaterThanOrEqual(1)
      yield* sandbox.writeFile("d/big", new Uint8Array(3_000_000).fill(7))
      // Another name for the same file, and a way out, take nothing.
      yield* sandbox.runTerminal("ln d/big d/again; ln -s / out")
      const after = yield* sdk.getUsage()
      expect(after.storageBytes - before.storageBytes).toBeGreaterThanOrEqual(3_000_000)
      expect(after.storageBytes - before.storageBytes).toBeLessThan(3_200_000)
    }))

  it.scoped("measures what a sandbox uses", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      yield* sandbox.runCode("import time")
      const before = yield* sandbox.getSandboxMetrics()
      expect(before).toMatchObject({ sandboxId: sandbox.id, cpuCount: 1, memoryLimitBytes: 1024 * 2 ** 20 })
      expect(before.diskLimitBytes).toBe(4096 * 2 ** 20)
      expect(before.memoryUsedBytes).toBeGreaterThan(1_000_000)
      yield* sandbox.runCode(
        "kept = b'x' * 100_000_000\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
      )
      yield* sandbox.writeFile("d/big", new Uint8Array(3_000_000).fill(7))
      const after = yield* sandbox.getSandboxMetrics()
      expect(after.memoryUsedBytes - before.memoryUsedBytes).toBeGreaterThan(90_000_000)
      expect(after.memoryUsedBytes - before.memoryUsedBytes).toBeLessThan(200_000_000)
      expect(after.diskUsedBytes - before.diskUsedBytes).toBeGreaterThanOrEqual(3_000_000)
      expect(after.diskUsedBytes - before.diskUsedBytes).toBeLessThan(3_200_000)
      expect(after.timestamp).toBeGreaterThanOrEqual(before.timestamp)
      if (after.cpuTimeMicros !== undefined && before.cpuTimeMicros !== undefined) {
        expect(after.cpuTimeMicros - before.cpuTimeMicros).toBeGreaterThanOrEqual(390_000)
      }
      yield* sandbox.runTerminal("while :; do :; done").pipe(Effect.forkScoped)
      yield* eventually(Effect.map(sandbox.getSandboxMetrics(), ({ cpuUsedPercent }) => cpuUsedPercent > 5))
      const sdk = yield* SandboxSDK
      yield* failsWith(sdk.getSandboxMetrics("sbx_nowhere"), { _tag: "SandboxError", code: "not_found" })
    }))

  it.scoped("measures a sandbox that is stopped, and leaves it so", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "bash" })
      yield* sandbox.writeFile("big", new Uint8Array(3_000_000).fill(7))
      yield* sandbox.stopSandbox()
      const { cpuTimeMicros, cpuUsedPercent, diskUsedBytes, memoryUsedBytes } = yield* sandbox.getSandboxMetrics()
      expect([cpuTimeMicros, cpuUsedPercent, memoryUsedBytes]).toEqual([0, 0, 0])
      expect(diskUsedBytes).toBeGreaterThanOrEqual(3_000_000)
      expect(yield* sandbox.getSandboxStatus()).toBe("stopped")
    }))

  it.scoped("counts what it has done", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const before = yield* sdk.getMetrics
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      yield* sandbox.runCode("import time; time.sleep(0.02)")
      yield* Effect.exit(sandbox.runCode("1 / 0"))
      yield* Effect.exit(sandbox.readFile("nothing"))
      const after = yield* sdk.getMetrics
      expect(after.totalRequests - before.totalRequests).toBe(4)
      expect(after.successfulRequests - before.successfulRequests).toBe(3)
      expect(after.failedRequests - before.failedRequests).toBe(1)
      expect(after.activeSandboxes - before.activeSandboxes).toBe(1)
      expect(after.totalExecutionTime - before.totalExecutionTime).toBeGreaterThanOrEqual(20)
      expect(after.averageResponseTime).toBeGreaterThan(0)
      expect(new Date(after.lastUpdated).getTime()).toBeGreaterThanOrEqual(new Date(before.lastUpdated).getTime())
    }))
}
