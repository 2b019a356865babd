import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Runtime } from "effect"
import * as entry from "../src/promise.js"
import { SandboxError, SandboxSDK, SandboxSDKError, TimeoutError } from "../src/promise.js"
import { SandboxSDK as Tag } from "../src/SandboxSDK.js"
import { makeMemoryService } from "./support/memoryService.js"

/** The class over a service that only keeps account: what is tested is how calls begin and end. */
class MemorySDK extends SandboxSDK {
  readonly log: Array<string>

  constructor() {
    const { layer, log } = makeMemoryService()
    super(layer)
    this.log = log
  }

  /** What ran, without the events. */
  get runs() {
    return this.log.filter((entry) => entry.startsWith("begin") || entry.startsWith("end"))
  }
}

const open = async () => {
  const sdk = new MemorySDK()
  const { sandbox } = await sdk.createSandbox({ templateId: "python" })
  return { sdk, id: sandbox.id }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => expect.unreachable("it should have been rejected"), (reason: unknown) => reason)

const drain = async <A>(items: AsyncIterable<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for await (const item of items) {
    all.push(item)
  }
  return all
}

describe("calls", () => {
  it("resolve with what the service gives", async () => {
    const { id, sdk } = await open()
    expect((await sdk.getSandbox(id)).templateId).toBe("python")
    expect(await sdk.getSandboxStatus(id)).toBe("ready")
    expect((await sdk.listSandboxes()).map((sandbox) => sandbox.id)).toEqual([id])
    expect((await sdk.runCode(id, "lines 2")).execution.logs.stdout).toEqual(["line 1\n", "line 2\n"])
    expect(await sdk.runTerminal(id, "ls")).toBe("$ ls")
    expect(await sdk.readFile(id, "a")).toBe("content of a")
    expect(await sdk.writeFile(id, "a", "x")).toBe("/workspace/a")
    expect(await sdk.listFiles(id, "d")).toEqual({ files: [], directory: "d" })
    expect(await sdk.listFiles(id)).toEqual({ files: [], directory: "/workspace" })
    await sdk.deleteFile(id, "a")
    expect((await sdk.createCodeContext(id)).sandboxId).toBe(id)
    expect((await sdk.listCodeContexts(id)).length).toBe(1)
    await sdk.deleteCodeContext("c1")
    expect(await sdk.getTemplates(2, 5)).toMatchObject({ page: 2, pageSize: 5 })
    expect(await sdk.getTemplates()).toMatchObject({ page: 1, pageSize: 10 })
    expect((await sdk.getTemplate("python")).id).toBe("python")
    await sdk.deleteSandbox(id)
    expect(await sdk.listSandboxes()).toEqual([])
    await sdk.disconnect()
  })

  it("reject with the error itself", async () => {
    const { id, sdk } = await open()
    const unknown = await rejection(sdk.getSandbox("nobody"))
    expect(unknown).toBeInstanceOf(SandboxError)
    expect(unknown).toBeInstanceOf(SandboxSDKError)
    expect(Runtime.isFiberFailure(unknown)).toBe(false)
    expect(unknown).toMatchObject({ _tag: "SandboxError", code: "not_found", sandboxId: "nobody" })
    expect(unknown instanceof Error && unknown.stack).toContain("memoryService.ts")

    const raised = await rejection(sdk.runCode(id, "raise"))
    expect(raised).toBeInstanceOf(entry.ExecutionError)
    expect(raised).toMatchObject({ name: "ValueError", value: "no" })

    const died = await rejection(sdk.runCode(id, "die"))
    expect(died).toMatchObject({ code: "kernel_died" })
    expect(died instanceof SandboxError && died.execution?.logs.stdout).toEqual(["line 1\n"])
    await sdk.disconnect()
  })

  it("reject when an argument is not what the types ask for", async () => {
    const { id, sdk } = await open()
    // As plain JavaScript calls it.
    const call = (name: keyof SandboxSDK, ...args: ReadonlyArray<unknown>): Promise<unknown> =>
      Promise.resolve(Reflect.apply(sdk[name], sdk, args))
    expect(await rejection(call("runCode", id, "lines 1", { timeout: 5 }))).toMatchObject({
      code: "invalid_argument",
      field: "timeout"
    })
    expect(await rejection(call("runCode", id, "lines 1", null))).toMatchObject({ field: "options" })
    expect(await rejection(call("runCode", id, "lines 1", { onStdout: "print" }))).toMatchObject({ field: "onStdout" })
    expect(await rejection(call("runCode", id, "lines 1", { signal: "stop" }))).toMatchObject({ field: "signal" })
    expect(await rejection(call("createSandbox"))).toMatchObject({ field: "options" })
    expect(sdk.runs).toEqual([])
    await sdk.disconnect()
  })

  it("callbacks are called in order, each after the promise of the one before", async () => {
    const { id, sdk } = await open()
    const seen: Array<string> = []
    await sdk.runCode(id, "lines 3", {
      onStdout: async ({ line }) => {
        seen.push(`begin ${line}`)
        await Promise.resolve()
        seen.push(`end ${line}`)
      }
    })
    expect(seen).toEqual([1, 2, 3].flatMap((n) => [`begin line ${n}\n`, `end line ${n}\n`]))
    await sdk.disconnect()
  })

  it.each([
    ["throws", () => {
      throw new RangeError("mine")
    }],
    ["rejects", () => Promise.reject(new RangeError("mine"))]
  ])("a callback that %s stops the run, and the call rejects with the same", async (_, onStdout) => {
    const { id, sdk } = await open()
    const reason = await rejection(sdk.runCode(id, "hang", { onStdout }))
    expect(reason).toBeInstanceOf(RangeError)
    expect(reason).toMatchObject({ message: "mine" })
    expect(sdk.runs).toEqual(["begin hang", "end hang"])
    await sdk.disconnect()
  })
})

