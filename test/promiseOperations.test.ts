/**
 * The methods of the class for promises, over a service that only keeps account: what they pass on, and how sources of
 * bytes, schemas of other libraries and metrics come in and out.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { once } from "node:events"
import { Readable } from "node:stream"
import type { ByteSource, StandardSchema } from "../src/promise.js"
import { SandboxSDK, SandboxSDKError } from "../src/promise.js"
import { makeMemoryService } from "./support/memoryService.js"

class MemorySDK extends SandboxSDK {
  constructor() {
    super(makeMemoryService().layer)
  }
}

const open = async () => {
  const sdk = new MemorySDK()
  const sandbox = await sdk.sandbox({ templateId: "python" })
  return { sdk, sandbox, id: sandbox.id }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => assert.fail("it should have been rejected"), (reason: unknown) => reason)

const refused = async (promise: Promise<unknown>, code: string, field: string) => {
  const reason = await rejection(promise)
  assert.instanceOf(reason, SandboxSDKError)
  assert.deepStrictEqual({ code: reason.code, field: reason.field }, { code, field })
  return reason.message
}

const drain = async <A>(items: AsyncIterable<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for await (const item of items) {
    all.push(item)
  }
  return all
}

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)

/** As plain JavaScript passes it. */
const untyped = (target: object, method: string, ...args: ReadonlyArray<unknown>): Promise<unknown> => {
  const found: unknown = Reflect.get(target, method)
  return typeof found === "function" ? Promise.resolve(Reflect.apply(found, target, args)) : assert.fail(method)
}

