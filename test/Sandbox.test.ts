import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Option, Schema, Stream, TestClock } from "effect"
import type { RequestError } from "../src/Errors.js"
import { Sandbox } from "../src/Sandbox.js"
import { SandboxSDK } from "../src/SandboxSDK.js"
import { makeMemoryService } from "./support/memoryService.js"

const memory = (options?: Parameters<typeof makeMemoryService>[0]) => {
  const { layer, log } = makeMemoryService(options)
  return { log, use: Effect.provide(layer) }
}

describe("Sandbox.make", () => {
  it.effect("deletes the sandbox when the scope closes, and not before", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python", name: "mine" })
        expect(sandbox.id).toBe("s1")
        expect(sandbox.info.name).toBe("mine")
        expect(yield* sandbox.getSandboxStatus()).toBe("ready")
        expect(log).toEqual(["create s1"])
      }))
      expect(log).toEqual(["create s1", "delete s1"])
      expect(yield* sdk.listSandboxes()).toEqual([])
    }))
  })

  it.effect("deletes it when the program fails, and the failure is what it was", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Effect.zipRight(
        Sandbox.make({ templateId: "python" }),
        Effect.fail("my own failure")
      )))
      expect(exit).toEqual(Exit.fail("my own failure"))
      expect(log).toEqual(["create s1", "delete s1"])
    }))
  })

  it.effect("deletes it when the program dies", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Effect.zipRight(
        Sandbox.make({ templateId: "python" }),
        Effect.die("bug")
      )))
      expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBe("bug")
      expect(log).toEqual(["create s1", "delete s1"])
    }))
  })

  it.effect("deletes it when the program is interrupted, after what runs in it has been stopped", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const running = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        yield* sandbox.runCode("hang", { onStdout: () => Effect.asVoid(Deferred.succeed(running, undefined)) })
      })))
      yield* Deferred.await(running)
      yield* Fiber.interrupt(fiber)
      expect(log.filter((entry) => !entry.startsWith("pull"))).toEqual([
        "create s1",
        "begin hang",
        "end hang",
        "delete s1"
      ])
    }))
  })

  it.effect("loses no sandbox when it is interrupted while one is being made", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.scoped(Sandbox.make({ templateId: "slow" })))
      yield* TestClock.adjust("10 millis")
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("100 millis")
      expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
      expect(log).toEqual(["create s1", "delete s1"])
    }))
  })

  it.effect("a deletion that fails does not hide what the program gave", () => {
    const { use } = memory({ deleteFails: true })
    return use(Effect.gen(function*() {
      const value = yield* Effect.scoped(Effect.as(Sandbox.make({ templateId: "python" }), 42))
      expect(value).toBe(42)
    }))
  })

  it.effect("fails as createSandbox does, and then deletes nothing", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Sandbox.make({ templateId: "cobol" })))
      expect(error).toMatchObject({ _tag: "SandboxError", code: "template_not_found" })
      expect(log).toEqual([])
    }))
  })

  it.scoped("its methods are those of the service, for this sandbox", () => {
    const { use } = memory()
    return use(Effect.gen(function*() {
      yield* Sandbox.make({ templateId: "python" })
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      expect((yield* sandbox.getSandbox()).id).toBe("s2")
      expect((yield* sandbox.runCode("lines 2")).execution.logs.stdout).toEqual(["line 1\n", "line 2\n"])
      expect((yield* sandbox.runCode("lines 1")).metadata.sandboxId).toBe("s2")
      const events = yield* Stream.runCollect(sandbox.runCodeStream("lines 1"))
      expect(Chunk.toReadonlyArray(events).map((event) => event._tag)).toEqual(["Started", "Stdout", "Ended"])
      expect(yield* sandbox.runTerminal("ls")).toBe("$ ls")
      expect(yield* Stream.runCount(sandbox.runTerminalStream("lines 1"))).toBe(3)
      expect(yield* sandbox.readFile("a.txt")).toBe("content of a.txt")
      expect(yield* sandbox.writeFile("a.txt", "x")).toBe("/workspace/a.txt")
      expect(yield* sandbox.listFiles("/workspace/d")).toEqual({ files: [], directory: "/workspace/d" })
      yield* sandbox.deleteFile("a.txt")
      expect((yield* sandbox.createCodeContext()).sandboxId).toBe("s2")
      expect((yield* sandbox.listCodeContexts()).map((context) => context.sandboxId)).toEqual(["s2"])
      yield* sandbox.deleteCodeContext("c1")
      expect((yield* sandbox.restartCodeContext("c1")).id).toBe("c1")
      yield* sandbox.deleteSandbox()
      expect((yield* Effect.flip(sandbox.getSandbox()))._tag).toBe("SandboxError")
    }))
  })

  it.scoped("starts, stops and extends the sandbox", () => {
    const { use } = memory()
    return use(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      expect((yield* sandbox.stopSandbox()).status).toBe("stopped")
      expect((yield* sandbox.startSandbox()).status).toBe("ready")
      expect(yield* sandbox.extendSandbox(5)).toMatchObject({ id: "s1", expiresAt: 5 })
    }))
  })

  it.scoped("keeps the types of what is decoded and of what a stream fails with", () => {
    const { use } = memory()
    return use(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const date: Date = yield* sandbox.runCodeAs("json \"2020-02-03T00:00:00.000Z\"", Schema.Date)
      expect(date.getUTCFullYear()).toBe(2020)
      const written = sandbox.writeFileStream("f", Stream.make(Uint8Array.of(1), Uint8Array.of(2, 3)))
      expect(yield* written).toBe("/workspace/f")
      expect(yield* sandbox.readFileBytes("f")).toEqual(Uint8Array.of(1, 2, 3))
      expect(Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.readFileStream("f"))).length).toBe(3)
      const failing: Effect.Effect<string, RequestError | "mine"> = sandbox.writeFileStream(
        "f",
        Stream.fail("mine" as const)
      )
      expect(yield* Effect.flip(failing)).toBe("mine")
    }))
  })

  it.scoped("runs batches and watches files", () => {
    const { use } = memory()
    return use(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const jobs = [{ id: "a", code: "lines 1" }, { id: "b", code: "raise" }]
      expect((yield* sandbox.executeBatch(jobs)).map(({ jobId, success }) => [jobId, success])).toEqual([
        ["a", true],
        ["b", false]
      ])
      const last = yield* Stream.runLast(sandbox.executeBatchStream(jobs))
      expect(Option.getOrThrow(last)).toMatchObject({ _tag: "BatchEnded", succeeded: 1, failed: 1 })
      expect((yield* sandbox.statFile("a")).path).toBe("a")
      expect((yield* sandbox.makeDirectory("d")).isDirectory).toBe(true)
      expect((yield* sandbox.moveFile("a", "b")).path).toBe("b")
      expect(Option.getOrThrow(yield* Stream.runHead(sandbox.watchFiles("d")))).toMatchObject({ path: "d/a" })
    }))
  })
})

describe("Sandbox.attach", () => {
  it.effect("does not own the sandbox", () => {
    const { log, use } = memory()
    return use(Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
      const handle = yield* Effect.scoped(Sandbox.attach(sandbox.id))
      expect(handle.info).toEqual(sandbox)
      expect(yield* handle.readFile("a")).toBe("content of a")
      expect(log).toEqual(["create s1"])
    }))
  })

  it.effect("fails when there is no such sandbox", () => {
    const { use } = memory()
    return use(Effect.gen(function*() {
      expect(yield* Effect.flip(Sandbox.attach("nobody"))).toMatchObject({ _tag: "SandboxError", code: "not_found" })
    }))
  })
})
