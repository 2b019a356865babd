import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { RunningServer } from "../../src/server.js"
import { ALICE, clientOf, eventually, expectError, start } from "./support.js"

let server: RunningServer
let client: ReturnType<typeof clientOf>
let sandbox: string

beforeAll(async () => {
  server = await start()
  client = clientOf(server.url)
  sandbox = await client.sandbox()
})

afterAll(() => server.close())

const SSE = { accept: "text/event-stream" }
const NDJSON = { accept: "application/x-ndjson" }

const code =
  "import sys, time\nprint('one', flush=True)\ntime.sleep(0.1)\nprint('two', file=sys.stderr, flush=True)\n6 * 7"

const expectRun = (events: ReadonlyArray<any>) => {
  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index))
  expect(events[0]).toMatchObject({ _tag: "Started", executionId: expect.any(String), sandboxId: expect.any(String) })
  const text = (tag: string) => events.filter((event) => event._tag === tag).map((event) => event.text).join("")
  expect([text("Stdout"), text("Stderr")]).toEqual(["one\n", "two\n"])
  expect(events.find((event) => event._tag === "Result").result).toMatchObject({ isMainResult: true, text: "42" })
  expect(events.at(-1)).toMatchObject({ _tag: "Ended", duration: expect.any(Number) })
}

const lines = (text: string): ReadonlyArray<any> =>
  text.split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line))

/** How many processes in the sandbox have this in their command line. */
const processes = async (mark: string): Promise<number> => {
  const { json } = await client.request("POST", `${sandbox}/terminal`, {
    command: `pgrep -fc "[${mark[0]}]${mark.slice(1)}"`
  })
  return Number(json.output)
}

describe("events", () => {
  it("come as server-sent events, numbered", async () => {
    const { headers, text } = await client.request("POST", `${sandbox}/execute`, { code }, SSE)
    expect(headers.get("content-type")).toBe("text/event-stream")
    const records = text.split("\n\n").filter((record) => record !== "").map((record) => {
      const [, id, data = ""] = /^id: (\d+)\ndata: (.*)$/.exec(record) ?? []
      const event = JSON.parse(data)
      expect(event.seq).toBe(Number(id))
      return event
    })
    expectRun(records)
  })

  it("come each once and in order of runs that end at once, too, which are answered as a whole", async () => {
    for (let run = 0; run < 20; run++) {
      const { headers, text } = await client.request("POST", `${sandbox}/execute`, { code: "print(1)\n1 + 1" }, NDJSON)
      expect(headers.get("content-type")).toBe("application/x-ndjson")
      expect(headers.get("sandbox-heartbeat")).toBe("5000")
      const events = lines(text)
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index))
      expect(
        events.filter(({ _tag }) => _tag !== "ExecutionCount").map((
          { _tag, result, text }
        ) => [_tag, text ?? result?.text])
      )
        .toEqual([["Started", undefined], ["Stdout", "1\n"], ["Result", "2"], ["Ended", undefined]])
    }
  })

  it("come as lines of JSON", async () => {
    const { headers, text } = await client.request("POST", `${sandbox}/execute`, { code }, NDJSON)
    expect(headers.get("content-type")).toBe("application/x-ndjson")
    expectRun(lines(text))
  })

  it("come when they happen, and not at the end", async () => {
    const response = await client.send("POST", `${sandbox}/execute`, {
      code: "print('now', flush=True)\nopen('/tmp/go').read() if False else None\nimport os, time\n" +
        "while not os.path.exists('go'): time.sleep(0.01)"
    }, NDJSON)
    let text = ""
    for await (const piece of response.body ?? []) {
      text += new TextDecoder().decode(piece)
      if (text.includes("\"now\\n\"")) {
        await client.request("POST", `${sandbox}/files?path=go`, { content: "" })
      }
    }
    expect(lines(text).at(-1)).toMatchObject({ _tag: "Ended" })
  })

  it("keep every character whole, wherever it is cut", async () => {
    const { text } = await client.request("POST", `${sandbox}/execute`, {
      code: "print('\\u00e9\\U0001f600\\u2028\\x00' * 50000, end='')"
    }, NDJSON)
    const output = lines(text).filter((event) => event._tag === "Stdout").map((event) => event.text).join("")
    expect(output === "\u00e9\ud83d\ude00\u2028\u0000".repeat(50_000)).toBe(true)
  })

  it("of a command end with its exit code", async () => {
    const { text } = await client.request("POST", `${sandbox}/terminal`, { command: "echo a; exit 3" }, NDJSON)
    expect(lines(text).at(-1)).toMatchObject({ _tag: "Ended", exitCode: 3 })
  })

  it("of a batch tell its progress", async () => {
    const { text } = await client.request("POST", `${sandbox}/batch`, { jobs: [{ id: "a", code: "1/0" }] }, NDJSON)
    expect(lines(text)).toMatchObject([
      { _tag: "BatchStarted", seq: 0 },
      { _tag: "JobStarted", jobId: "a", seq: 1 },
      { _tag: "JobEnded", result: { success: false, error: { _tag: "ExecutionError" } } },
      { _tag: "BatchEnded", failed: 1, succeeded: 0 }
    ])
  })

  it("end with what failed, once they have begun", async () => {
    const { status, text } = await client.request("POST", `${sandbox}/execute`, {
      code: "print('began', flush=True)\nimport time\ntime.sleep(60)",
      timeoutMs: 300
    }, NDJSON)
    expect(status).toBe(200)
    const last = lines(text).at(-1)
    expect(last).toMatchObject({
      _tag: "Failed",
      error: { _tag: "TimeoutError", operation: "execution", timeoutMs: 300 }
    })
  })

  it("have a status code when they cannot begin", async () => {
    for (const accept of [SSE, NDJSON]) {
      expectError(await client.request("POST", "/api/sandboxes/none/execute", { code }, accept), 404, "not_found")
      expectError(
        await client.request("POST", `${sandbox}/execute`, { code, contextId: "none" }, accept),
        404,
        "context_not_found"
      )
      expectError(
        await client.request("GET", `${sandbox}/files/watch?path=none`, undefined, accept),
        404,
        "file_not_found"
      )
    }
  })

  it("tell of files as they change", async () => {
    const stop = new AbortController()
    const response = await client.send("GET", `${sandbox}/files/watch`, undefined, SSE, stop.signal)
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    const reader = response.body?.getReader()
    await client.request("POST", `${sandbox}/files?path=watched.txt`, { content: "x" })
    let text = ""
    await eventually(async () => {
      text += new TextDecoder().decode((await reader?.read())?.value)
      return text.includes("watched.txt")
    })
    expect(text).toMatch(/^id: 0\ndata: \{.*"type":"created".*\n\n/)
    stop.abort()
  })
})