describe("the operations on one sandbox", () => {
  it("are methods of the class, and of a handle without the id", async () => {
    const { id, sandbox, sdk } = await open()
    const job = { id: "j", code: "lines 1" }
    const point = Schema.standardSchemaV1(Schema.Number)
    const ofClass = async () => ({
      stop: (await sdk.stopSandbox(id)).status,
      start: (await sdk.startSandbox(id)).status,
      extend: (await sdk.extendSandbox(id, 5)).expiresAt,
      as: await sdk.runCodeAs(id, "json 42", point),
      batch: (await sdk.executeBatch(id, [job])).map(({ jobId, success }) => [jobId, success]),
      events: (await drain(sdk.executeBatchStream(id, [job]))).map(({ _tag }) => _tag),
      executions: (await sdk.listExecutions(id)).map((execution) => execution.id),
      execution: (await sdk.getExecution("e1")).kind,
      cancelled: (await sdk.cancelExecution("e1")).status,
      attached: (await drain(sdk.attach("e1", { after: 1 }))).map(({ _tag }) => _tag),
      attachedBatch: (await drain(sdk.attachBatch("e1"))).map(({ _tag }) => _tag),
      bytes: await sdk.readFileBytes(id, "a"),
      pieces: (await drain(sdk.readFileStream(id, "a"))).length,
      written: await sdk.writeFileStream(id, "b", [bytes(1)]),
      stat: (await sdk.statFile(id, "a")).path,
      directory: (await sdk.makeDirectory(id, "d", { parents: true })).isDirectory,
      moved: (await sdk.moveFile(id, "a", "c")).path,
      watched: (await sdk.watchFiles(id, "d", { recursive: true }).next()).value?.path
    })
    const ofHandle = async () => ({
      stop: (await sandbox.stopSandbox()).status,
      start: (await sandbox.startSandbox()).status,
      extend: (await sandbox.extendSandbox(5)).expiresAt,
      as: await sandbox.runCodeAs("json 42", point),
      batch: (await sandbox.executeBatch([job])).map(({ jobId, success }) => [jobId, success]),
      events: (await drain(sandbox.executeBatchStream([job]))).map(({ _tag }) => _tag),
      executions: (await sandbox.listExecutions()).map((execution) => execution.id),
      execution: (await sandbox.getExecution("e1")).kind,
      cancelled: (await sandbox.cancelExecution("e1")).status,
      attached: (await drain(sandbox.attach("e1", { after: 1 }))).map(({ _tag }) => _tag),
      attachedBatch: (await drain(sandbox.attachBatch("e1"))).map(({ _tag }) => _tag),
      bytes: await sandbox.readFileBytes("a"),
      pieces: (await drain(sandbox.readFileStream("a"))).length,
      written: await sandbox.writeFileStream("b", [bytes(1)]),
      stat: (await sandbox.statFile("a")).path,
      directory: (await sandbox.makeDirectory("d", { parents: true })).isDirectory,
      moved: (await sandbox.moveFile("a", "c")).path,
      watched: (await sandbox.watchFiles("d", { recursive: true }).next()).value?.path
    })
    const expected = {
      stop: "stopped",
      start: "ready",
      extend: 5,
      as: 42,
      batch: [["j", true]],
      events: ["BatchStarted", "JobStarted", "JobOutput", "JobEnded", "BatchEnded"],
      executions: ["e1"],
      execution: "code",
      cancelled: "ended",
      attached: ["Stdout", "Ended"],
      attachedBatch: ["BatchStarted", "BatchEnded"],
      bytes: new TextEncoder().encode("content of a"),
      pieces: "content of a".length,
      written: "/workspace/b",
      stat: "a",
      directory: true,
      moved: "c",
      watched: "d/a"
    }
    assert.deepStrictEqual<object>(await ofClass(), expected)
    assert.deepStrictEqual<object>(await ofHandle(), expected)
    assert.strictEqual((await sandbox.restartCodeContext("c1")).restarts, 1)
    await sdk.disconnect()
  })

  it("take a signal, each of them", async () => {
    const { id, sandbox, sdk } = await open()
    const signal = AbortSignal.abort(new Error("not now"))
    const schema = Schema.standardSchemaV1(Schema.Unknown)
    const config = { name: "n", language: "python", version: "3" } as const
    const calls: Record<string, Promise<unknown>> = {
      createSandbox: sdk.createSandbox({ templateId: "python", signal }),
      getSandbox: sdk.getSandbox(id, { signal }),
      getSandboxStatus: sdk.getSandboxStatus(id, { signal }),
      listSandboxes: sdk.listSandboxes({ signal }),
      startSandbox: sdk.startSandbox(id, { signal }),
      stopSandbox: sdk.stopSandbox(id, { signal }),
      extendSandbox: sdk.extendSandbox(id, 5, { signal }),
      deleteSandbox: sdk.deleteSandbox(id, { signal }),
      runCode: sdk.runCode(id, "lines 1", { signal }),
      runCodeStream: sdk.runCodeStream(id, "lines 1", { signal }).next(),
      runCodeAs: sdk.runCodeAs(id, "json 1", schema, { signal }),
      executeBatch: sdk.executeBatch(id, [], { signal }),
      executeBatchStream: sdk.executeBatchStream(id, [], { signal }).next(),
      runTerminal: sdk.runTerminal(id, "ls", { signal }),
      runTerminalStream: sdk.runTerminalStream(id, "ls", { signal }).next(),
      attach: sdk.attach("e1", { signal }).next(),
      attachBatch: sdk.attachBatch("e1", { signal }).next(),
      listExecutions: sdk.listExecutions(id, { signal }),
      getExecution: sdk.getExecution("e1", { signal }),
      cancelExecution: sdk.cancelExecution("e1", { signal }),
      readFile: sdk.readFile(id, "a", { signal }),
      readFileBytes: sdk.readFileBytes(id, "a", { signal }),
      readFileStream: sdk.readFileStream(id, "a", { signal }).next(),
      writeFile: sdk.writeFile(id, "a", "", { signal }),
      writeFileStream: sdk.writeFileStream(id, "a", [], { signal }),
      writeFiles: sdk.writeFiles(id, [], { signal }),
      readFiles: sdk.readFiles(id, [], { signal }),
      deleteFile: sdk.deleteFile(id, "a", { signal }),
      listFiles: sdk.listFiles(id, "d", { signal }),
      statFile: sdk.statFile(id, "a", { signal }),
      makeDirectory: sdk.makeDirectory(id, "d", { signal }),
      moveFile: sdk.moveFile(id, "a", "b", { signal }),
      watchFiles: sdk.watchFiles(id, "d", { signal }).next(),
      createCodeContext: sdk.createCodeContext(id, { signal }),
      listCodeContexts: sdk.listCodeContexts(id, { signal }),
      deleteCodeContext: sdk.deleteCodeContext("c1", { signal }),
      restartCodeContext: sdk.restartCodeContext("c1", { signal }),
      getTemplates: sdk.getTemplates(1, 1, { signal }),
      getTemplate: sdk.getTemplate("python", { signal }),
      createTemplate: sdk.createTemplate(config, { signal }),
      deleteTemplate: sdk.deleteTemplate("mine", { signal }),
      sandbox: sdk.sandbox({ templateId: "python", signal }),
      waitForConnection: sdk.waitForConnection(5, { signal })
    }
    for (const [name, call] of Object.entries(calls)) {
      assert.strictEqual(await rejection(call), signal.reason, name)
    }
    assert.strictEqual((await sandbox.getSandbox()).id, id)
    await sdk.disconnect()
  })

  it("make templates of one's own", async () => {
    const { sdk } = await open()
    const config = { name: "mine", language: "python", version: "3" } as const
    assert.deepStrictEqual((await sdk.createTemplate(config)).config, config)
    await sdk.deleteTemplate("mine")
    await sdk.disconnect()
  })
})

