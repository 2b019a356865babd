/**
 * What happens when a sandbox passes a limit: what the code sees, which error the caller gets, and that the sandbox is
 * usable afterwards.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Either, Fiber, type Scope, Stream, TestClock, TestServices } from "effect"
import type { ExecutionError, RequestError } from "../../src/Errors.js"
import { layerLocal } from "../../src/local.js"
import type { Resources } from "../../src/Resources.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"

const MIB = 1024 * 1024

const bytes = (mib: number) => new Uint8Array(mib * MIB).fill(7)

/** Runs Python, and gives what its last expression is. */
const value = (sandbox: Sandbox, code: string) => Effect.map(sandbox.runCode(code), ({ execution }) => execution.text)

/** Python for the name of the error that an action ends with. */
const ATTEMPT = `
import errno, os
def attempt(action):
    try:
        action()
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno]
def fill(path, mib=100_000):
    with open(path, "wb") as file:
        for n in range(mib * 16): file.write(bytes(65536))
def many(path, count=100_000):
    os.makedirs(path, exist_ok=True)
    for n in range(count): open(f"{path}/{n}", "w").close()
`

const isUsable = Effect.fnUntraced(function*(sandbox: Sandbox) {
  expect(yield* value(sandbox, "40 + 2")).toBe("42")
  expect(yield* sandbox.runTerminal("echo $((40 + 2))")).toBe("42\n")
  yield* sandbox.writeFile("usable", "yes")
  expect(yield* sandbox.readFile("usable")).toBe("yes")
})

interface Case {
  readonly limit: string
  readonly resources: Resources
  readonly passes: (sandbox: Sandbox) => Effect.Effect<unknown, RequestError | ExecutionError | Error, SandboxSDK>
}