describe("signals", () => {
  it("aborting stops the code, and rejects with the signal's reason once it has stopped", async () => {
    const { id, sdk } = await open()
    const controller = new AbortController()
    const reason = { why: "changed my mind" }
    const call = sdk.runCode(id, "hang", { signal: controller.signal, onStdout: () => controller.abort(reason) })
    expect(await rejection(call)).toBe(reason)
    expect(sdk.runs).toEqual(["begin hang", "end hang"])
    await sdk.disconnect()
  })

  it("a signal that is aborted already keeps the call from starting", async () => {
    const { id, sdk } = await open()
    const signal = AbortSignal.abort()
    expect(await rejection(sdk.runCode(id, "lines 1", { signal }))).toBe(signal.reason)
    expect(await rejection(sdk.getTemplates(1, 1, { signal }))).toBe(signal.reason)
    expect(await rejection(sdk.runCodeStream(id, "lines 1", { signal }).next())).toBe(signal.reason)
    expect(await rejection(sdk.sandbox({ templateId: "python", signal }))).toBe(signal.reason)
    expect(sdk.log).toEqual(["create s1"])
    await sdk.disconnect()
  })

  it("a call that is over is not changed by its signal, and leaves no listener behind", async () => {
    const { id, sdk } = await open()
    const controller = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = controller.signal
    controller.signal.addEventListener = function(...args: Parameters<typeof addEventListener>) {
      listeners++
      addEventListener.apply(this, args)
    }
    controller.signal.removeEventListener = function(...args: Parameters<typeof removeEventListener>) {
      listeners--
      removeEventListener.apply(this, args)
    }
    await sdk.runCode(id, "lines 1", { signal: controller.signal })
    await drain(sdk.runCodeStream(id, "lines 1", { signal: controller.signal }))
    expect(listeners).toBe(0)
    controller.abort()
    expect((await sdk.runCode(id, "lines 1")).execution.logs.stdout).toEqual(["line 1\n"])
    await sdk.disconnect()
  })
})

