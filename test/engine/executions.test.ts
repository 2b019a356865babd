import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream } from "effect"
import { CurrentUser } from "../../src/CurrentUser.js"
import type { ExecutionEvent } from "../../src/Execution.js"
import { layerLocal, type LocalOptions } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"
import { processesWith } from "../support/processes.js"

const MIB = 1024 * 1024

const over = (options: LocalOptions) => <A, E>(test: Effect.Effect<A, E, SandboxSDK>) =>
  Effect.provide(test, layerLocal(options))

const python = Sandbox.make({ templateId: "python" })

const idOf = (events: Iterable<ExecutionEvent>): string =>
  [...events].flatMap((event) => event._tag === "Started" ? [event.executionId] : [])[0] ?? ""

/** Begins something, and leaves it at its first output. */
const leave = <E>(stream: Stream.Stream<ExecutionEvent, E>) =>
  Effect.map(Stream.runCollect(Stream.takeUntil(stream, (event) => event._tag === "Stdout")), Chunk.toReadonlyArray)

const sizeOf = (events: Iterable<ExecutionEvent>): number =>
  [...events].reduce((sum, event) => event._tag === "Stdout" ? sum + event.text.length : sum, 0)

/** Writes so many times 64 KiB, each of another letter, and keeps account of it in a file. */
const printing = (times: number) => `
import os
for n in range(${times}):
    os.write(1, bytes([97 + n % 26]) * 65536)
    with open('count', 'w') as f: f.write(str(n + 1))`

const expected = (times: number): string =>
  Array.from({ length: times }, (_, n) => String.fromCharCode(97 + n % 26).repeat(65_536)).join("")

const textOf = (events: Iterable<ExecutionEvent>): string =>
  [...events].flatMap((event) => event._tag === "Stdout" ? [event.text] : []).join("")

/** Waits until a number has stayed the same for a while. */
const settled = <E, R>(read: Effect.Effect<number, E, R>) =>
  Effect.gen(function*() {
    let last = -1
    let same = 0
    yield* eventually(Effect.map(Effect.delay(read, "20 millis"), (value) => {
      same = value === last ? same + 1 : 0
      last = value
      return same > 25
    }))
    return last
  })

