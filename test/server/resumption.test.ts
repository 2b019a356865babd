import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { RunningServer } from "../../src/server.js"
import { processesWith } from "../support/processes.js"
import { type Answer, BOB, clientOf, eventually, expectError, start } from "./support.js"

const NDJSON = { accept: "application/x-ndjson" }
const SSE = { accept: "text/event-stream" }

const keyed = (key: string = randomUUID()) => ({ ...NDJSON, "idempotency-key": key })

let server: RunningServer
let client: ReturnType<typeof clientOf>
let sandbox: string

beforeAll(async () => {
  server = await start({ heartbeatMs: 100, detachGraceMs: 600 })
  client = clientOf(server.url)
  sandbox = await client.sandbox({ templateId: "bash" })
})

afterAll(() => server.close())

const lines = (text: string): ReadonlyArray<any> =>
  text.split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line))

const output = (events: ReadonlyArray<any>): string =>
  events.filter(({ _tag }) => _tag === "Stdout").map(({ text }) => text).join("")

const isThere = async (path: string) =>
  (await client.request("GET", `${sandbox}/files/stat?path=${path}`)).status === 200

const write = (path: string) => client.request("POST", `${sandbox}/files?path=${path}`, { content: "" })

const count = async (path: string) => (await client.request("GET", `${sandbox}/files?path=${path}`)).json.content

/** How many processes in the sandbox have this in their command line. */
const processes = async (mark: string) => {
  const command = { command: `pgrep -fc "[${mark[0]}]${mark.slice(1)}"` }
  return Number((await client.request("POST", `${sandbox}/terminal`, command)).json.output)
}

const command = (name: string) => ({
  command: `echo x >> ${name}; echo one; while [ ! -e ${name}-go ]; do sleep 0.02; done; echo two; exit 3`
})

const expectEvents = (answer: Answer) => {
  const events = lines(answer.text)
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index))
  expect(output(events)).toBe("one\ntwo\n")
  expect(events.at(-1)).toMatchObject({ _tag: "Ended", exitCode: 3 })
  return events
}

