import { expect } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Stream } from "effect"
import type { ExecutionEvent } from "../../src/Execution.js"
import type { Part } from "./support.js"
import { eventually, failsWith, python as make } from "./support.js"

/** Prints a line for each number, the second half of them once there is a file `go`. */
const inTwoHalves = (lines: number) => `
import os, time
for n in range(${lines}):
    if n == ${lines / 2}:
        while not os.path.exists('go'): time.sleep(0.01)
    print(n)`

const numbers = (lines: number): string => Array.from({ length: lines }, (_, n) => `${n}\n`).join("")

const textOf = (events: Iterable<ExecutionEvent>): string =>
  [...events].flatMap((event) => event._tag === "Stdout" ? [event.text] : []).join("")

const seqs = (events: Iterable<ExecutionEvent>): ReadonlyArray<number> => [...events].map(({ seq }) => seq)

const idOf = (event: ExecutionEvent): ReadonlyArray<string> => event._tag === "Started" ? [event.executionId] : []

/** Follows a stream beside the test: its execution's id, and what it gives in the end. */
const follow = <E>(stream: Stream.Stream<ExecutionEvent, E>) =>
  Effect.gen(function*() {
    const id = yield* Deferred.make<string>()
    const fiber = yield* stream.pipe(
      Stream.tap((event) => Effect.forEach(idOf(event), (found) => Deferred.succeed(id, found))),
      Stream.runCollect,
      Effect.fork
    )
    return { id: yield* Deferred.await(id), fiber }
  })