describe("executions of an engine", () => {
  it.live(
    "block in their write when nobody reads, and lose nothing",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const head = yield* leave(sandbox.runCodeStream(printing(512), { detachGraceMs: 600_000 }))
        const id = idOf(head)
        const blocked = yield* settled(Effect.map(sandbox.readFile("count"), Number))
        // The log, the pipe, and what is on its way from one to the other.
        expect(blocked * 65_536).toBeLessThan(4 * MIB)
        const kept = yield* sandbox.getExecution(id)
        expect(kept).toMatchObject({ status: "running" })
        expect(kept).not.toHaveProperty("dropped")
        const tail = yield* Stream.runCollect(sandbox.attach(id, { after: head.length - 1 }))
        expect(textOf([...head, ...tail]) === expected(512)).toBe(true)
      }))),
    60_000
  )

  it.live(
    "go on when detached, keep what the log has room for, and tell what they dropped",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const head = yield* leave(
          sandbox.runCodeStream(`${printing(512)}\ndisplay('r' * 2_000_000)`, { detached: true })
        )
        const id = idOf(head)
        yield* eventually(Effect.map(sandbox.getExecution(id), ({ status }) => status === "ended"))
        const info = yield* sandbox.getExecution(id)
        const tail = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.attach(id, { after: head.length - 1 })))
        const kept = sizeOf([...head, ...tail])
        expect(tail.at(-1)).toMatchObject({ _tag: "Ended", dropped: { stdout: 512 * 65_536 - kept, results: 1 } })
        expect(info.dropped).toEqual({ stdout: 512 * 65_536 - kept, stderr: 0, results: 1 })
        expect(sizeOf(tail)).toBeLessThanOrEqual(MIB)
        // What is kept is the beginning.
        expect(expected(512).startsWith(textOf([...head, ...tail]))).toBe(true)
      }))),
    60_000
  )

  it.live(
    "take no more memory than their log, whatever they print to a reader that is slow",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        let most = 0
        let bytes = 0
        yield* Stream.runForEach(Stream.chunks(sandbox.runCodeStream(printing(1_024))), (chunk) =>
          Effect.delay(
            Effect.sync(() => {
              most = Math.max(most, sizeOf(chunk))
              bytes += sizeOf(chunk)
            }),
            "2 millis"
          ))
        expect(bytes).toBe(1_024 * 65_536)
        expect(most).toBeLessThanOrEqual(MIB)
      }))),
    60_000
  )

  it.live(
    "say from which number on there are events, and give those",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const events = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.runCodeStream(printing(128))))
        const id = idOf(events)
        const { firstSeq } = yield* sandbox.getExecution(id)
        expect(firstSeq).toBeGreaterThan(0)
        const error = yield* failsWith(Stream.runDrain(sandbox.attach(id)), {
          _tag: "SandboxError",
          code: "events_lost",
          field: "after"
        })
        expect(error.message).toContain(`from number ${firstSeq} on`)
        const rest = yield* Stream.runCollect(sandbox.attach(id, { after: firstSeq - 1 }))
        expect(Chunk.toReadonlyArray(rest)).toEqual(events.slice(firstSeq))
      }))),
    60_000
  )

  it.live(
    "give a reader with a name again what did not arrive",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const hold = "reader"
        const head = yield* leave(sandbox.runCodeStream(printing(128), { detachGraceMs: 600_000, hold }))
        const id = idOf(head)
        // Another reader has all that can be had; what is held for the first one keeps it from having more.
        const other = yield* Effect.fork(Stream.runCollect(sandbox.attach(id)))
        yield* settled(Effect.map(sandbox.getExecution(id), ({ lastSeq }) => lastSeq))
        expect(yield* sandbox.getExecution(id)).toMatchObject({ status: "running", firstSeq: 0 })
        // It comes again and again, each time for what has not arrived, and leaves before it has all of that.
        const arrived: Array<ExecutionEvent> = [...head.slice(0, 1)]
        while (arrived.at(-1)?._tag !== "Ended") {
          let bytes = 0
          const more = yield* sandbox.attach(id, { after: arrived.length - 1, hold }).pipe(
            Stream.takeUntil((event) => {
              bytes += sizeOf([event])
              return bytes > 200_000
            }),
            Stream.runCollect
          )
          arrived.push(...more)
        }
        expect(textOf(arrived) === expected(128)).toBe(true)
        expect(arrived.map(({ seq }) => seq)).toEqual(arrived.map((_, index) => index))
        expect(yield* Fiber.join(other)).toEqual(Chunk.fromIterable(arrived))
      }))),
    60_000
  )

  it.live(
    "keep what is held for a name, also when another reader has had all of it",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const hold = "reader"
        const head = yield* leave(sandbox.runCodeStream(printing(2), { detachGraceMs: 600_000, hold }))
        const all = yield* Stream.runCollect(sandbox.attach(idOf(head)))
        expect(textOf(all) === expected(2)).toBe(true)
        const [first] = head
        const rest = yield* Stream.runCollect(sandbox.attach(idOf(head), { after: first?.seq ?? 0, hold }))
        expect([first, ...rest]).toEqual([...all])
      }))),
    60_000
  )

  it.live("leave nothing behind when they are cancelled, nor when the engine ends", () =>
    Effect.gen(function*() {
      const mark = `execution-${process.pid}`
      const alive = Effect.map(processesWith(mark), (pids) => pids.length)
      const command = `(setsid bash -c 'exec -a ${mark} sleep 1000' &) ; echo up; exec -a ${mark} sleep 1000`
      yield* over({})(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const head = yield* leave(sandbox.runTerminalStream(command, { detached: true }))
        yield* eventually(Effect.map(alive, (count) => count === 2))
        yield* sandbox.cancelExecution(idOf(head))
        expect(yield* alive).toBe(0)
        yield* leave(sandbox.runTerminalStream(command, { detached: true }))
        const job = `import subprocess\nprint('up')\nsubprocess.run(["bash", "-c", "exec -a ${mark} sleep 1000"])`
        const jobs = ["a", "b"].map((id) => ({ id, code: job }))
        yield* Stream.runDrain(
          Stream.takeUntil(sandbox.executeBatchStream(jobs, { detached: true }), ({ _tag }) => _tag === "JobOutput")
        )
        yield* eventually(Effect.map(alive, (count) => count === 3))
      })))
      expect(yield* alive).toBe(0)
    }), 60_000)

  it.live("do not exist for another user", () =>
    over({})(Effect.scoped(Effect.gen(function*() {
      const sandbox = yield* python
      const sdk = yield* SandboxSDK
      const id = idOf(yield* leave(sandbox.runTerminalStream("echo up; sleep 60", { detached: true })))
      const asOther = Effect.provideService(CurrentUser, "other")
      const unknown = { _tag: "SandboxError", code: "execution_not_found" }
      yield* failsWith(asOther(sdk.getExecution(id)), unknown)
      yield* failsWith(asOther(sdk.cancelExecution(id)), unknown)
      yield* failsWith(asOther(Stream.runDrain(sdk.attach(id))), unknown)
      yield* failsWith(asOther(sdk.listExecutions(sandbox.id)), { code: "not_found" })
      expect(yield* sdk.getExecution(id)).toMatchObject({ status: "running" })
    }))), 60_000)

  it.live(
    "are forgotten some time after their end",
    () =>
      over({ executionRetentionMs: 300 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        yield* sandbox.runCode("1")
        const [ended] = yield* sandbox.listExecutions()
        expect(ended).toMatchObject({ status: "ended" })
        yield* eventually(Effect.map(sandbox.listExecutions(), (all) => all.length === 0))
        yield* failsWith(sandbox.getExecution(ended?.id ?? ""), { code: "execution_not_found" })
      }))),
    60_000
  )

  it.live(
    "that were short and have been read take little room: the latest are kept",
    () =>
      over({})(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        for (let n = 0; n < 60; n++) yield* sandbox.runCode(`${n}`)
        const all = yield* sandbox.listExecutions()
        expect(all.length).toBeLessThan(20)
        const events = yield* Stream.runCollect(sandbox.attach(all.at(-1)?.id ?? ""))
        expect([...events]).toEqual(expect.arrayContaining([expect.objectContaining({ _tag: "Result" })]))
        const results = [...events].flatMap((event) => event._tag === "Result" ? [event.result.text] : [])
        expect(results).toEqual(["59"])
      }))),
    60_000
  )

  it.live(
    "that have ended take no more than 32 MiB of a sandbox: the first ones are forgotten",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const ids = yield* Effect.forEach(Array.from({ length: 45 }), () =>
          Effect.gen(function*() {
            const head = yield* leave(
              sandbox.runTerminalStream("head -c 900000 /dev/zero | tr '\\0' x", { detached: true })
            )
            yield* eventually(Effect.map(sandbox.getExecution(idOf(head)), ({ status }) => status === "ended"))
            return idOf(head)
          }))
        const kept = (yield* sandbox.listExecutions()).map((execution) => execution.id)
        expect(kept).toEqual(ids.slice(-kept.length))
        expect(kept.length * 900_000).toBeLessThanOrEqual(32 * MIB)
        expect(kept.length).toBeGreaterThan(25)
        yield* failsWith(sandbox.getExecution(ids[0] ?? ""), { code: "execution_not_found" })
        const last = yield* Stream.runCollect(sandbox.attach(ids.at(-1) ?? ""))
        expect(textOf(last) === "x".repeat(900_000)).toBe(true)
      }))),
    60_000
  )

  it.live(
    "of a batch that is detached go on to the last job, and drop output but never how a job ended",
    () =>
      over({ executionLogMb: 1 })(Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* python
        const jobs = Array.from(
          { length: 6 },
          (_, n) => ({ id: `${n}`, code: "for n in range(4_000): print('x' * 99)" })
        )
        const events = yield* Stream.runCollect(
          Stream.take(sandbox.executeBatchStream(jobs, { detached: true }), 2)
        )
        const [begun] = Chunk.toReadonlyArray(events)
        if (begun?._tag !== "BatchStarted") return yield* Effect.die(begun)
        const id = begun.executionId
        yield* eventually(Effect.map(sandbox.getExecution(id), ({ status }) => status === "ended"))
        const rest = Chunk.toReadonlyArray(yield* Stream.runCollect(sandbox.attachBatch(id, { after: 1 })))
        const ended = rest.flatMap((event) => event._tag === "JobEnded" ? [event.result.success] : [])
        expect(ended).toEqual(jobs.map(() => true))
        const kept = rest.reduce((sum, event) => event._tag === "JobOutput" ? sum + event.message.line.length : sum, 0)
        expect(kept).toBeLessThan(MIB)
        expect(rest.at(-1)).toMatchObject({ _tag: "BatchEnded", dropped: { stdout: 6 * 400_000 - kept } })
      }))),
    60_000
  )
})