describe("a run that is asked for again with its key", () => {
  it("is the same run, while it goes on and when it has ended", async () => {
    const headers = keyed()
    const send = () => client.request("POST", `${sandbox}/terminal`, command("same"), headers)
    const first = send()
    await eventually(() => isThere("same"))
    const second = send()
    await write("same-go")
    const third = (await Promise.all([first, second])).concat(await send())
    const [one, ...others] = third.map(expectEvents)
    for (const other of others) {
      expect(other).toEqual(one)
    }
    expect(await count("same")).toBe("x\n")
  })

  it("goes on without its connection for a while, and is found again", async () => {
    const headers = keyed()
    const stop = new AbortController()
    const first = await client.send("POST", `${sandbox}/terminal`, command("found"), headers, stop.signal)
    await eventually(() => isThere("found"))
    stop.abort()
    await expect(first.text()).rejects.toThrow()
    const again = client.request("POST", `${sandbox}/terminal`, command("found"), headers)
    await write("found-go")
    expectEvents(await again)
    expect(await count("found")).toBe("x\n")
  })

  it("is stopped when nobody comes back, and is not run again then", async () => {
    const headers = keyed()
    const stop = new AbortController()
    const body = { command: "echo x >> gone; exec sleep 6543" }
    const first = await client.send("POST", `${sandbox}/terminal`, body, headers, stop.signal)
    await eventually(async () => (await processes("sleep 6543")) > 0)
    stop.abort()
    await first.text().catch(() => undefined)
    await eventually(async () => (await processes("sleep 6543")) === 0)
    const again = await client.request("POST", `${sandbox}/terminal`, body, headers)
    expect(lines(again.text).at(-1)).toMatchObject({ _tag: "Failed", error: { code: "cancelled" } })
    expect(await count("gone")).toBe("x\n")
  })

  it("is found while it waits for its turn", async () => {
    const blocking = client.request("POST", `${sandbox}/execute`, {
      code: "touch turn; while [ ! -e turn-go ]; do sleep 0.02; done"
    })
    await eventually(() => isThere("turn"))
    const headers = keyed()
    const stop = new AbortController()
    const send = (signal?: AbortSignal) =>
      client.send("POST", `${sandbox}/execute`, { code: "echo x >> queued; echo out" }, headers, signal)
    const first = await send(stop.signal)
    stop.abort()
    await first.text().catch(() => undefined)
    const again = send()
    await new Promise((resolve) => setTimeout(resolve, 100))
    await write("turn-go")
    expect(output(lines(await (await again).text()))).toBe("out\n")
    expect((await blocking).status).toBe(200)
    expect(await count("queued")).toBe("x\n")
  })

  it("can be made after all when it was refused", async () => {
    const headers = keyed()
    const run = { code: "echo hi" }
    expectError(await client.request("POST", "/api/sandboxes/none/execute", run, headers), 404, "not_found")
    expect(output(lines((await client.request("POST", `${sandbox}/execute`, run, headers)).text))).toBe("hi\n")
    const other = await client.request("POST", `${sandbox}/execute`, { code: "echo other" }, headers)
    expectError(other, 400, "invalid_argument")
  })

  it("counts as an execution until it has ended, connected or not", async () => {
    await using strict = await start({ quotas: { concurrentExecutions: 1 }, detachGraceMs: 60_000 })
    const one = clientOf(strict.url)
    const path = await one.sandbox({ templateId: "bash" })
    const headers = keyed()
    const stop = new AbortController()
    const first = await one.send(
      "POST",
      `${path}/terminal`,
      { command: "touch on; exec sleep 60" },
      headers,
      stop.signal
    )
    await eventually(async () => (await one.request("GET", `${path}/files/stat?path=on`)).status === 200)
    stop.abort()
    await first.text().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expectError(await one.request("POST", `${path}/terminal`, { command: "true" }, NDJSON), 429)
    const stopped = await one.request("POST", `/api/requests/${headers["idempotency-key"]}/stop`)
    expect(stopped.json).toEqual({ stopped: true })
    await eventually(async () =>
      (await one.request("POST", `${path}/terminal`, { command: "true" }, NDJSON)).status === 200
    )
  })

  it("is ended when its API key is revoked, also while nobody reads it", async () => {
    const { id } = await server.addKey("key-of-carol-77ad")
    const carol = clientOf(server.url, "key-of-carol-77ad")
    const path = await carol.sandbox({ templateId: "bash" })
    const stop = new AbortController()
    const mark = `revoked-${randomUUID()}`
    const body = { command: `exec -a ${mark} sleep 600`, detachGraceMs: 600_000 }
    const first = await carol.send("POST", `${path}/terminal`, body, keyed(), stop.signal)
    await eventually(async () => (await Effect.runPromise(processesWith(mark))).length > 0)
    stop.abort()
    await first.text().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await Effect.runPromise(processesWith(mark))).toHaveLength(1)
    await server.revokeKey(id)
    expect(await Effect.runPromise(processesWith(mark))).toHaveLength(0)
  })

  it("is not run again by the next server on the same data folder", async () => {
    const data = await Fs.mkdtemp(Path.join(tmpdir(), "sandbox-sdk-runs-"))
    await Fs.chmod(data, 0o711)
    try {
      const headers = keyed()
      const body = { command: "echo x >> count; exec sleep 60" }
      const first = await start({ dataDirectory: data, graceMs: 100 })
      const before = clientOf(first.url)
      const path = await before.sandbox({ templateId: "bash" })
      const broken = await before.send("POST", `${path}/terminal`, body, headers)
      await eventually(async () => (await before.request("GET", `${path}/files/stat?path=count`)).status === 200)
      await first.close()
      expect(lines(await broken.text()).at(-1)).toMatchObject({ _tag: "Failed", error: { code: "disconnected" } })
      await using second = await start({ dataDirectory: data })
      const after = clientOf(second.url)
      expectError(await after.request("POST", `${path}/terminal`, body, headers), 500, "outcome_unknown")
      expect((await after.request("GET", `${path}/files?path=count`)).json.content).toBe("x\n")
    } finally {
      await Fs.rm(data, { recursive: true, force: true })
    }
  })
})