const cases: ReadonlyArray<Case> = [
  {
    limit: "memory, by one process",
    resources: { memoryMb: 128 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const error = yield* failsWith(sandbox.runCode("hog = bytearray(os.urandom(4096)) * 100_000"), {
          code: "out_of_memory",
          _tag: "SandboxError"
        })
        expect(error.message).toContain("128 MiB")
        yield* failsWith(sandbox.runTerminal("python3 -c 'x = b\"x\" * 10**9'"), { code: "out_of_memory" })
        yield* failsWith(sandbox.runCode("Buffer.alloc(400_000_000, 1).length", { language: "javascript" }), {
          code: "out_of_memory"
        })
      })
  },
  {
    limit: "memory, by many small processes together",
    resources: { memoryMb: 128 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const code = `
import signal
children = []
for n in range(8):
    pid = os.fork()
    if pid == 0:
        kept = bytearray(os.urandom(4096)) * 10_000
        signal.pause()
    children.append(pid)
# The kernel ends some. The others are only waiting.
ended = os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])
for pid in children:
    try: os.kill(pid, signal.SIGKILL)
    except ProcessLookupError: pass
ended`
        expect(yield* value(sandbox, code)).toBe("-9")
      })
  },
  {
    limit: "processes",
    resources: { processes: 24 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const code = `
import signal, time
def forks():
    while True:
        if os.fork() == 0:
            while True: time.sleep(1000)
attempt(forks)`
        expect(yield* value(sandbox, code)).toBe("'EAGAIN'")
        for (
          const refused of [
            sandbox.runTerminal("true"),
            sandbox.createCodeContext(),
            sandbox.createCodeContext({ language: "javascript" })
          ]
        ) {
          const error = yield* failsWith<unknown, RequestError, never>(refused, { code: "quota_exceeded" })
          expect(error.message).toContain("resources.processes")
        }
        // Files need no process.
        yield* sandbox.writeFile("still", "works")
        const [context] = yield* sandbox.listCodeContexts()
        yield* sandbox.restartCodeContext(context?.id ?? "")
      })
  },
  {
    limit: "processor time",
    resources: { cpus: 0.2 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const code = `
import time
children = [os.fork() for n in range(2)]
began = time.monotonic()
while time.monotonic() < began + 1.5: pass
if 0 in children: os._exit(0)
for pid in children: os.waitpid(pid, 0)
spent = os.times()
(spent.user + spent.system + spent.children_user + spent.children_system) / (time.monotonic() - began)`
        // A share, so that it does not matter how busy this machine is; without a limit it would be near 2.
        expect(Number(yield* value(sandbox, code))).toBeLessThan(0.4)
      })
  },
  {
    limit: "disk of /workspace, by bytes",
    resources: { diskMb: 16, memoryMb: 64 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        expect(yield* value(sandbox, "attempt(lambda: fill('/workspace/big'))")).toBe("'ENOSPC'")
        const size = Number(yield* value(sandbox, "os.path.getsize('/workspace/big') >> 20"))
        expect(size).toBeGreaterThanOrEqual(14)
        expect(size).toBeLessThanOrEqual(16)
        for (const write of [sandbox.writeFile("one", bytes(4)), sandbox.writeFile("big", bytes(4))]) {
          const error = yield* failsWith(write, { _tag: "SandboxError", code: "disk_full", sandboxId: sandbox.id })
          expect(error.message).toContain("resources.diskMb")
        }
        yield* failsWith(sandbox.writeFileStream("two", Stream.repeatValue(bytes(1))), { code: "disk_full" })
        // What was refused has taken nothing, and what was to be replaced is there.
        expect((yield* sandbox.listFiles()).files.map(({ name }) => name)).toEqual(["big"])
        yield* sandbox.deleteFile("big")
        yield* sandbox.writeFile("one", bytes(12))
        yield* failsWith(sandbox.writeFile("two", bytes(12)), { code: "disk_full" })
        expect(yield* value(sandbox, "os.unlink('/workspace/one'); attempt(lambda: fill('/workspace/two', 12))")).toBe(
          "'nothing'"
        )
        yield* sandbox.deleteFile("two")
      })
  },
  {
    limit: "disk of /workspace, by the number of files",
    resources: { diskMb: 16 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        expect(yield* value(sandbox, "attempt(lambda: many('/workspace/d'))")).toBe("'ENOSPC'")
        const count = Number(yield* value(sandbox, "len(os.listdir('/workspace/d'))"))
        expect(count).toBeGreaterThan(900)
        expect(count).toBeLessThanOrEqual(1024)
        yield* failsWith(sandbox.writeFile("one", "x"), { code: "disk_full" })
        yield* failsWith(sandbox.makeDirectory("two"), { code: "disk_full" })
        yield* sandbox.deleteFile("d")
        yield* sandbox.makeDirectory("two")
      })
  },
  {
    limit: "/tmp and /dev/shm",
    resources: { memoryMb: 128, tmpMb: 16 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        for (const [path, size] of [["/tmp/big", 16], ["/dev/shm/big", 16]] as const) {
          expect(yield* value(sandbox, `attempt(lambda: fill('${path}'))`)).toBe("'ENOSPC'")
          expect(yield* value(sandbox, `os.path.getsize('${path}') >> 20`)).toBe(`${size}`)
        }
        yield* isUsable(sandbox)
        yield* sandbox.runTerminal("rm /tmp/big /dev/shm/big")
      })
  },
  {
    limit: "size of a file",
    resources: { fileSizeMb: 4 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        expect(yield* value(sandbox, "attempt(lambda: fill('/workspace/big'))")).toBe("'EFBIG'")
        expect((yield* sandbox.statFile("big")).size).toBe(4 * MIB)
        const error = yield* failsWith(sandbox.writeFile("one", bytes(5)), { code: "quota_exceeded" })
        expect(error.message).toContain("resources.fileSizeMb")
        // The kernel's signal ends what does not ignore it.
        const script = "head -c 5000000 /dev/zero > /workspace/two"
        yield* failsWith(sandbox.runTerminal(`exec ${script}`), { code: "quota_exceeded" })
        const bash = yield* failsWith(
          sandbox.runCode("printf '%05000000d' 1 > /workspace/three", { language: "bash" }),
          { code: "quota_exceeded" }
        )
        expect(bash.message).toContain("resources.fileSizeMb")
        expect((yield* sandbox.runCode("echo on", { language: "bash" })).execution.logs.stdout).toEqual(["on\n"])
      })
  },
  {
    limit: "open files",
    resources: { openFiles: 64 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const code = "kept = []\nattempt(lambda: [kept.append(open('/dev/null')) for n in range(1000)])"
        expect(yield* value(sandbox, code)).toBe("'EMFILE'")
        expect(Number(yield* value(sandbox, "len(kept)"))).toBeLessThan(64)
        yield* value(sandbox, "kept.clear()")
        const script = "let code; const fs = require('fs'), kept = []\n" +
          "try { for (;;) kept.push(fs.openSync('/dev/null')) } catch (error) { code = error.code }\ncode"
        expect((yield* sandbox.runCode(script, { language: "javascript" })).execution.text).toBe("'EMFILE'")
        const closing = "console.log('on'); kept.forEach((fd) => fs.closeSync(fd)); kept.length > 10"
        expect((yield* sandbox.runCode(closing, { language: "javascript" })).execution.text).toBe("true")
        yield* sandbox.writeFile("one", bytes(4))
        // A reader that does not read on keeps the file open.
        const held = yield* Effect.forEach(
          Array.from({ length: 80 }),
          () =>
            Effect.either(Effect.scoped(Effect.gen(function*() {
              const pull = yield* Stream.toPull(sandbox.readFileStream("one"))
              yield* Effect.mapError(
                pull,
                (error) => error._tag === "Some" ? error.value : new Cause.NoSuchElementException("empty")
              )
              yield* Effect.sleep("1 second")
            }))),
          { concurrency: "unbounded" }
        )
        const errors = held.flatMap((outcome) => Either.isLeft(outcome) ? [outcome.left] : [])
        expect(errors.length).toBeGreaterThan(10)
        for (const error of errors) expect(error).toMatchObject({ _tag: "SandboxError", code: "quota_exceeded" })
        expect(errors[0]?.message).toContain("resources.openFiles")
      })
  },
  {
    limit: "output of a run",
    resources: { outputMb: 1 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        const code = "print('x' * 3_000_000, end='')"
        const events = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.runCodeStream(code)))
        const length = events.reduce((sum, event) => sum + (event._tag === "Stdout" ? event.text.length : 0), 0)
        expect(length).toBe(MIB)
        expect(events.at(-1)).toMatchObject({ _tag: "Ended", dropped: { stdout: 3_000_000 - MIB, stderr: 0 } })
        const { execution } = yield* sandbox.runCode(code)
        expect(execution.logs.stdout.join("")).toHaveLength(MIB)
        expect(yield* sandbox.runTerminal("head -c 3000000 /dev/zero | tr '\\0' x")).toHaveLength(MIB)
        // A run says for itself what it wants.
        const all = yield* sandbox.runCode(code, { maxOutputSize: 4_000_000 })
        expect(all.execution.logs.stdout.join("")).toHaveLength(3_000_000)
      })
  },
  {
    limit: "time of a run",
    resources: {},
    passes: (sandbox) =>
      failsWith<unknown, RequestError | ExecutionError, never>(
        sandbox.runCode("while True: pass", { timeoutMs: 300 }),
        { _tag: "TimeoutError" }
      )
  },
  {
    limit: "time that it is up",
    resources: { runTimeMs: 2_000 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        yield* sandbox.writeFile("kept", "yes")
        const others = yield* Effect.fork(Effect.all([
          failsWith(Stream.runDrain(sandbox.watchFiles()), { code: "quota_exceeded" }),
          failsWith(sandbox.runTerminal("sleep 1000"), { code: "quota_exceeded" })
        ], { concurrency: 2 }))
        const error = yield* failsWith(Stream.runDrain(sandbox.runCodeStream("while True: pass")), {
          _tag: "SandboxError",
          code: "quota_exceeded",
          sandboxId: sandbox.id
        })
        expect(error.message).toContain("resources.runTimeMs")
        yield* Fiber.join(others)
        expect(yield* sandbox.getSandboxStatus()).toBe("stopped")
        expect(yield* sandbox.readFile("kept")).toBe("yes")
      })
  },
  {
    limit: "time that it is idle",
    resources: { idleTimeMs: 700 },
    passes: (sandbox) =>
      Effect.gen(function*() {
        yield* sandbox.writeFile("kept", "yes")
        // In use: a run, and a reader, that take longer than that.
        yield* sandbox.runCode("import time; time.sleep(1.5); x = 1")
        yield* Stream.runDrain(sandbox.watchFiles()).pipe(Effect.timeoutOption("1500 millis"))
        expect(yield* value(sandbox, "x")).toBe("1")
        yield* eventually(Effect.map(sandbox.getSandboxStatus(), (status) => status === "stopped"))
        // It comes back with its files and without its variables.
        expect(yield* sandbox.readFile("kept")).toBe("yes")
        yield* failsWith(sandbox.runCode("x"), { _tag: "ExecutionError", name: "NameError" })
      })
  }
]