describe("writeFileStream", () => {
  const pieces = [bytes(1, 2), bytes(), bytes(3)]
  const sources: Record<string, () => ByteSource> = {
    "an array": () => pieces,
    "an async generator": async function*() {
      yield* pieces
    },
    "a web stream": () => new Blob(pieces).stream(),
    "a web stream that cannot be iterated, as in Safari": () => {
      const stream = new Blob(pieces).stream()
      return { getReader: () => stream.getReader() }
    },
    "a Node stream": () => Readable.from(pieces)
  }
  for (const [name, source] of Object.entries(sources)) {
    it(`takes ${name}`, async () => {
      const { sandbox, sdk } = await open()
      assert.strictEqual(await sandbox.writeFileStream("f", source()), "/workspace/f")
      assert.deepStrictEqual(await sandbox.readFileBytes("f"), bytes(1, 2, 3))
      await sdk.disconnect()
    })
  }

  it("rejects with the very error that the source throws, and the file is as it was", async () => {
    const { sandbox, sdk } = await open()
    await sandbox.writeFileStream("f", [bytes(9)])
    const mine = new RangeError("mine")
    const failing = async function*() {
      yield bytes(1)
      throw mine
    }
    assert.strictEqual(await rejection(sandbox.writeFileStream("f", failing())), mine)
    const web = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(mine) })
    assert.strictEqual(await rejection(sandbox.writeFileStream("f", web)), mine)
    const atOnce = {
      [Symbol.asyncIterator]: () => {
        throw mine
      }
    }
    assert.strictEqual(await rejection(untyped(sandbox, "writeFileStream", "f", atOnce)), mine)
    assert.deepStrictEqual(await sandbox.readFileBytes("f"), bytes(9))
    await sdk.disconnect()
  })

  it("refuses what is no source, and pieces that are no bytes", async () => {
    const { sandbox, sdk } = await open()
    for (const wrong of ["text", bytes(1), 5, null, {}, Promise.resolve()]) {
      await refused(untyped(sandbox, "writeFileStream", "f", wrong), "invalid_argument", "content")
    }
    assert.include(
      await refused(untyped(sandbox, "writeFileStream", "f", "text"), "invalid_argument", "content"),
      "writeFile takes"
    )
    let isClosed = false
    const text = function*() {
      try {
        yield "a line"
      } finally {
        isClosed = true
      }
    }
    const message = await refused(untyped(sandbox, "writeFileStream", "f", text()), "invalid_argument", "content")
    assert.include(message, "a line")
    assert.isTrue(isClosed)
    await sdk.disconnect()
  })

  it("closes the source when it is aborted, also one that never gives its next piece", async () => {
    const { sandbox, sdk } = await open()
    const canceled: Array<string> = []
    const web = new ReadableStream<Uint8Array>({ cancel: () => void canceled.push("web") })
    const node = new Readable({ read: () => {} })
    const generator = async function*() {
      yield bytes(1)
      await new Promise(() => {})
    }
    for (const source of [web, node, generator()]) {
      const controller = new AbortController()
      const call = rejection(sandbox.writeFileStream("f", source, { signal: controller.signal }))
      await new Promise((resolve) => setTimeout(resolve, 20))
      const closed = source === node ? once(node, "close") : undefined
      controller.abort()
      assert.strictEqual(await call, controller.signal.reason)
      await closed
    }
    assert.deepStrictEqual(canceled, ["web"])
    assert.isTrue(node.destroyed)
    await sdk.disconnect()
  })
})

