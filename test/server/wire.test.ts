/**
 * The table of the wire protocol, line by line, as a program sends it that imports nothing of ours.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { RunningServer } from "../../src/server.js"
import { ALICE, clientOf, eventually, expectError, start } from "./support.js"

let server: RunningServer
let request: ReturnType<typeof clientOf>["request"]
let sandbox: string
let id: string

beforeAll(async () => {
  server = await start()
  const client = clientOf(server.url)
  request = client.request
  sandbox = await client.sandbox({ templateId: "python", name: "wire", metadata: { suite: "wire" } })
  id = sandbox.slice("/api/sandboxes/".length)
})

afterAll(() => server.close())

const ok = async (method: string, path: string, body?: unknown) => {
  const answer = await request(method, path, body)
  expect(answer.status, answer.text).toBe(200)
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/)
  return answer.json
}

describe("sandboxes", () => {
  it("creates, lists, gets and deletes", async () => {
    const { sandbox } = await ok("POST", "/api/sandboxes/create", { templateId: "bash", initialEnvVars: { A: "1" } })
    expect(sandbox).toMatchObject({ id: expect.any(String), status: "ready", templateId: expect.any(String) })
    expect(sandbox.templateConfig).toMatchObject({ language: "bash" })
    expect((await ok("GET", "/api/sandboxes")).map((one: { id: string }) => one.id)).toEqual(
      expect.arrayContaining([id, sandbox.id])
    )
    expect(await ok("GET", `/api/sandboxes/${sandbox.id}`)).toEqual(sandbox)
    expect(await ok("GET", `/api/sandboxes/${sandbox.id}/status`)).toEqual({ status: "ready" })
    expect(await ok("GET", `/api/sandboxes/${sandbox.id}/metrics`)).toEqual({
      sandboxId: sandbox.id,
      timestamp: expect.any(Number),
      cpuCount: 1,
      cpuUsedPercent: expect.any(Number),
      cpuTimeMicros: expect.any(Number),
      memoryUsedBytes: expect.any(Number),
      memoryCacheBytes: expect.any(Number),
      memoryLimitBytes: 2 ** 30,
      diskUsedBytes: expect.any(Number),
      diskLimitBytes: 2 ** 32
    })
    expect(await ok("DELETE", `/api/sandboxes/${sandbox.id}`)).toEqual({ success: true })
    expect(await ok("DELETE", `/api/sandboxes/${sandbox.id}`)).toEqual({ success: true })
    expectError(await request("GET", `/api/sandboxes/${sandbox.id}`), 404, "not_found")
  })

  it("filters and pages the list", async () => {
    const ids = async (query: string) =>
      (await ok("GET", `/api/sandboxes?${query}`)).map((one: { id: string }) => one.id)
    expect(await ids(`metadata=${encodeURIComponent("{\"suite\":\"wire\"}")}`)).toEqual([id])
    expect(await ids("status=stopped")).toEqual([])
    expect(await ids("page=1&pageSize=1")).toEqual([id])
    expect(await ids("page=9&pageSize=1")).toEqual([])
    expectError(await request("GET", "/api/sandboxes?page=0"), 400, "invalid_argument")
    expectError(await request("GET", "/api/sandboxes?metadata=%7B"), 400, "invalid_argument")
    expectError(await request("GET", "/api/sandboxes?status=a&status=b"), 400, "invalid_argument")
  })

  it("stops, starts and extends", async () => {
    const { sandbox } = await ok("POST", "/api/sandboxes/create", { templateId: "bash", autoStart: true })
    const path = `/api/sandboxes/${sandbox.id}`
    expect(await ok("POST", `${path}/stop`)).toMatchObject({ status: "stopped" })
    expect(await ok("POST", `${path}/start`)).toMatchObject({ status: "ready" })
    const { expiresAt } = await ok("POST", `${path}/extend`, { ms: 3_600_000 })
    expect(expiresAt).toBeGreaterThan(Date.now() + 3_500_000)
    expectError(await request("POST", `${path}/extend`, { ms: -1 }), 400, "invalid_argument")
    await ok("DELETE", path)
  })

  it("says what is wrong with a request for one", async () => {
    expectError(await request("POST", "/api/sandboxes/create", { templateId: "cobol" }), 404, "template_not_found")
    const missing = await request("POST", "/api/sandboxes/create", {})
    expectError(missing, 400, "invalid_argument")
    expect(missing.json).toMatchObject({ field: "templateId", message: expect.stringContaining("templateId") })
  })
})

describe("code", () => {
  it("runs it, in the shape that clients parse", async () => {
    const answer = await ok("POST", `${sandbox}/execute`, {
      code: "import os, sys\nprint('out')\nprint('err', file=sys.stderr)\nos.environ['COLOR']",
      language: "python",
      envVars: { COLOR: "blue" },
      timeoutMs: 10_000
    })
    expect(answer).toEqual({
      logs: { stdout: ["out\n"], stderr: ["err\n"] },
      results: [{ is_main_result: true, text: "'blue'", json: "blue" }],
      executionCount: 1,
      metadata: {
        executionId: expect.any(String),
        sandboxId: id,
        contextId: expect.any(String),
        startTime: expect.any(Number),
        endTime: expect.any(Number),
        duration: expect.any(Number)
      }
    })
  })

  it("answers what the code raised, with the output before it", async () => {
    const answer = await ok("POST", `${sandbox}/execute`, { code: "print('before')\n1/0" })
    expect(answer).toMatchObject({
      logs: { stdout: ["before\n"] },
      results: [],
      error: { name: "ZeroDivisionError", value: "division by zero", traceback: expect.stringContaining("1/0") }
    })
  })

  it("answers 408 when the code takes too long, and has stopped it", async () => {
    const answer = await request("POST", `${sandbox}/execute`, {
      code: "print('began', flush=True)\nimport time\ntime.sleep(60)",
      timeoutMs: 300
    })
    expectError(answer, 408)
    expect(answer.json).toMatchObject({
      _tag: "TimeoutError",
      operation: "execution",
      timeoutMs: 300,
      execution: { logs: { stdout: ["began\n"] } }
    })
    expect((await ok("POST", `${sandbox}/execute`, { code: "1" })).results[0].text).toBe("1")
  })

  it("runs a command", async () => {
    expect(
      await ok("POST", `${sandbox}/terminal`, {
        command: "echo a; echo b >&2; echo $X; pwd; exit 3",
        envVars: { X: "y" },
        cwd: "/tmp",
        timeoutMs: 5_000
      })
    ).toEqual({ output: "a\nb\ny\n/tmp\n", exitCode: 3 })
  })

  it("runs jobs", async () => {
    const jobs = [{ id: "low", code: "1 + 1", priority: 1 }, { id: "high", code: "1/0", priority: 9, timeout: 5_000 }]
    for (const body of [{ jobs }, jobs]) {
      const results = await ok("POST", `${sandbox}/batch`, body)
      expect(results).toMatchObject([
        { jobId: "low", success: true, duration: expect.any(Number) },
        { jobId: "high", success: false, error: { _tag: "ExecutionError", name: "ZeroDivisionError" } }
      ])
      expect(results[0].execution.results[0].text).toBe("2")
    }
  })

  it("carries a trace into the sandbox", async () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c"
    const show = async (headers: Record<string, string>, envVars?: object) =>
      (await request(
        "POST",
        `${sandbox}/execute`,
        { code: "import os\nprint(os.environ.get('TRACEPARENT'))", envVars },
        headers
      )).json.logs.stdout[0]
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`
    expect(await show({ traceparent })).toMatch(new RegExp(`^00-${traceId}-(?!b7ad6b7169203331)[0-9a-f]{16}-01\n$`))
    expect(await show({ traceparent }, { TRACEPARENT: "mine" })).toBe("mine\n")
    expect(await show({})).toBe("None\n")
  })
})

describe("files", () => {
  it("writes, reads, lists and deletes", async () => {
    expect(await ok("POST", `${sandbox}/files?path=notes/a.txt`, { content: "h\u00e9llo" })).toEqual({
      path: "/workspace/notes/a.txt"
    })
    expect(await ok("GET", `${sandbox}/files?path=notes/a.txt`)).toEqual({ content: "h\u00e9llo" })
    expect(await ok("GET", `${sandbox}/files?path=notes/a.txt&encoding=base64`)).toEqual({ content: "aMOpbGxv" })
    expect(await ok("GET", `${sandbox}/files/list?path=notes`)).toMatchObject({
      directory: "/workspace/notes",
      files: [{ path: "/workspace/notes/a.txt", isDirectory: false, size: 6 }]
    })
    expect(await ok("GET", `${sandbox}/files/list`)).toMatchObject({ directory: "/workspace" })
    expect(await ok("GET", `${sandbox}/files/stat?path=notes`)).toMatchObject({ isDirectory: true })
    expect(await ok("POST", `${sandbox}/files/directory?path=x/y`, {})).toMatchObject({ path: "/workspace/x/y" })
    expect(await ok("POST", `${sandbox}/files/move`, { path: "notes/a.txt", to: "x/y/b.txt" })).toMatchObject({
      path: "/workspace/x/y/b.txt"
    })
    expect(await ok("DELETE", `${sandbox}/files?path=x`)).toEqual({ success: true })
    expectError(await request("GET", `${sandbox}/files?path=x`), 404, "file_not_found")
    expectError(await request("GET", `${sandbox}/files`), 400, "invalid_argument")
    expectError(
      await request("POST", `${sandbox}/files?path=no/such`, { content: "", createParents: false }),
      404,
      "file_not_found"
    )
    expectError(
      await request("GET", `${sandbox}/files?path=${encodeURIComponent("../etc/passwd")}`),
      422,
      "path_outside_workspace"
    )
  })

  it("takes and gives raw bytes", async () => {
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, index) => (index * 7) % 256)
    const put = await fetch(`${server.url}${sandbox}/files/content?path=raw.bin`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ALICE}` },
      body: bytes
    })
    expect(await put.json()).toEqual({ path: "/workspace/raw.bin" })
    const get = await fetch(`${server.url}${sandbox}/files/content?path=raw.bin`, {
      headers: { authorization: `Bearer ${ALICE}` }
    })
    expect(get.headers.get("content-type")).toBe("application/octet-stream")
    expect(Buffer.from(await get.arrayBuffer()).equals(Buffer.from(bytes))).toBe(true)
    expectError(await request("GET", `${sandbox}/files/content?path=none.bin`), 404, "file_not_found")
    const elsewhere = await fetch(`${server.url}/api/sandboxes/none/files/content?path=raw.bin`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ALICE}` },
      body: bytes
    })
    expect(elsewhere.status).toBe(404)
    expect(await elsewhere.json()).toMatchObject({ code: "not_found" })
  })
})

describe("contexts", () => {
  it("makes, lists, restarts and deletes them", async () => {
    const context = await ok("POST", `${sandbox}/contexts`, { language: "python", cwd: "/tmp" })
    expect(context).toMatchObject({ id: expect.any(String), sandboxId: id, language: "python", cwd: "/tmp" })
    expect((await ok("GET", `${sandbox}/contexts`)).map((one: { id: string }) => one.id)).toContain(context.id)
    await ok("POST", `${sandbox}/execute`, { code: "x = 1", contextId: context.id })
    expect(await ok("POST", `${sandbox}/contexts/${context.id}/restart`)).toMatchObject({ restarts: 1 })
    expect(await ok("POST", `/api/contexts/${context.id}/restart`)).toMatchObject({ restarts: 2 })
    expectError(await request("DELETE", `/api/sandboxes/none/contexts/${context.id}`), 404, "not_found")
    expect(await ok("DELETE", `${sandbox}/contexts/${context.id}`)).toEqual({ success: true })
    expectError(await request("DELETE", `${sandbox}/contexts/${context.id}`), 404, "context_not_found")
    const other = await ok("POST", `${sandbox}/contexts`, {})
    expect(await ok("DELETE", `/api/contexts/${other.id}`)).toEqual({ success: true })
    expectError(await request("POST", `/api/contexts/${other.id}/restart`), 404, "context_not_found")
  })

  it("refuses a context of another sandbox", async () => {
    const { sandbox: other } = await ok("POST", "/api/sandboxes/create", { templateId: "python" })
    const context = await ok("POST", `/api/sandboxes/${other.id}/contexts`, {})
    expectError(await request("DELETE", `${sandbox}/contexts/${context.id}`), 404, "context_not_found")
    await ok("DELETE", `/api/sandboxes/${other.id}`)
  })
})

describe("templates", () => {
  it("pages, gets, makes and deletes them", async () => {
    expect(await ok("GET", "/api/templates?page=1&pageSize=2")).toMatchObject({
      page: 1,
      pageSize: 2,
      total: expect.any(Number),
      templates: [{ id: expect.any(String) }, {}]
    })
    const python = await ok("GET", "/api/templates/python")
    const template = await ok("POST", "/api/templates", {
      name: "mine",
      language: "python",
      version: python.config.version,
      defaultEnvVars: { A: "b" }
    })
    expect(template).toMatchObject({ isPublic: false, config: { name: "mine" } })
    expect(await ok("DELETE", `/api/templates/${template.id}`)).toEqual({ success: true })
    expectError(await request("GET", `/api/templates/${template.id}`), 404, "template_not_found")
  })
})

describe("the server itself", () => {
  it("counts what this key did", async () => {
    await eventually(async () => (await ok("GET", "/api/metrics")).totalRequests > 0)
    expect(await ok("GET", "/api/metrics")).toEqual({
      totalRequests: expect.any(Number),
      successfulRequests: expect.any(Number),
      failedRequests: expect.any(Number),
      averageResponseTime: expect.any(Number),
      totalExecutionTime: expect.any(Number),
      activeSandboxes: expect.any(Number),
      lastUpdated: expect.stringMatching(/^\d{4}-/)
    })
  })

  it("shows metrics to who has a key, and no ids in them", async () => {
    const { headers, text } = await request("GET", "/metrics")
    expect(headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
    expect(text).toContain("sandbox_requests_total{")
    expect(text).not.toMatch(/sbx_|usr_|key/)
    const anonymous = await fetch(`${server.url}/metrics`)
    expect(anonymous.status).toBe(401)
  })

  it("is healthy without a key", async () => {
    const response = await fetch(`${server.url}/health`)
    expect(await response.json()).toEqual({ status: "ok", uptime: expect.any(Number) })
  })

  it("describes itself", async () => {
    const openapi = await (await fetch(`${server.url}/openapi.json`)).json()
    expect(openapi.openapi).toMatch(/^3\.1\./)
    const { content } = openapi.paths["/api/sandboxes/{id}/execute"].post.responses["200"]
    expect(content["text/event-stream"].itemSchema).toEqual({ $ref: "#/components/schemas/ExecutionRecord" })
    expect(openapi.paths["/api/sandboxes/{id}/files/content"].put.requestBody.content).toHaveProperty([
      "application/octet-stream"
    ])
    const text = JSON.stringify(openapi)
    for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(openapi.components.schemas, name).toHaveProperty([name])
      expect(name).toMatch(/^[\w.-]+$/)
    }
    const docs = await fetch(`${server.url}/docs`)
    expect(docs.headers.get("content-type")).toMatch(/^text\/html/)
    const page = await docs.text()
    expect(page).toContain("/api/sandboxes/{id}/execute")
    expect(page, "nothing is loaded from elsewhere").not.toMatch(/<(?:script|link)[^>]+(?:src|href)=/)
  })
})