/** Lets the time of tests pass, so that what waits for a moment goes on; to jump is for the test. */
const withTime = <A, E>(effect: Effect.Effect<A, E, SandboxSDK | Scope.Scope>) =>
  Effect.raceFirst(
    Effect.provide(Effect.scoped(effect), layerLocal()),
    Effect.forever(
      Effect.zipRight(TestClock.adjust("5 millis"), TestServices.provideLive(Effect.sleep("2 millis")))
    )
  )

const statusIs = (sandbox: Sandbox, wanted: string) =>
  eventually(Effect.map(sandbox.getSandboxStatus(), (status) => status === wanted))

describe("without being told, a sandbox", () => {
  it.effect("is stopped after an hour without use, and not while it is used", () =>
    withTime(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      yield* sandbox.runCode("x = 1")
      yield* TestClock.adjust("59 minutes")
      // To ask how it is is no use of it.
      expect(yield* sandbox.getSandboxStatus()).toBe("ready")
      yield* TestClock.adjust("1 minute")
      yield* statusIs(sandbox, "stopped")
      yield* sandbox.runCode("x = 2")
      yield* TestClock.adjust("40 minutes")
      yield* sandbox.listFiles()
      yield* TestClock.adjust("40 minutes")
      expect((yield* sandbox.runCode("x")).execution.text).toBe("2")
      const run = yield* Effect.fork(
        sandbox.runTerminal("until [ -e go ]; do sleep 0.01; done", { timeoutMs: 10 ** 9 })
      )
      yield* statusIs(sandbox, "running")
      yield* TestClock.adjust("5 hours")
      expect(yield* sandbox.getSandboxStatus()).toBe("running")
      yield* sandbox.writeFile("go", "")
      yield* Fiber.join(run)
      yield* TestClock.adjust("59 minutes")
      expect(yield* sandbox.getSandboxStatus()).toBe("ready")
      yield* TestClock.adjust("1 minute")
      yield* statusIs(sandbox, "stopped")
    })))

  it.effect("is stopped after a day, however much it is used", () =>
    withTime(Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "bash" })
      const run = yield* Effect.fork(
        failsWith(sandbox.runTerminal("sleep 1000", { timeoutMs: 10 ** 9 }), { code: "quota_exceeded" })
      )
      yield* statusIs(sandbox, "running")
      yield* TestClock.adjust("23 hours")
      expect(yield* sandbox.getSandboxStatus()).toBe("running")
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(run)
      yield* statusIs(sandbox, "stopped")
      // Each start begins a new day.
      expect(yield* sandbox.runTerminal("echo again")).toBe("again\n")
      yield* TestClock.adjust("50 minutes")
      expect(yield* sandbox.getSandboxStatus()).toBe("ready")
    })))

  it.effect("that was made with autoStart: false stays stopped, and one with times of 0 stays up", () =>
    withTime(Effect.gen(function*() {
      const manual = yield* Sandbox.make({ templateId: "bash", autoStart: false })
      yield* manual.startSandbox()
      const lasting = yield* Sandbox.make({ templateId: "bash", resources: { idleTimeMs: 0, runTimeMs: 0 } })
      yield* TestClock.adjust("20 days")
      yield* statusIs(manual, "stopped")
      yield* failsWith(manual.runTerminal("echo"), { code: "stopped" })
      expect(yield* lasting.getSandboxStatus()).toBe("ready")
    })))
})