describe("runCodeAs", () => {
  const Point = Schema.standardSchemaV1(Schema.Struct({ name: Schema.String, at: Schema.Array(Schema.Number) }))

  it("gives what the schema makes of the result, whether it answers at once or later", async () => {
    const { sandbox, sdk } = await open()
    const point = await sandbox.runCodeAs("json {\"name\":\"p\",\"at\":[1,2]}", Point)
    assert.deepStrictEqual(point.at, [1, 2])
    const later: StandardSchema<string> = {
      "~standard": { version: 1, vendor: "test", validate: async (value) => ({ value: `got ${String(value)}` }) }
    }
    assert.strictEqual(await sandbox.runCodeAs("json 5", later), "got 5")
    await sdk.disconnect()
  })

  it("says which part does not fit", async () => {
    const { sandbox, sdk } = await open()
    await refused(sandbox.runCodeAs("json {\"name\":\"p\",\"at\":[1,\"x\"]}", Point), "decode_error", "at.1")
    const picky: StandardSchema<never> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({ issues: [{ message: "too red", path: [{ key: "colour" }, 0] }, { message: "another" }] })
      }
    }
    assert.include(await refused(sandbox.runCodeAs("json 5", picky), "decode_error", "colour.0"), "too red")
    const vague: StandardSchema<never> = {
      "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "wrong" }] }) }
    }
    await refused(sandbox.runCodeAs("json 5", vague), "decode_error", "result")
    await refused(sandbox.runCodeAs("lines 1", Point), "decode_error", "result")
    await sdk.disconnect()
  })

  it("rejects with what the schema throws, and refuses what is none before anything runs", async () => {
    const { id, sandbox, sdk } = await open()
    const mine = new Error("mine")
    const throwing: StandardSchema<never> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => {
          throw mine
        }
      }
    }
    assert.strictEqual(await rejection(sandbox.runCodeAs("json 5", throwing)), mine)
    for (const wrong of [undefined, {}, Schema.Number]) {
      await refused(untyped(sdk, "runCodeAs", id, "hang", wrong), "invalid_argument", "schema")
    }
    await sdk.disconnect()
  })

  it("rejects as runCode does, and calls the callbacks", async () => {
    const { sandbox, sdk } = await open()
    const seen: Array<string> = []
    const raised = await rejection(sandbox.runCodeAs("raise", Point, { onError: ({ name }) => seen.push(name) }))
    assert.propertyVal(raised, "_tag", "ExecutionError")
    assert.deepStrictEqual(seen, ["ValueError"])
    await sdk.disconnect()
  })
})

describe("getMetrics", () => {
  it("is synchronous, before the first call, between calls and after the last", async () => {
    const sdk = new MemorySDK()
    assert.strictEqual(sdk.getMetrics().totalRequests, 0)
    const sandbox = await sdk.sandbox({ templateId: "python" })
    await sandbox.runTerminal("ls")
    await rejection(sdk.runTerminal("nobody", "ls"))
    const { failedRequests, successfulRequests, totalRequests } = sdk.getMetrics()
    assert.deepStrictEqual({ failedRequests, successfulRequests, totalRequests }, {
      failedRequests: 1,
      successfulRequests: 1,
      totalRequests: 2
    })
    await sdk.disconnect()
    assert.strictEqual(sdk.getMetrics().totalRequests, 2)
  })
})
