import { expect } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream } from "effect"
import { Buffer } from "node:buffer"
import type { ExecutionEvent } from "../../src/Execution.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

const make = Sandbox.make({ templateId: "bash" })

const bytesOf = (events: Iterable<ExecutionEvent>, tag: "Stdout" | "Stderr" = "Stdout"): Buffer =>
  Buffer.concat([...events].flatMap((event) =>
    event._tag === tag
      ? [event.base64 === undefined ? Buffer.from(event.text) : Buffer.from(event.base64, "base64")]
      : []
  ))

/** What a process prints from its start to its end, and its exit status. */
const outcome = (sandbox: Sandbox, executionId: string) =>
  Effect.map(Stream.runCollect(sandbox.attach(executionId)), (events) => {
    const last = Chunk.unsafeLast(events)
    return {
      stdout: bytesOf(events),
      stderr: bytesOf(events, "Stderr"),
      exitCode: last._tag === "Ended" ? last.exitCode : undefined
    }
  })

/** Waits until the output of a process holds a text. */
const shows = (sandbox: Sandbox, executionId: string, text: string) =>
  sandbox.attach(executionId).pipe(
    Stream.scan("", (seen, event) => event._tag === "Stdout" ? seen + event.text : seen),
    Stream.takeUntil((seen) => seen.includes(text)),
    Stream.runLast,
    Effect.flatten,
    Effect.filterOrDie((seen) => seen.includes(text), () => new Error(`it ended without ${JSON.stringify(text)}`)),
    Effect.orDie
  )

const allBytes = Uint8Array.from({ length: 256 }, (_, index) => index)