describe("events in parts", () => {
  const many = { command: "for i in $(seq 2000); do echo $i; done" }
  const expected = Array.from({ length: 2_000 }, (_, index) => `${index + 1}\n`).join("")

  it("end where the client wants, and go on after what it has", async () => {
    const headers = { ...keyed(), "sandbox-segment": "1", "sandbox-reader": "me" }
    const events: Array<any> = []
    const first = lines((await client.request("POST", `${sandbox}/terminal`, many, headers)).text)
    let last = first.at(-1)
    events.push(...first.slice(0, -1))
    const { executionId } = events[0]
    let answers = 1
    while (last._tag === "Continues") {
      expect(last.after).toBe(events.at(-1).seq)
      const path = `/api/executions/${executionId}/events?after=${last.after}`
      const next = lines((await client.request("GET", path, undefined, { ...headers })).text)
      last = next.at(-1)
      events.push(...next.slice(0, last._tag === "Continues" ? -1 : undefined))
      answers += 1
    }
    expect(answers).toBeGreaterThan(1)
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index))
    expect(output(events)).toBe(expected)
    expect(last._tag).toBe("Ended")
    const over = await client.request(
      "GET",
      `/api/executions/${executionId}/events?after=${last.seq}`,
      undefined,
      headers
    )
    expect(lines(over.text)).toEqual([{ _tag: "Continues", after: last.seq, over: true }])
  })

  it("of nothing show that somebody is there", async () => {
    const headers = { ...keyed(), "sandbox-segment": "1", "sandbox-reader": "me" }
    const body = { command: "echo one; while [ ! -e nothing-go ]; do sleep 0.02; done; echo two" }
    const first = lines((await client.request("POST", `${sandbox}/terminal`, body, headers)).text)
    const { executionId } = first[0]
    const after = first.at(-1).after
    // Longer than the server lets a run go on that nobody reads.
    for (let shown = 0; shown < 10; shown += 1) {
      const answer = await client.request("GET", `/api/executions/${executionId}/events?after=${after}`, undefined, {
        ...NDJSON,
        "sandbox-segment": "0",
        "sandbox-reader": "me"
      })
      expect(lines(answer.text)).toEqual([{ _tag: "Continues", after }])
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    await write("nothing-go")
    const rest = await client.request("GET", `/api/executions/${executionId}/events?after=${after}`, undefined, NDJSON)
    expect(output([...first, ...lines(rest.text)])).toBe("one\ntwo\n")
  })

  it("are refused when what is said of them is malformed, and nobody else gets them", async () => {
    for (const wrong of [{ "sandbox-segment": "x" }, { "sandbox-segment": "-1" }, { "sandbox-reader": "a b" }]) {
      expectError(
        await client.request("POST", `${sandbox}/terminal`, many, { ...keyed(), ...wrong }),
        400,
        "invalid_argument"
      )
    }
    const [{ executionId }] = lines((await client.request("POST", `${sandbox}/terminal`, many, NDJSON)).text)
    const bob = clientOf(server.url, BOB)
    expectError(await bob.request("GET", `/api/executions/${executionId}/events`), 404, "execution_not_found")
  })
})

describe("a reader of server-sent events", () => {
  it("goes on after Last-Event-ID", async () => {
    const [{ executionId }] = lines(
      (await client.request("POST", `${sandbox}/terminal`, { command: "echo a; echo b >&2" }, NDJSON)).text
    )
    const read = async (headers: Record<string, string>) =>
      (await client.request("GET", `/api/executions/${executionId}/events`, undefined, { ...SSE, ...headers })).text
    const whole = await read({})
    const ids = [...whole.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
    expect(ids).toEqual(ids.map((_, index) => index))
    const rest = await read({ "last-event-id": "0" })
    expect([...rest.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))).toEqual(ids.slice(1))
    expect(whole.endsWith(rest)).toBe(true)
    const wrong = await client.request("GET", `/api/executions/${executionId}/events`, undefined, {
      ...SSE,
      "last-event-id": "x"
    })
    expectError(wrong, 400, "invalid_argument")
  })
})

describe("a stream on which nothing happens", () => {
  const begin = async (method: string, path: string, body: unknown, headers: Record<string, string>) => {
    const stop = new AbortController()
    const response = await client.send(method, path, body, headers, stop.signal)
    expect(response.headers.get("sandbox-heartbeat")).toBe("100")
    const reader = response.body?.getReader()
    let text = ""
    const until = async (pattern: RegExp) => {
      while (!pattern.test(text)) {
        const next = await reader?.read()
        if (next?.done !== false) {
          throw new Error(`It ended: ${text}`)
        }
        text += new TextDecoder().decode(next.value)
      }
      return text
    }
    return { until, stop: () => stop.abort() }
  }

  it("shows signs of life: comments, and blank lines", async () => {
    const quiet = { command: "echo one; exec sleep 60" }
    for (
      const [method, path, body] of [
        ["POST", `${sandbox}/terminal`, quiet],
        ["POST", `${sandbox}/execute`, { code: "echo one; sleep 60" }],
        ["GET", `${sandbox}/files/watch`, undefined]
      ] as const
    ) {
      const events = await begin(method, path, body, SSE)
      expect(await events.until(/(: alive\n\n){3}/)).not.toMatch(/data: .*: alive/)
      events.stop()
      const plain = await begin(method, path, body, NDJSON)
      const text = await plain.until(/\n\n\n/)
      for (const line of text.split("\n").filter((line) => line !== "")) {
        expect(() => JSON.parse(line)).not.toThrow()
      }
      plain.stop()
    }
  })
})

it("a client that takes nothing of a part any more is taken for gone", async () => {
  const headers = { ...keyed(), "sandbox-segment": "4000000", "sandbox-reader": "stuck" }
  const body = { command: "head -c 100000000 /dev/zero | tr '\\0' x; exec sleep 60 # stuck" }
  const response = await client.send("POST", `${sandbox}/terminal`, body, headers)
  // Not read: the sockets on the way are full soon.
  await eventually(async () => (await processes("x; exec sleep 60 # stuck")) > 0)
  await eventually(async () => (await processes("x; exec sleep 60 # stuck")) === 0, 20_000)
  await response.text().catch(() => undefined)
})