describe("streams", () => {
  it("give all events in order, and then end", async () => {
    const { id, sdk } = await open()
    const events = await drain(sdk.runCodeStream(id, "lines 3"))
    expect(events.map((event) => event._tag)).toEqual(["Started", "Stdout", "Stdout", "Stdout", "Ended"])
    expect((await drain(sdk.runTerminalStream(id, "lines 1"))).map((event) => event._tag)).toEqual([
      "Started",
      "Stdout",
      "Ended"
    ])
    await sdk.disconnect()
  })

  it("begin when the first event is asked for, and are pulled no further than that", async () => {
    const { id, sdk } = await open()
    const events = sdk.runCodeStream(id, "lines 1000")
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(sdk.runs).toEqual([])
    await events.next()
    await events.next()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(sdk.log.filter((entry) => entry.startsWith("pull"))).toEqual(["pull Started", "pull Stdout"])
    await events.return()
    await sdk.disconnect()
  })

  it("a break stops the code before the loop is left", async () => {
    const { id, sdk } = await open()
    for await (const event of sdk.runCodeStream(id, "hang")) {
      if (event._tag === "Stdout") break
    }
    expect(sdk.runs).toEqual(["begin hang", "end hang"])
    await sdk.disconnect()
  })

  it("an exception in the loop stops the code, and is what is thrown", async () => {
    const { id, sdk } = await open()
    const mine = new Error("mine")
    const loop = async () => {
      for await (const event of sdk.runCodeStream(id, "hang")) {
        if (event._tag === "Stdout") throw mine
      }
    }
    expect(await rejection(loop())).toBe(mine)
    expect(sdk.runs).toEqual(["begin hang", "end hang"])
    await sdk.disconnect()
  })

  it("throw the error itself, after the events that came before it", async () => {
    const { id, sdk } = await open()
    const seen: Array<string> = []
    const loop = async () => {
      for await (const event of sdk.runCodeStream(id, "die")) {
        seen.push(event._tag)
      }
    }
    const reason = await rejection(loop())
    expect(reason).toBeInstanceOf(SandboxError)
    expect(reason).toMatchObject({ code: "kernel_died" })
    expect(seen).toEqual(["Started", "Stdout"])
    await sdk.disconnect()
  })

  it("aborting stops the code, whether an event is waited for or not", async () => {
    const { id, sdk } = await open()
    for (const isWaiting of [true, false]) {
      const controller = new AbortController()
      const events = sdk.runCodeStream(id, "hang", { signal: controller.signal })
      await events.next()
      await events.next()
      const third = isWaiting ? rejection(events.next()) : undefined
      controller.abort(new Error("enough"))
      expect(await (third ?? rejection(events.next()))).toBe(controller.signal.reason)
      expect(await events.next()).toEqual({ done: true, value: undefined })
    }
    expect(sdk.runs).toEqual(["begin hang", "end hang", "begin hang", "end hang"])
    await sdk.disconnect()
  })

  it("give nothing more once the signal is aborted, not even what has arrived", async () => {
    const { id, sdk } = await open()
    const controller = new AbortController()
    // All three events of this code arrive at once.
    const events = sdk.runCodeStream(id, "raise", { signal: controller.signal })
    expect((await events.next()).value?._tag).toBe("Started")
    controller.abort()
    expect(await rejection(events.next())).toBe(controller.signal.reason)
    expect(await events.next()).toEqual({ done: true, value: undefined })
    await sdk.disconnect()
  })

  it("answer calls that are made at once in their order", async () => {
    const { id, sdk } = await open()
    const events = sdk.runCodeStream(id, "lines 2")
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => events.next()))
    expect(answers.map((answer) => answer.value?._tag)).toEqual(["Started", "Stdout", "Stdout", "Ended", undefined])
    expect(answers.map((answer) => answer.done)).toEqual([false, false, false, false, true])
    await sdk.disconnect()
  })

  it("end a call that waits when the iteration is ended", async () => {
    const { id, sdk } = await open()
    const events = sdk.runCodeStream(id, "hang")
    await events.next()
    await events.next()
    const waiting = events.next()
    await events.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(sdk.runs).toEqual(["begin hang", "end hang"])
    await sdk.disconnect()
  })

  it("are iterated once", async () => {
    const { id, sdk } = await open()
    const events = sdk.runCodeStream(id, "lines 1")
    expect((await drain(events)).length).toBe(3)
    expect(await drain(events)).toEqual([])
    expect(sdk.runs.length).toBe(2)
    const unused = sdk.runCodeStream(id, "lines 1")
    await unused.return()
    expect(await drain(unused)).toEqual([])
    await sdk.disconnect()
  })
})

describe("disconnect", () => {
  it("ends what is running, waits for it, and rejects it", async () => {
    const { id, sdk } = await open()
    const hanging = rejection(sdk.runCode(id, "hang"))
    const events = sdk.runCodeStream(id, "hang")
    await events.next()
    const waiting = rejection(events.next().then(() => events.next()))
    const idle = sdk.runTerminalStream(id, "hang")
    await idle.next()
    await sdk.disconnect()
    expect(sdk.log.filter((entry) => entry === "end hang").length).toBe(3)
    expect(sdk.log.at(-1)).toBe("layer closed")
    for (const reason of [await hanging, await waiting, await rejection(idle.next())]) {
      expect(reason).toBeInstanceOf(SandboxSDKError)
      expect(reason).toMatchObject({ _tag: "SandboxSDKError", code: "disconnected" })
    }
  })

  it("later calls are rejected, and a second disconnect does no harm", async () => {
    const { id, sdk } = await open()
    expect(sdk.isReady()).toBe(true)
    await Promise.all([sdk.disconnect(), sdk.disconnect()])
    await sdk.disconnect()
    expect(sdk.isReady()).toBe(false)
    expect(await rejection(sdk.getSandbox(id))).toMatchObject({ code: "disconnected" })
    expect(await rejection(sdk.runCodeStream(id, "lines 1").next())).toMatchObject({ code: "disconnected" })
    expect(await rejection(sdk.sandbox({ templateId: "python" }))).toMatchObject({ code: "disconnected" })
    expect(await rejection(sdk.waitForConnection())).toMatchObject({ code: "disconnected" })
  })

  it("is what the end of `await using` does", async () => {
    let log: ReadonlyArray<string> = []
    {
      await using sdk = new MemorySDK()
      await sdk.createSandbox({ templateId: "python" })
      log = sdk.log
    }
    expect(log).toEqual(["create s1", "layer closed"])
  })
})