describe("whoever leaves", () => {
  for (const [name, headers] of [["a stream", NDJSON], ["an answer at the end", {}]] as const) {
    it(`stops the code of ${name}`, async () => {
      const stop = new AbortController()
      const answer = client.send(
        "POST",
        `${sandbox}/execute`,
        {
          code: "import subprocess\nprint('began', flush=True)\nsubprocess.run(['sleep', '4242'])"
        },
        headers,
        stop.signal
      ).then((response) => response.text())
      answer.catch(() => undefined)
      await eventually(async () => (await processes("sleep 4242")) > 0)
      stop.abort()
      await expect(answer).rejects.toThrow()
      await eventually(async () => (await processes("sleep 4242")) === 0)
      const { json } = await client.request("POST", `${sandbox}/execute`, { code: "'alive'" })
      expect(json.results[0].text).toBe("'alive'")
    })
  }

  it("and reads no more slows the code down, and the server keeps nothing", async () => {
    const stop = new AbortController()
    const response = await client.send(
      "POST",
      `${sandbox}/execute`,
      {
        code: "import os\nn = 0\nline = b'x' * 65536\nwhile n < 4000:\n" +
          "    os.write(1, line)\n    n += 1\n    open('written', 'w').write(str(n))"
      },
      NDJSON,
      stop.signal
    )
    const written = async () => Number((await client.request("GET", `${sandbox}/files?path=written`)).json.content ?? 0)
    await eventually(async () => (await written()) > 0)
    // Nobody reads: it comes to rest long before its 250 MiB are written.
    let last = -1
    await eventually(async () => {
      const now = await written()
      const rests = now === last && now > 0
      last = now
      await new Promise((resolve) => setTimeout(resolve, 300))
      return rests
    })
    expect(last).toBeLessThan(1_000)
    stop.abort()
    await response.text().catch(() => undefined)
  })
})

describe("bytes of files", () => {
  it("pass in both directions, and come out the same", async () => {
    const size = 64 * 1024 * 1024
    await client.request("POST", `${sandbox}/terminal`, { command: `head -c ${size} /dev/urandom > big` })
    const download = await client.send("GET", `${sandbox}/files/content?path=big`)
    const upload = await fetch(`${server.url}${sandbox}/files/content?path=copy`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ALICE}` },
      body: download.body,
      // @ts-expect-error: fetch of Node wants it for streams, its types do not know it.
      duplex: "half"
    })
    expect(await upload.json()).toEqual({ path: "/workspace/copy" })
    const { json } = await client.request("POST", `${sandbox}/terminal`, {
      command: "cmp big copy && echo same; rm big copy"
    })
    expect(json.output).toBe("same\n")
  }, 60_000)

  it("are read no faster than they are taken", async () => {
    await client.request("POST", `${sandbox}/terminal`, { command: "truncate -s 300M hole" })
    const before = process.memoryUsage().arrayBuffers
    const stop = new AbortController()
    const download = await client.send("GET", `${sandbox}/files/content?path=hole`, undefined, {}, stop.signal)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024)
    stop.abort()
    await download.arrayBuffer().catch(() => undefined)
    await client.request("DELETE", `${sandbox}/files?path=hole`)
  })

  it("are not written when they break off", async () => {
    await client.request("POST", `${sandbox}/files?path=kept.txt`, { content: "as it was" })
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array(100_000)),
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, 200))
        controller.error(new Error("broken"))
      }
    })
    await expect(fetch(`${server.url}${sandbox}/files/content?path=kept.txt`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ALICE}` },
      body,
      // @ts-expect-error: as above.
      duplex: "half"
    })).rejects.toThrow()
    expect((await client.request("GET", `${sandbox}/files?path=kept.txt`)).json.content).toBe("as it was")
    const { json } = await client.request("GET", `${sandbox}/files/list`)
    expect(json.files.filter((file: { name: string }) => /kept.+/.test(file.name) && file.name !== "kept.txt")).toEqual(
      []
    )
  })
})