export const processes: Part = (it) => {
  it.scoped("start, are listed, give their output to whoever attaches, and are gone from the list", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const started = yield* sandbox.startProcess({
        command: "echo $GREETING from $PWD; echo on >&2; read line; exit 3",
        cwd: "/tmp",
        envs: { GREETING: "hello" },
        stdin: true,
        tag: "greeter"
      })
      expect(started).toMatchObject({ sandboxId: sandbox.id, cwd: "/tmp", stdin: true, tag: "greeter" })
      expect(started.pid).toBeGreaterThan(1)
      const { executionId } = started
      expect(yield* sandbox.listProcesses()).toEqual([started])
      expect(yield* sandbox.getExecution(executionId)).toMatchObject({
        kind: "terminal",
        status: "running",
        detached: true
      })
      expect(yield* sandbox.runTerminal(`ps -o args= ${started.pid}`)).toContain("GREETING")
      yield* sandbox.writeStdin(executionId, "\n")
      const { exitCode, stderr, stdout } = yield* outcome(sandbox, executionId)
      expect([stdout.toString(), stderr.toString(), exitCode]).toEqual(["hello from /tmp\n", "on\n", 3])
      yield* eventually(Effect.map(sandbox.listProcesses(), (all) => all.length === 0))
    }))

  it.scoped("get every byte of their input, and its end", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { executionId } = yield* sandbox.startProcess({ args: ["cat"], stdin: true })
      const large = Buffer.concat(Array.from({ length: 3_000 }, () => allBytes))
      const reading = yield* Effect.fork(outcome(sandbox, executionId))
      yield* sandbox.writeStdin(executionId, "grün ")
      yield* sandbox.writeStdin(executionId, large)
      yield* sandbox.writeStdin(executionId, "")
      yield* sandbox.closeStdin(executionId)
      const { exitCode, stdout } = yield* Fiber.join(reading)
      expect(stdout.equals(Buffer.concat([Buffer.from("grün "), large]))).toBe(true)
      expect(exitCode).toBe(0)
    }))

  it.scoped("hold up who writes more than they read, and nobody else", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { executionId } = yield* sandbox.startProcess({
        command: "while [ ! -e go ]; do sleep 0.02; done; wc -c",
        stdin: true
      })
      const writing = yield* Effect.fork(sandbox.writeStdin(executionId, new Uint8Array(1_000_000)))
      expect(yield* sandbox.runTerminal("sleep 0.3; echo free")).toBe("free\n")
      expect(writing.unsafePoll()).toBe(null)
      yield* sandbox.writeFile("go", "")
      yield* Fiber.join(writing)
      yield* sandbox.closeStdin(executionId)
      expect((yield* outcome(sandbox, executionId)).stdout.toString()).toBe("1000000\n")
    }))

  it.scoped("say that they take no input: without one, closed, and when they have ended", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const closed = { _tag: "SandboxError", code: "stdin_closed", sandboxId: sandbox.id }
      const without = yield* sandbox.startProcess({ args: ["sleep", "1000"] })
      expect(without).toMatchObject({ stdin: false, args: ["sleep", "1000"] })
      yield* failsWith(sandbox.writeStdin(without.executionId, "x"), closed)
      const own = yield* sandbox.startProcess({ command: "exec 0<&-; echo shut; sleep 1000", stdin: true })
      yield* shows(sandbox, own.executionId, "shut")
      yield* failsWith(sandbox.writeStdin(own.executionId, "x"), closed)
      const mine = yield* sandbox.startProcess({ command: "cat; sleep 1000", stdin: true })
      yield* sandbox.closeStdin(mine.executionId)
      yield* sandbox.closeStdin(mine.executionId)
      yield* failsWith(sandbox.writeStdin(mine.executionId, "x"), closed)
      const ending = yield* sandbox.startProcess({ command: "sleep 0.3", stdin: true })
      yield* failsWith(sandbox.writeStdin(ending.executionId, new Uint8Array(1_000_000)), closed)
      const ended = { _tag: "SandboxError", code: "process_ended" }
      yield* eventually(Effect.map(sandbox.listProcesses(), (all) => all.length === 3))
      yield* failsWith(sandbox.writeStdin(ending.executionId, "x"), ended)
      yield* failsWith(sandbox.signalProcess(ending.executionId, "SIGTERM"), ended)
    }))

  it.scoped("get signals, and tell what became of them", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const trapping = yield* sandbox.startProcess({
        command: "trap 'echo usr1' USR1; echo on; while :; do sleep 0.05; done"
      })
      yield* shows(sandbox, trapping.executionId, "on\n")
      yield* sandbox.signalProcess(trapping.executionId, "SIGUSR1")
      yield* shows(sandbox, trapping.executionId, "usr1\n")
      yield* sandbox.signalProcess(trapping.executionId, "SIGTERM")
      expect((yield* outcome(sandbox, trapping.executionId)).exitCode).toBe(143)
      const breeding = yield* sandbox.startProcess({ command: "setsid sleep 4711 & echo on; sleep 4712" })
      yield* shows(sandbox, breeding.executionId, "on\n")
      const sleepers = Effect.map(
        sandbox.runTerminal("ps -eo args= | grep -c '^sleep 471' || true"),
        (text) => Number(text)
      )
      yield* eventually(Effect.map(sleepers, (count) => count === 2))
      yield* sandbox.signalProcess(breeding.executionId, "SIGKILL")
      expect((yield* outcome(sandbox, breeding.executionId)).exitCode).toBe(137)
      expect(yield* sleepers).toBe(0)
    }))

  it.scoped("end with all that they have started when they are cancelled, or take too long", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const cancelled = yield* sandbox.startProcess({ command: "setsid sleep 4721 & sleep 4722" })
      expect(yield* sandbox.cancelExecution(cancelled.executionId)).toMatchObject({
        status: "failed",
        error: { code: "cancelled" }
      })
      const late = yield* sandbox.startProcess({ command: "sleep 4723", timeoutMs: 200 })
      yield* failsWith(outcome(sandbox, late.executionId), { _tag: "TimeoutError", operation: "execution" })
      expect(yield* sandbox.runTerminal("ps -eo args= | grep '^sleep 472' || echo none")).toBe("none\n")
      expect(yield* sandbox.listProcesses()).toEqual([])
    }))

  it.scoped("are refused with the part at fault", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const invalid = (field: string) => ({ _tag: "SandboxSDKError", code: "invalid_argument", field })
      yield* failsWith(sandbox.startProcess({}), invalid("command"))
      yield* failsWith(sandbox.startProcess({ command: " " }), invalid("command"))
      yield* failsWith(sandbox.startProcess({ command: "true", args: ["true"] }), invalid("args"))
      yield* failsWith(sandbox.startProcess({ args: [] }), invalid("args"))
      yield* failsWith(sandbox.startProcess({ args: ["cat", "a\0b"] }), invalid("args.1"))
      yield* failsWith(sandbox.startProcess({ args: ["cat", "x".repeat(200_000)] }), invalid("args"))
      yield* failsWith(sandbox.startProcess({ command: "true", pty: { cols: 0, rows: 24 } }), invalid("pty.cols"))
      yield* failsWith(sandbox.startProcess({ args: ["no-such-program"] }), {
        _tag: "SandboxError",
        code: "file_not_found",
        field: "args"
      })
      yield* failsWith(sandbox.startProcess({ command: "true", cwd: "/workspace/nowhere" }), {
        _tag: "SandboxError",
        code: "file_not_found",
        field: "cwd"
      })
      const unknown = { _tag: "SandboxError", code: "execution_not_found" }
      yield* failsWith(sandbox.writeStdin("exe_none", "x"), unknown)
      yield* failsWith(sandbox.closeStdin("exe_none"), unknown)
      yield* failsWith(sandbox.signalProcess("exe_none", "SIGTERM"), unknown)
      yield* failsWith(sandbox.resizeTerminal("exe_none", { cols: 80, rows: 24 }), unknown)
      const plain = yield* sandbox.startProcess({ args: ["sleep", "1000"] })
      yield* failsWith(sandbox.resizeTerminal(plain.executionId, { cols: 80, rows: 24 }), {
        _tag: "SandboxError",
        code: "not_a_terminal"
      })
      yield* failsWith(sandbox.resizeTerminal(plain.executionId, { cols: 80, rows: 65_536 }), invalid("rows"))
      const sdk = yield* SandboxSDK
      yield* failsWith(sdk.startProcess("sbx_none", { command: "true" }), { code: "not_found" })
      yield* failsWith(sdk.listProcesses("sbx_none"), { code: "not_found" })
    }))

  it.scoped("in a terminal are typed to, resized, and interrupted at the keyboard", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const size = { cols: 91, rows: 31 }
      const started = yield* sandbox.startProcess({
        args: ["bash", "--norc", "-i"],
        envs: { PS1: "ready> " },
        pty: size
      })
      const { executionId } = started
      expect(started).toMatchObject({ pty: size, stdin: true })
      yield* shows(sandbox, executionId, "ready> ")
      yield* sandbox.writeStdin(executionId, "stty size; test -t 0 -a -t 1 -a -t 2 && echo is''atty\r")
      expect(yield* shows(sandbox, executionId, "isatty\r\n")).toContain("31 91\r\n")
      yield* sandbox.resizeTerminal(executionId, { cols: 132, rows: 43 })
      expect((yield* sandbox.listProcesses())[0]?.pty).toEqual({ cols: 132, rows: 43 })
      yield* sandbox.writeStdin(executionId, "stty size; echo be''gun; sleep 4731\r")
      expect(yield* shows(sandbox, executionId, "begun\r\n")).toContain("43 132\r\n")
      yield* eventually(
        Effect.map(sandbox.runTerminal("ps -eo args= | grep -c '^sleep 4731' || true"), (text) => text === "1\n")
      )
      yield* sandbox.writeStdin(executionId, "\u0003")
      yield* sandbox.writeStdin(executionId, "echo status $?\r")
      yield* shows(sandbox, executionId, "status 130\r\n")
      yield* sandbox.closeStdin(executionId)
      expect((yield* outcome(sandbox, executionId)).exitCode).toBe(0)
    }))

  it.scoped("go on when who has followed them leaves, and are followed again from where that was", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { executionId } = yield* sandbox.startProcess({
        command: "echo first; read x; echo second $x",
        stdin: true
      })
      const head = yield* sandbox.attach(executionId).pipe(
        Stream.takeUntil((event) => event._tag === "Stdout"),
        Stream.runCollect
      )
      yield* sandbox.writeStdin(executionId, "time\n")
      const tail = yield* Stream.runCollect(sandbox.attach(executionId, { after: Chunk.size(head) - 1 }))
      expect(bytesOf(head).toString()).toBe("first\n")
      expect(bytesOf(tail).toString()).toBe("second time\n")
    }))

  it.scoped("end with their sandbox", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { executionId } = yield* sandbox.startProcess({ args: ["cat"], stdin: true })
      const reading = yield* Effect.fork(Stream.runDrain(sandbox.attach(executionId)))
      yield* sandbox.stopSandbox()
      yield* failsWith(Fiber.join(reading), { _tag: "SandboxError", code: "terminated" })
      expect(yield* sandbox.listProcesses()).toEqual([])
    }))
}