export const executions: Part = (it) => {
  it.scoped("replay a run after its end, from the beginning and from the middle, to the same end", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(sandbox.runCodeStream("print('a')\ndisplay(1)\n1/0"))
      )
      const [id = ""] = events.flatMap(idOf)
      expect(yield* Stream.runCollect(sandbox.attach(id))).toEqual(Chunk.fromIterable(events))
      const rest = yield* Stream.runCollect(sandbox.attach(id, { after: 2 }))
      expect(rest).toEqual(Chunk.fromIterable(events.slice(3)))
      expect(yield* Stream.runCollect(sandbox.attach(id, { after: events.length - 1 }))).toEqual(Chunk.empty())
      yield* failsWith(Stream.runDrain(sandbox.attach(id, { after: events.length })), {
        _tag: "SandboxSDKError",
        code: "invalid_argument",
        field: "after"
      })
      expect(yield* sandbox.getExecution(id)).toMatchObject({
        id,
        sandboxId: sandbox.id,
        kind: "code",
        language: "python",
        status: "ended",
        detached: false,
        firstSeq: 0,
        lastSeq: events.length - 1
      })
    }))

  it.scoped("are followed by several readers at once, each from where it wants", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { fiber, id } = yield* follow(sandbox.runCodeStream(inTwoHalves(100)))
      const second = yield* Effect.fork(Stream.runCollect(sandbox.attach(id)))
      const third = yield* Effect.fork(Stream.runCollect(sandbox.attach(id, { after: 0 })))
      expect(yield* sandbox.listExecutions()).toMatchObject([{ id, status: "running" }])
      yield* sandbox.writeFile("go", "")
      const events = yield* Fiber.join(fiber)
      expect(textOf(events)).toBe(numbers(100))
      expect(yield* Fiber.join(second)).toEqual(events)
      expect(yield* Fiber.join(third)).toEqual(Chunk.drop(events, 1))
    }))

  it.scoped("fail for every reader as the run does", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const failure = { _tag: "SandboxError", code: "kernel_died" }
      const code =
        "import os, time\nprint('last', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nos._exit(3)"
      const { fiber, id } = yield* follow(sandbox.runCodeStream(code))
      const second = yield* Effect.fork(Stream.runDrain(sandbox.attach(id)))
      yield* sandbox.writeFile("go", "")
      yield* failsWith(Fiber.join(fiber), failure)
      yield* failsWith(Fiber.join(second), failure)
      yield* failsWith(Stream.runDrain(sandbox.attach(id)), failure)
      expect(yield* sandbox.getExecution(id)).toMatchObject({ status: "failed", error: { code: "kernel_died" } })
    }))

  it.scoped("are listed, oldest first, commands and jobs of batches among them", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode("1")
      yield* sandbox.runTerminal("exit 3")
      yield* sandbox.executeBatch([{ id: "a", code: "2" }])
      const all = yield* sandbox.listExecutions()
      const batch = all.find(({ kind }) => kind === "batch")
      expect(all[0]?.contextId).toBe((yield* sandbox.listCodeContexts())[0]?.id)
      expect(all).toMatchObject([
        { kind: "code", status: "ended", language: "python" },
        { kind: "terminal", status: "ended", exitCode: 3 },
        { kind: "batch", status: "ended" },
        { kind: "code", status: "ended", batchId: batch?.id }
      ])
      expect(all.every(({ sandboxId }) => sandboxId === sandbox.id)).toBe(true)
      expect(yield* sandbox.getExecution(all[1]?.id ?? "")).toEqual(all[1])
    }))

  it.scoped("are not found by an id that is not theirs", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const unknown = { _tag: "SandboxError", code: "execution_not_found" }
      yield* failsWith(sandbox.getExecution("exe_none"), unknown)
      yield* failsWith(sandbox.cancelExecution("exe_none"), unknown)
      yield* failsWith(Stream.runDrain(sandbox.attach("exe_none")), unknown)
      yield* failsWith(Stream.runDrain(sandbox.attachBatch("exe_none")), unknown)
      yield* failsWith(sandbox.getExecution(" "), { code: "invalid_argument", field: "executionId" })
      yield* failsWith(Stream.runDrain(sandbox.attach("exe_none", { after: -2 })), {
        code: "invalid_argument",
        field: "after"
      })
    }))

  it.scoped("are stopped by cancelExecution, which lasts until nothing of them is left", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const code = "import subprocess\nprint('up', flush=True)\nsubprocess.run(['setsid', 'sleep', '7771'])"
      const { fiber, id } = yield* follow(sandbox.runCodeStream(code))
      const second = yield* Effect.fork(Stream.runDrain(sandbox.attach(id)))
      expect(yield* sandbox.cancelExecution(id)).toMatchObject({ id, status: "failed", error: { code: "cancelled" } })
      yield* failsWith(Fiber.join(fiber), { _tag: "SandboxError", code: "cancelled" })
      yield* failsWith(Fiber.join(second), { _tag: "SandboxError", code: "cancelled" })
      expect(yield* sandbox.cancelExecution(id)).toMatchObject({ status: "failed", error: { code: "cancelled" } })
      expect((yield* sandbox.runCode("6 * 7")).execution.text).toBe("42")
    }))

  it.scoped("are cancelled while they wait for their turn, and never begin", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const first = yield* follow(sandbox.runCodeStream(inTwoHalves(2)))
      const second = yield* Effect.fork(sandbox.runCode("open('never', 'w').close()"))
      const queued = Effect.map(
        sandbox.listExecutions(),
        (all) => all.filter(({ status }) => status === "queued").map(({ id }) => id)
      )
      yield* eventually(Effect.map(queued, (ids) => ids.length === 1))
      const [id = ""] = yield* queued
      expect(yield* sandbox.cancelExecution(id)).toMatchObject({ status: "failed", lastSeq: -1 })
      yield* failsWith(Fiber.join(second), { _tag: "SandboxError", code: "cancelled" })
      yield* sandbox.writeFile("go", "")
      yield* Fiber.join(first.fiber)
      yield* failsWith(sandbox.readFile("never"), { code: "file_not_found" })
    }))

  it.scoped("go on when they are detached, and are picked up where they were left", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const head = yield* sandbox.runCodeStream(inTwoHalves(100), { detached: true }).pipe(
        Stream.takeUntil((event) => event._tag === "Stdout"),
        Stream.runCollect
      )
      const [id = ""] = Chunk.toReadonlyArray(head).flatMap(idOf)
      expect(yield* sandbox.getExecution(id)).toMatchObject({ status: "running", detached: true })
      yield* sandbox.writeFile("go", "")
      yield* eventually(Effect.map(sandbox.getExecution(id), ({ status }) => status === "ended"))
      const tail = yield* Stream.runCollect(sandbox.attach(id, { after: Chunk.size(head) - 1 }))
      const events = Chunk.appendAll(head, tail)
      expect(textOf(events)).toBe(numbers(100))
      expect(seqs(events)).toEqual(Chunk.toReadonlyArray(events).map((_, index) => index))
    }))

  it.scoped("go on for detachGraceMs without a reader, and not longer", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const begin = (detachGraceMs: number) =>
        sandbox.runTerminalStream("echo up; while [ ! -e go ]; do sleep 0.05; done; echo done", { detachGraceMs }).pipe(
          Stream.takeUntil((event) => event._tag === "Stdout"),
          Stream.runCollect,
          Effect.map((events) => Chunk.toReadonlyArray(events).flatMap(idOf)[0] ?? "")
        )
      const left = yield* begin(50)
      const statusOf = (id: string) => Effect.map(sandbox.getExecution(id), ({ status }) => status)
      yield* eventually(Effect.map(statusOf(left), (status) => status === "failed"))
      yield* failsWith(Stream.runDrain(sandbox.attach(left)), { _tag: "SandboxError", code: "cancelled" })
      const resumed = yield* begin(60_000)
      const rest = yield* Effect.fork(Stream.runCollect(sandbox.attach(resumed)))
      yield* sandbox.writeFile("go", "")
      expect(textOf(yield* Fiber.join(rest))).toBe("up\ndone\n")
      expect(yield* statusOf(resumed)).toBe("ended")
    }))

  it.scoped("tell of a batch once more, and of the run of each of its jobs", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const jobs = [{ id: "a", code: "print('one')" }, { id: "b", code: "1/0" }]
      const events = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.executeBatchStream(jobs)))
      const [begun] = events
      if (begun?._tag !== "BatchStarted") return yield* Effect.die(begun)
      expect(begun).toMatchObject({ seq: 0, sandboxId: sandbox.id })
      const again = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.attachBatch(begun.executionId)))
      expect(again.map(({ _tag, seq }) => [seq, _tag])).toEqual(events.map(({ _tag, seq }) => [seq, _tag]))
      const tail = yield* Stream.runCollect(sandbox.attachBatch(begun.executionId, { after: events.length - 2 }))
      expect(Chunk.toReadonlyArray(tail)).toMatchObject([{ _tag: "BatchEnded", succeeded: 1, failed: 1 }])
      const runs = events.flatMap((event) => event._tag === "JobStarted" ? [event.executionId ?? ""] : [])
      expect(textOf(yield* Stream.runCollect(sandbox.attach(runs[0] ?? "")))).toBe("one\n")
      expect(yield* sandbox.getExecution(runs[1] ?? "")).toMatchObject({ status: "ended", batchId: begun.executionId })
      yield* failsWith(Stream.runDrain(sandbox.attach(begun.executionId)), {
        _tag: "SandboxSDKError",
        code: "invalid_argument",
        field: "executionId"
      })
      yield* failsWith(Stream.runDrain(sandbox.attachBatch(runs[0] ?? "")), { field: "executionId" })
    }))

  it.scoped("stop a batch as a whole: what runs, and what has not begun", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const jobs = [
        { id: "a", code: "print('up')\nimport time\nwhile True: time.sleep(0.01)" },
        { id: "b", code: "open('never', 'w').close()" }
      ]
      const id = yield* Deferred.make<string>()
      const fiber = yield* sandbox.executeBatchStream(jobs).pipe(
        Stream.tap((event) => event._tag === "BatchStarted" ? Deferred.succeed(id, event.executionId) : Effect.void),
        Stream.runDrain,
        (reader) => Effect.fork(reader)
      )
      const batchId = yield* Deferred.await(id)
      yield* eventually(Effect.map(sandbox.listExecutions(), (all) => all.some((one) => one.batchId === batchId)))
      expect(yield* sandbox.cancelExecution(batchId)).toMatchObject({ kind: "batch", status: "failed" })
      yield* failsWith(Fiber.join(fiber), { _tag: "SandboxError", code: "cancelled" })
      expect((yield* sandbox.listExecutions()).filter(({ status }) => status === "running")).toEqual([])
      yield* failsWith(sandbox.readFile("never"), { code: "file_not_found" })
    }))

  it.scoped("end for every reader when the sandbox is stopped or deleted", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const gone = { _tag: "SandboxError", code: "terminated" }
      const { fiber, id } = yield* follow(
        sandbox.runCodeStream("print('up')\nimport time\ntime.sleep(60)", { detached: true })
      )
      const second = yield* Effect.fork(Stream.runDrain(sandbox.attach(id)))
      const queued = yield* Effect.fork(sandbox.runCode("1"))
      yield* eventually(
        Effect.map(sandbox.listExecutions(), (all) => all.some(({ status }) => status === "queued"))
      )
      yield* sandbox.stopSandbox()
      yield* failsWith(Fiber.join(queued), gone)
      yield* failsWith(Fiber.join(fiber), gone)
      yield* failsWith(Fiber.join(second), gone)
      expect(yield* sandbox.getExecution(id)).toMatchObject({ status: "failed", error: { code: "terminated" } })
      yield* sandbox.deleteSandbox()
      yield* failsWith(Stream.runDrain(sandbox.attach(id)), gone)
      yield* failsWith(sandbox.listExecutions(), { _tag: "SandboxError", code: "not_found" })
    }))
  it.scoped("say what has become of them on every stream that is open, when the sandbox goes away", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { fiber, id } = yield* follow(sandbox.runCodeStream("print('up')\nimport time\ntime.sleep(60)"))
      const command = yield* follow(sandbox.runTerminalStream("echo up; sleep 60"))
      const { executionId } = yield* sandbox.startProcess({ args: ["cat"], stdin: true })
      const batch = yield* Effect.fork(sandbox.executeBatch([{ id: "a", code: "import time; time.sleep(60)" }]))
      const watches = yield* Deferred.make<boolean>()
      const readers = yield* Effect.forEach(
        [
          Stream.runDrain(sandbox.attach(id)),
          Stream.runDrain(sandbox.attach(command.id)),
          Stream.runDrain(sandbox.attach(executionId)),
          Stream.runForEach(sandbox.watchFiles(), () => Deferred.succeed(watches, true))
        ],
        (reader) => Effect.fork(reader)
      )
      yield* eventually(Effect.zipRight(sandbox.writeFile("changed", ""), Deferred.isDone(watches)))
      yield* eventually(Effect.map(sandbox.listExecutions(), (all) => all.length >= 4))
      yield* sandbox.deleteSandbox()
      const gone = { _tag: "SandboxError", code: "terminated" }
      const followers = [Fiber.join(fiber), Fiber.join(command.fiber), ...readers.map((reader) => Fiber.join(reader))]
      for (const open of followers) {
        yield* failsWith(open, gone)
      }
      expect(yield* Fiber.join(batch)).toMatchObject([{ success: false, error: gone }])
    }))
}