describe("a template", () => {
  it.scopedLive("has limits for its sandboxes, which createSandbox overrides one by one", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const template = (resources: Resources) =>
        sdk.createTemplate({ name: "small", language: "python", version: "3", resources })
      const { config, id } = yield* template({ diskMb: 16, openFiles: 100, fileSizeMb: 2, tmpMb: 100 })
      expect(config.resources).toEqual({ diskMb: 16, openFiles: 100, fileSizeMb: 2, tmpMb: 100 })
      const seen = (sandbox: Sandbox) =>
        Effect.gen(function*() {
          yield* failsWith(sandbox.writeFile("large", bytes(3)), { code: "quota_exceeded" })
          const code = "import os, resource\n" +
            "[resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.statvfs('/workspace').f_blocks >> 8]"
          return yield* value(sandbox, code)
        })
      expect(yield* seen(yield* Sandbox.make({ templateId: id }))).toBe("[100, 15]")
      expect(yield* seen(yield* Sandbox.make({ templateId: id, resources: { openFiles: 200 } }))).toBe("[200, 15]")
      // What does not fit together does not, wherever each half was said.
      const error = yield* failsWith(sdk.createSandbox({ templateId: id, resources: { memoryMb: 128 } }), {
        _tag: "SandboxSDKError",
        code: "invalid_argument",
        field: "resources.tmpMb"
      })
      expect(error.message).toMatch(/^createSandbox: /)
      const refused = yield* failsWith(template({ memoryMb: 64, tmpMb: 64 }), { field: "resources.tmpMb" })
      expect(refused.message).toMatch(/^createTemplate: /)
      const wrong = yield* failsWith(template({ diskMb: 1 }), { field: "resources.diskMb" })
      expect(wrong.message).toBe(
        "createTemplate: resources.diskMb must be a whole number of MiB from 8 to 16777216, but it is 1."
      )
    }).pipe(Effect.provide(layerLocal())))
})

describe("a sandbox that passes its limit of", () => {
  for (const { limit, passes, resources } of cases) {
    it.scopedLive(`${limit} is told so, and stays usable`, () =>
      Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: "python", resources })
        yield* sandbox.runCode(ATTEMPT)
        yield* passes(sandbox)
        yield* isUsable(sandbox)
      }).pipe(Effect.provide(layerLocal())), 60_000)
  }
})
