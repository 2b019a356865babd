/**
 * What the published clients do not ask for, or ask for wrongly, of metrics: by plain requests.
 */
import { Sandbox } from "@e2b/code-interpreter"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { RunningServer } from "../../../src/server.js"
import { start } from "../support.js"

const KEY = `e2b_${"5f2c".repeat(10)}`

let server: RunningServer
let sandbox: Sandbox

beforeAll(async () => {
  server = await start({ apiKeys: [KEY], e2b: true })
  sandbox = await Sandbox.create({ apiKey: KEY, apiUrl: server.url, sandboxUrl: server.url })
})

afterAll(() => server.close())

const ask = async (path: string, headers: Record<string, string> = { "X-API-Key": KEY }) => {
  const response = await fetch(server.url + path, { headers })
  return { status: response.status, body: await response.json() }
}

const measured = {
  timestamp: expect.stringMatching(/Z$/),
  timestampUnix: expect.any(Number),
  cpuCount: 1,
  cpuUsedPct: expect.any(Number),
  memUsed: expect.any(Number),
  memTotal: 2 ** 30,
  memCache: expect.any(Number),
  diskUsed: expect.any(Number),
  diskTotal: 2 ** 32
}

describe("metrics", () => {
  it("of a span of time: the present, if it is in it", async () => {
    const path = `/sandboxes/${sandbox.sandboxId}/metrics`
    const now = Math.round(Date.now() / 1_000)
    expect(await ask(path)).toEqual({ status: 200, body: [measured] })
    expect((await ask(`${path}?start=${now - 60}&end=${now}`)).body).toHaveLength(1)
    expect((await ask(`${path}?end=${now - 60}`)).body).toEqual([])
    expect((await ask(`${path}?start=${now + 60}`)).body).toEqual([])
    expect((await ask(`${path}?start=yesterday`)).status).toBe(400)
  })

  it("of several sandboxes, without those that are not there", async () => {
    const id = sandbox.sandboxId
    const both = await ask(`/sandboxes/metrics?sandbox_ids=${id},sbx_nowhere`)
    expect(both).toEqual({ status: 200, body: { sandboxes: { [id]: measured } } })
    expect((await ask("/sandboxes/metrics")).status).toBe(400)
    const many = Array.from({ length: 101 }, (_, at) => `sbx_${at}`).join()
    expect((await ask(`/sandboxes/metrics?sandbox_ids=${many}`)).body.message).toMatch(/sandbox_ids.*100/)
  })

  it("as the sandbox itself tells them", async () => {
    const { body, status } = await ask("/metrics", {
      "E2b-Sandbox-Id": sandbox.sandboxId,
      "X-Access-Token": String(Reflect.get(sandbox, "envdAccessToken"))
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ cpu_count: 1, mem_total: 2 ** 30, mem_total_mib: 1_024, disk_total: 2 ** 32 })
  })

  it("are not for others", async () => {
    expect((await ask(`/sandboxes/${sandbox.sandboxId}/metrics`, {})).status).toBe(401)
    expect((await ask("/metrics", { "E2b-Sandbox-Id": sandbox.sandboxId })).status).toBe(401)
  })
})