describe("connection", () => {
  it("isReady says whether calls can be made", async () => {
    const sdk = new MemorySDK()
    expect(sdk.isReady()).toBe(false)
    await sdk.waitForConnection()
    expect(sdk.isReady()).toBe(true)
    await sdk.waitForConnection(5)
    expect(await rejection(sdk.waitForConnection(-1))).toMatchObject({ code: "invalid_argument", field: "timeoutMs" })
    await sdk.disconnect()
  })

  it("waitForConnection gives up, and says why when there is a reason", async () => {
    class Never extends SandboxSDK {
      constructor(layer: Layer.Layer<Tag, SandboxError>) {
        super(layer)
      }
    }
    const silent = new Never(Layer.effect(Tag, Effect.never))
    const late = await rejection(silent.waitForConnection(5))
    expect(late).toBeInstanceOf(TimeoutError)
    expect(late).toMatchObject({ operation: "connect", timeoutMs: 5 })
    await silent.disconnect()
    const broken = new SandboxError({ message: "m", code: "isolation_unavailable" })
    const failing = new Never(Layer.fail(broken))
    expect(await rejection(failing.waitForConnection())).toBe(broken)
    expect(await rejection(failing.listSandboxes())).toBe(broken)
    expect(failing.isReady()).toBe(false)
    await failing.disconnect()
  })
})

describe("sandbox", () => {
  it("is deleted at the end of `await using`", async () => {
    await using sdk = new MemorySDK()
    {
      await using sandbox = await sdk.sandbox({ templateId: "python", name: "mine" })
      expect(sandbox.info.name).toBe("mine")
      expect((await sandbox.runCode("lines 1")).metadata.sandboxId).toBe(sandbox.id)
      expect((await drain(sandbox.runCodeStream("lines 1"))).length).toBe(3)
      expect(await sandbox.readFile("a")).toBe("content of a")
      expect(sdk.log).not.toContain("delete s1")
    }
    expect(sdk.log.at(-1)).toBe("delete s1")
    expect(await sdk.listSandboxes()).toEqual([])
  })

  it("is deleted when what is done with it throws", async () => {
    await using sdk = new MemorySDK()
    const use = async () => {
      await using sandbox = await sdk.sandbox({ templateId: "python" })
      await sandbox.runCode("raise")
    }
    expect(await rejection(use())).toBeInstanceOf(entry.ExecutionError)
    expect(sdk.log.at(-1)).toBe("delete s1")
  })

  it("is deleted by disconnect, before the layer is closed; closing it again does no harm", async () => {
    const sdk = new MemorySDK()
    const sandbox = await sdk.sandbox({ templateId: "python" })
    await sdk.disconnect()
    expect(sdk.log).toEqual(["create s1", "delete s1", "layer closed"])
    await sandbox.close()
    expect(await rejection(sandbox.runCode("lines 1"))).toMatchObject({ code: "disconnected" })
  })

  it("is not lost when the call is aborted while it is being made", async () => {
    const sdk = new MemorySDK()
    const controller = new AbortController()
    const call = rejection(sdk.sandbox({ templateId: "slow", signal: controller.signal }))
    await new Promise((resolve) => setTimeout(resolve, 10))
    controller.abort()
    expect(await call).toBe(controller.signal.reason)
    expect(sdk.log).toEqual(["create s1", "delete s1"])
    await sdk.disconnect()
  })

  it("stays when the signal that it was made with is aborted later", async () => {
    await using sdk = new MemorySDK()
    const controller = new AbortController()
    const sandbox = await sdk.sandbox({ templateId: "python", signal: controller.signal })
    controller.abort()
    expect(await sandbox.getSandboxStatus()).toBe("ready")
  })

  it("rejects as createSandbox does", async () => {
    await using sdk = new MemorySDK()
    expect(await rejection(sdk.sandbox({ templateId: "cobol" }))).toMatchObject({ code: "template_not_found" })
    expect(await rejection(sdk.sandbox({ templateId: "" }))).toMatchObject({ field: "templateId" })
  })
})
