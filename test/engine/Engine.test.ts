import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Logger, Stream } from "effect"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Bubblewrap, layerEngine, layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"
import { processesWith } from "../support/processes.js"

const local = <A, E>(effect: Effect.Effect<A, E, SandboxSDK>) => Effect.provide(effect, layerLocal())

const MIB = 1024 * 1024

/** What is kept counts, and not how long the collector takes its time on a busy machine. */
const collect = (): void => {
  setFlagsFromString("--expose-gc")
  runInNewContext("gc()")
}

describe("Engine", () => {
  it.live(
    "prints 300 MB through runCodeStream with the memory of this process flat",
    () =>
      local(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        // The first 100 MB bring the collector into its stride. If what follows were kept, the rest would be 200 MB more.
        let bytes = 0
        let early = 0
        let late = 0
        let collectAt = 0
        yield* Stream.runForEachChunk(
          sandbox.runCodeStream(
            "line = 'x' * 99 + '\\n'\nimport sys\nfor n in range(3_000_000): sys.stdout.write(line)"
          ),
          (chunk) =>
            Effect.sync(() => {
              for (const event of chunk) {
                if (event._tag === "Stdout") bytes += event.text.length
              }
              if (bytes >= collectAt) {
                collectAt += 25_000_000
                collect()
              }
              const { rss } = process.memoryUsage()
              if (bytes < 100_000_000) early = Math.max(early, rss)
              else late = Math.max(late, rss)
            })
        )
        expect(bytes).toBe(300_000_000)
        expect((late - early) / MIB).toBeLessThan(120)
      }))),
    60_000
  )

  it.live("lets a slow consumer slow the program down instead of filling a buffer", () =>
    local(Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const code = `
import os
written = 0
for n in range(200):
    written += os.write(1, b"x" * 1_000_000)
    with open("written", "w") as file: file.write(str(written))`
      const written = Effect.map(sandbox.readFile("written"), Number)
      let seen = 0
      const fiber = yield* Effect.fork(
        Stream.runForEach(
          sandbox.runCodeStream(code),
          (event) => event._tag === "Stdout" && (seen += event.text.length) > 0 ? Effect.never : Effect.void
        )
      )
      yield* eventually(Effect.map(Effect.option(written), (option) => option._tag === "Some"))
      // Until the program has stopped making progress.
      const stalled: Effect.Effect<number, unknown> = Effect.gen(function*() {
        const before = yield* written
        yield* Effect.sleep("300 millis")
        const after = yield* written
        return before === after ? after : yield* stalled
      })
      expect(yield* stalled).toBeLessThan(8_000_000)
      yield* Fiber.interrupt(fiber)
      expect((yield* sandbox.runCode("written < 200_000_000")).execution.text).toBe("True")
    }))))

  it.live("does not let a slow consumer of one context hold up another", () =>
    local(Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      const other = yield* sandbox.createCodeContext()
      const fiber = yield* Effect.fork(
        Stream.runForEach(
          sandbox.runCodeStream("while True: print('x' * 1000)"),
          (event) => event._tag === "Stdout" ? Effect.never : Effect.void
        )
      )
      yield* Effect.sleep("300 millis")
      expect((yield* sandbox.runCode("2 + 2", { contextId: other.id })).execution.text).toBe("4")
      yield* Fiber.interrupt(fiber)
    }))))

  it.live("says out_of_memory when the limit is passed, and the next run works", () =>
    local(Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python", resources: { memoryMb: 128 } })
      yield* failsWith(
        sandbox.runCode(
          "print('filling')\nhog = bytearray(1_000_000_000)\nfor n in range(0, len(hog), 4096): hog[n] = 1"
        ),
        {
          _tag: "SandboxError",
          code: "out_of_memory"
        }
      )
      expect((yield* sandbox.runCode("1 + 1")).execution.text).toBe("2")
      expect(yield* sandbox.listCodeContexts()).toMatchObject([{ restarts: 1, lastRestart: "out_of_memory" }])
      yield* failsWith(sandbox.runTerminal("python3 -c 'x = b\"x\" * 10**9'"), { code: "out_of_memory" })
    }))))

  it.live("refuses to run anything where it cannot isolate, and says what to install", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const error = yield* failsWith(sdk.createSandbox({ templateId: "python" }), {
        _tag: "SandboxError",
        code: "isolation_unavailable"
      })
      expect(error.message).toMatch(/apt-get install|install/)
      expect(error.message).toContain("bubblewrap")
      expect(yield* sdk.listSandboxes()).toEqual([])
    }).pipe(Effect.provide(Layer.provide(layerEngine(), Bubblewrap.layer({ path: "/nonexistent/bwrap" })))))

  it.live("runs without isolation only when that is asked for by name, and warns", () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel._tag === "Warning") warnings.push(String(message))
      })
      const layer = Layer.provide(layerLocal({ isolation: "none" }), Logger.replace(Logger.defaultLogger, logger))
      yield* Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        const { execution } = yield* sandbox.runCode("open('f', 'w').write('x')\nprint('hi')\n6 * 7")
        expect(execution).toMatchObject({ text: "42", logs: { stdout: ["hi\n"] } })
        expect(yield* sandbox.readFile("f")).toBe("x")
      })).pipe(Effect.provide(layer))
      expect(warnings.join("\n")).toMatch(/isolation/i)
    }))

  it.live("leaves no process and no folder behind when its scope closes", () =>
    Effect.gen(function*() {
      const mark = `leftover-${process.pid}`
      const before = yield* Effect.promise(() => Fs.readdir(Os.tmpdir()))
      yield* local(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python" })
        yield* sandbox.runTerminal(
          `setsid sh -c 'exec -a ${mark} sleep 1000' >/dev/null 2>&1 & mkdir -p locked/in; chmod 000 locked`
        )
        yield* sandbox.runCode(`import subprocess; subprocess.Popen(["bash", "-c", "exec -a ${mark} sleep 1000"])`)
        yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length > 0))
      })))
      expect(yield* processesWith(mark)).toEqual([])
      const after = yield* Effect.promise(() => Fs.readdir(Os.tmpdir()))
      const mine = `sandbox-sdk-${process.pid}-`
      expect(after.filter((name) => name.startsWith(mine))).toEqual(before.filter((name) => name.startsWith(mine)))
    }))

  it.live("leaves nothing behind when it is told to go over and over while it is going", () =>
    Effect.gen(function*() {
      const mark = `told-${process.pid}`
      const mounts = Effect.map(
        Effect.promise(() => Fs.readFile("/proc/self/mountinfo", "utf8")),
        (text) => text.split("\n").filter((line) => line.includes(`sandbox-sdk-${process.pid}-`))
      )
      const before = yield* mounts
      for (const everyMs of [1, 7, 20]) {
        const fiber = yield* Effect.forkDaemon(local(Effect.scoped(Effect.gen(function*() {
          const sandbox = yield* Sandbox.make({ templateId: "python" })
          yield* sandbox.runCode(`import subprocess; subprocess.Popen(["bash", "-c", "exec -a ${mark} sleep 1000"])`)
          return yield* sandbox.runCode("while True: pass")
        }))))
        yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length > 0))
        const telling = yield* Effect.fork(
          Effect.forever(Effect.zipRight(Fiber.interruptFork(fiber), Effect.sleep(everyMs)))
        )
        yield* Fiber.await(fiber)
        yield* Fiber.interrupt(telling)
        expect(yield* processesWith(mark)).toEqual([])
        expect(yield* mounts).toEqual(before)
      }
    }))

  it.live("finds sandboxes again in a folder that outlives it, stopped, with their files", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() =>
          Fs.mkdtemp(Path.join(Os.tmpdir(), "data-")).then((path) => Fs.chmod(path, 0o755).then(() => path))
        ),
        (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
      )
      const layer = layerLocal({ dataDirectory: folder })
      const id = yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const { sandbox } = yield* sdk.createSandbox({ templateId: "python", name: "kept", metadata: { a: "b" } })
        yield* sdk.writeFile(sandbox.id, "f", "still here")
        yield* failsWith(
          Effect.provide(SandboxSDK, layerLocal({ dataDirectory: folder })),
          { _tag: "SandboxError", code: "start_failed" }
        )
        return sandbox.id
      }).pipe(Effect.provide(layer))
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        expect(yield* sdk.listSandboxes()).toMatchObject([{
          id,
          name: "kept",
          status: "stopped",
          metadata: { a: "b" }
        }])
        expect(yield* sdk.readFile(id, "f")).toBe("still here")
        expect(yield* sdk.getSandboxStatus(id)).toBe("ready")
        yield* sdk.deleteSandbox(id)
      }).pipe(Effect.provide(layer))
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        expect(yield* sdk.listSandboxes()).toEqual([])
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped))

  it.live("deletes a sandbox when its time is over", () =>
    local(Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "bash", expiryTime: 500 })
      expect(sandbox.expiresAt).toBe(sandbox.createdAt + 500)
      yield* eventually(Effect.map(sdk.listSandboxes(), (all) => all.length === 0))
    })))

  it.live("holds many sandboxes at once", () =>
    local(Effect.scoped(Effect.gen(function*() {
      const sandboxes = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        () => Sandbox.make({ templateId: "python" }),
        { concurrency: 4 }
      )
      const values = yield* Effect.forEach(sandboxes, (sandbox, n) => sandbox.runCode(`${n} * 2`), {
        concurrency: "unbounded"
      })
      expect(values.map(({ execution }) => execution.text)).toEqual(sandboxes.map((_, n) => `${n * 2}`))
    }))), Duration.toMillis("60 seconds"))
})
