import { createConnection } from "node:net"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { serve } from "../../src/server.js"
import type { RunningServer } from "../../src/server.js"
import { ALICE, BOB, clientOf, eventually, expectError, start } from "./support.js"

/** What a server answers to these bytes, once it has closed the connection. */
const raw = (port: number, ...pieces: ReadonlyArray<string | Buffer>) =>
  new Promise<string>((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1" }, () => {
      for (const piece of pieces) {
        socket.write(piece)
      }
    })
    let text = ""
    socket.on("data", (data) => {
      text += data.toString()
    })
    socket.on("close", () => resolve(text))
    socket.on("error", reject)
  })

const bodyOf = (text: string): any => JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4))

describe("budgets", () => {
  it("of requests a minute are told, and answered with 429 when they are used up", async () => {
    await using server = await start({ quotas: { requestsPerMinute: 3 } })
    const alice = clientOf(server.url)
    for (const left of ["2", "1", "0"]) {
      const { headers, status } = await alice.request("GET", "/api/sandboxes")
      expect([status, headers.get("x-ratelimit-limit"), headers.get("x-ratelimit-remaining")]).toEqual([200, "3", left])
      expect(Number(headers.get("x-ratelimit-reset"))).toBeGreaterThanOrEqual(Math.floor(Date.now() / 1_000))
    }
    const refused = await alice.request("GET", "/api/sandboxes")
    expectError(refused, 429)
    expect(refused.json).toMatchObject({ _tag: "RateLimitError", limit: 3, remaining: 0 })
    expect(refused.json.retryAfter).toBeGreaterThan(0)
    const seconds = Number(refused.headers.get("retry-after"))
    expect(Number.isInteger(seconds) && seconds * 1_000 >= refused.json.retryAfter).toBe(true)
    expect(refused.headers.get("x-ratelimit-remaining")).toBe("0")
    // Another key has a budget of its own.
    expect((await clientOf(server.url, BOB).request("GET", "/api/sandboxes")).status).toBe(200)
  })

  it("of executions at a time", async () => {
    await using server = await start({ quotas: { concurrentExecutions: 1 } })
    const alice = clientOf(server.url)
    const sandbox = await alice.sandbox()
    const first = alice.request("POST", `${sandbox}/execute`, {
      code: "import os, time\nopen('on', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)"
    })
    await eventually(async () => (await alice.request("GET", `${sandbox}/files/stat?path=on`)).status === 200)
    expectError(await alice.request("POST", `${sandbox}/execute`, { code: "1" }), 429)
    expectError(await alice.request("POST", `${sandbox}/terminal`, { command: "ls" }), 429)
    await alice.request("POST", `${sandbox}/files?path=go`, { content: "" })
    expect((await first).status).toBe(200)
    await eventually(async () => (await alice.request("POST", `${sandbox}/execute`, { code: "1" })).status === 200)
  })

  it("of executions at a time: a process is one until it has ended, and none where it could not be started", async () => {
    await using server = await start({ quotas: { concurrentExecutions: 1 } })
    const alice = clientOf(server.url)
    const sandbox = await alice.sandbox()
    const begin = (command: string, options = {}) =>
      alice.request("POST", `${sandbox}/processes`, { command, ...options })
    expectError(await begin("true", { cwd: "/nowhere" }), 404, "file_not_found")
    const { json, status } = await begin("sleep 1000")
    expect(status).toBe(200)
    expectError(await begin("true"), 429)
    expectError(await alice.request("POST", `${sandbox}/execute`, { code: "1" }), 429)
    await alice.request("POST", `/api/executions/${json.executionId}/signal`, { signal: "SIGKILL" })
    await eventually(async () => (await begin("true")).status === 200)
  })

  it("of sandboxes, also when many are asked for at once", async () => {
    await using server = await start({ quotas: { sandboxes: 2 } })
    const alice = clientOf(server.url)
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => alice.request("POST", "/api/sandboxes/create", { templateId: "bash" }))
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429, 429])
  })

  it("of storage, over all sandboxes of a user and whatever has written", async () => {
    await using server = await start({ quotas: { storageBytes: 1_000_000 } })
    const alice = clientOf(server.url)
    const one = await alice.sandbox({ templateId: "bash" })
    const two = await alice.sandbox({ templateId: "bash" })
    expect((await alice.request("POST", `${one}/files?path=a`, { content: "x".repeat(500_000) })).status).toBe(200)
    const refused = await alice.request("POST", `${two}/files?path=b`, { content: "x".repeat(600_000) })
    expectError(refused, 507, "quota_exceeded")
    expect(refused.json).toMatchObject({ _tag: "SandboxError", code: "quota_exceeded" })
    // A body that does not say how long it is.
    const unannounced = await fetch(`${server.url}${two}/files/content?path=d`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ALICE}`, "content-type": "application/octet-stream" },
      body: new Blob(["x".repeat(600_000)]).stream(),
      ...{ duplex: "half" }
    })
    expect([unannounced.status, (await unannounced.json()).code]).toEqual([507, "quota_exceeded"])
    expect((await alice.request("GET", `${two}/files/list`)).json.files).toEqual([])
    await alice.request("POST", `${two}/terminal`, { command: "head -c 900000 /dev/zero > c" })
    expectError(await alice.request("POST", `${one}/execute`, { code: "echo x" }), 507, "quota_exceeded")
    expect((await alice.request("GET", "/api/usage")).json).toMatchObject({ sandboxes: 2 })
    expect((await alice.request("DELETE", `${two}/files?path=c`)).status).toBe(200)
    expect((await alice.request("POST", `${one}/execute`, { code: "echo x" })).status).toBe(200)
  })

  it("of open streams", async () => {
    await using server = await start({ limits: { openStreams: 1 } })
    const alice = clientOf(server.url)
    const sandbox = await alice.sandbox({ templateId: "bash" })
    const stop = new AbortController()
    await alice.send("GET", `${sandbox}/files/watch`, undefined, {}, stop.signal)
    expectError(await alice.request("GET", `${sandbox}/files/watch`), 429)
    stop.abort()
    await eventually(async () =>
      (await alice.request("POST", `${sandbox}/terminal`, { command: "true" }, { accept: "text/event-stream" }))
        .status === 200
    )
  })
})

describe("what a client may send", () => {
  let server: RunningServer

  beforeAll(async () => {
    server = await start({
      limits: { maxJsonBytes: 100_000, maxUploadBytes: 1_000_000, bodyTimeoutMs: 300, headersTimeoutMs: 1_000 }
    })
  })

  afterAll(() => server.close())

  const head = (method: string, path: string, more: ReadonlyArray<string> = []) =>
    [`${method} ${path} HTTP/1.1`, "host: x", `authorization: Bearer ${ALICE}`, ...more, "", ""].join("\r\n")

  it("is limited in size, whether it says its size or not", async () => {
    const alice = clientOf(server.url)
    const sandbox = await alice.sandbox({ templateId: "bash" })
    expectError(
      await alice.request("POST", `${sandbox}/execute`, { code: "x".repeat(200_000) }),
      413,
      "invalid_argument"
    )
    for (const [path, length] of [["execute", 200_000], ["files/content?path=big", 2_000_000]] as const) {
      const body = new ReadableStream({
        start: (controller) => {
          for (let sent = 0; sent < length; sent += 50_000) {
            controller.enqueue(new Uint8Array(50_000))
          }
          controller.close()
        }
      })
      const response = await fetch(`${server.url}${sandbox}/${path}`, {
        method: path === "execute" ? "POST" : "PUT",
        headers: {
          authorization: `Bearer ${ALICE}`,
          ...(path === "execute" ? { "content-type": "application/json" } : {})
        },
        body,
        // @ts-expect-error: fetch of Node wants it for streams, its types do not know it.
        duplex: "half"
      })
      expect(response.status).toBe(413)
      expect(await response.json()).toMatchObject({ code: "invalid_argument", field: "body" })
    }
    expectError(await alice.request("GET", `${sandbox}/files/stat?path=big`), 404, "file_not_found")
  })

  it("must be JSON in UTF-8, and say so", async () => {
    const send = async (type: string | undefined, body: string | Buffer) => {
      const response = await fetch(`${server.url}/api/sandboxes/create`, {
        method: "POST",
        headers: { authorization: `Bearer ${ALICE}`, ...(type === undefined ? {} : { "content-type": type }) },
        body: Buffer.from(body)
      })
      const json = await response.json()
      expect(json).toMatchObject({ _tag: "SandboxSDKError", code: "invalid_argument", message: expect.any(String) })
      return response.status
    }
    expect(await send("application/json", "{\"templateId\":")).toBe(400)
    expect(await send("application/json", Buffer.from("{\"templateId\":\"\xff\"}", "latin1"))).toBe(400)
    expect(await send("application/json", "")).toBe(400)
    expect(await send("text/plain", "{\"templateId\":\"bash\"}")).toBe(415)
    expect(await send("application/x-www-form-urlencoded", "templateId=bash")).toBe(415)
    expect(await send("multipart/form-data; boundary=a", "--a--")).toBe(415)
  })

  it("says nothing of secrets in what it refuses", async () => {
    const { json } = await clientOf(server.url).request("POST", "/api/sandboxes/create", {
      templateId: "bash",
      initialEnvVars: { TOKEN: "hunter2\u0000" }
    })
    expect(json.field).toBe("initialEnvVars.TOKEN")
    expect(JSON.stringify(json)).not.toContain("hunter2")
  })

  it("must arrive in time", async () => {
    const started = await raw(
      server.port,
      head("POST", "/api/sandboxes/create", [
        "content-type: application/json",
        "content-length: 100",
        "connection: close"
      ]),
      "{\"templateId\":"
    )
    expect(started).toMatch(/^HTTP\/1\.1 408 /)
    expect(bodyOf(started)).toMatchObject({ _tag: "SandboxSDKError" })
  })

  it("must be HTTP", async () => {
    for (
      const [bytes, status] of [
        ["GARBAGE\r\n\r\n", 400],
        ["GET / HTTP/9.9\r\n\r\n", 400],
        [head("GET", "/health", [`x: ${"y".repeat(40_000)}`]), 431],
        [head("POST", "/health", ["content-length: 1", "transfer-encoding: chunked"]), 400],
        [head("GET", "/health", ["expect: miracles", "connection: close"]), 417],
        ["CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n", 400]
      ] as const
    ) {
      const answer = await raw(server.port, bytes)
      expect(answer, bytes.slice(0, 40)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(bodyOf(answer)).toMatchObject({ _tag: "SandboxSDKError", message: expect.any(String) })
    }
  })

  it("goes to a path and with a method that there is", async () => {
    const alice = clientOf(server.url)
    const none = await alice.request("GET", "/api/none")
    expectError(none, 404, "invalid_argument")
    expect(none.json.message).toContain("/docs")
    const method = await alice.request("PATCH", "/api/sandboxes")
    expectError(method, 405, "invalid_argument")
    expect(method.headers.get("allow")).toBe("GET, HEAD")
    expectError(await alice.request("GET", `/api/sandboxes?${"x".repeat(17_000)}`), 414, "invalid_argument")
    expect((await alice.request("GET", "/api/sandboxes/")).status).toBe(200)
  })
})

describe("settings", () => {
  it("that make no sense are refused, by name", async () => {
    for (
      const [options, field] of [
        [{ port: -1 }, "port"],
        [{ port: 1.5 }, "port"],
        [{ host: "" }, "host"],
        [{ graceMs: -1 }, "graceMs"],
        [{ limits: { openStreams: 0 } }, "limits.openStreams"],
        [{ apiKeys: [""] }, "apiKeys"],
        [{ apiKeys: ["two words"] }, "apiKeys"]
      ] as const
    ) {
      await expect(serve(options), field).rejects.toMatchObject({ _tag: "SandboxSDKError", field })
    }
  })

  it("tell of a port that is taken", async () => {
    await using server = await start()
    await expect(start({ port: server.port })).rejects.toMatchObject({
      code: "invalid_config",
      field: "port",
      message: expect.stringContaining("EADDRINUSE")
    })
  })

  it("open the metrics, or hide them", async () => {
    await using open = await start({ metrics: "open" })
    expect((await fetch(`${open.url}/metrics`)).status).toBe(200)
    await using off = await start({ metrics: "off" })
    expectError(await clientOf(off.url).request("GET", "/metrics"), 404, "invalid_argument")
  })
})
