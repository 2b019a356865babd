import { describe, expect, it } from "vitest"
import { BOB, clientOf, eventually, expectError, start } from "./support.js"

it("lets what runs come to its end, and takes nothing new", async () => {
  const server = await start()
  const client = clientOf(server.url)
  const sandbox = await client.sandbox()
  const running = client.request("POST", `${sandbox}/execute`, {
    code: "import time\nopen('on', 'w').close()\ntime.sleep(0.7)\n'finished'"
  })
  await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=on`)).status === 200)
  const closed = server.close()
  await expect(fetch(`${server.url}/health`, { headers: { connection: "close" } })).rejects.toThrow()
  expect((await running).json.results[0].text).toBe("'finished'")
  await closed
})

it("ends streams with a typed failure when their time is over, and closes every connection", async () => {
  const server = await start({ graceMs: 300 })
  const client = clientOf(server.url)
  const sandbox = await client.sandbox()
  const forever = "print('began', flush=True)\nimport time\ntime.sleep(600)"
  const stream = await client.send("POST", `${sandbox}/execute`, { code: forever }, { accept: "application/x-ndjson" })
  const watch = await client.send("GET", `${sandbox}/files/watch`, undefined, { accept: "text/event-stream" })
  const answer = client.request("POST", `${sandbox}/terminal`, { command: "touch on; sleep 600" })
  await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=on`)).status === 200)
  await server.close()
  const records = (await stream.text()).split("\n").filter((line) => line !== "")
  expect(JSON.parse(records.at(-1) ?? "")).toMatchObject({
    _tag: "Failed",
    error: { _tag: "SandboxSDKError", code: "disconnected" }
  })
  expect(await watch.text()).toMatch(/data: \{"_tag":"Failed","error":\{.*"code":"disconnected".*\}\}\n\n$/)
  expect(await answer).toMatchObject({ status: 503, json: { _tag: "SandboxSDKError", code: "disconnected" } })
})

it("does not wait for those who only watch", async () => {
  const server = await start({ graceMs: 600_000 })
  const client = clientOf(server.url)
  const sandbox = await client.sandbox({ templateId: "bash" })
  const watch = await client.send("GET", `${sandbox}/files/watch`)
  await server.close()
  expect(await watch.text()).toContain("disconnected")
})

describe("a request with a key", () => {
  const running = async (accept: Record<string, string>) => {
    const server = await start()
    const client = clientOf(server.url)
    const sandbox = await client.sandbox({ templateId: "bash" })
    const answer = client.request("POST", `${sandbox}/terminal`, { command: "touch on; exec sleep 777" }, {
      "idempotency-key": "mine",
      ...accept
    })
    await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=on`)).status === 200)
    return { server, client, sandbox, answer }
  }

  for (const [name, accept] of [["an answer", {}], ["a stream", { accept: "application/x-ndjson" }]] as const) {
    it(`is stopped by another one, and told so: ${name}`, async () => {
      const { answer, client, sandbox, server } = await running(accept)
      const other = await clientOf(server.url, BOB).request("POST", "/api/requests/mine/stop")
      expect(other.json).toEqual({ stopped: false })
      expect((await client.request("POST", "/api/requests/mine/stop")).json).toEqual({ stopped: true })
      // Nothing of it is left when that is answered.
      const { json } = await client.request("POST", `${sandbox}/terminal`, { command: "pgrep -fc '[s]leep 777'" })
      expect(json.output).toBe("0\n")
      expect((await answer).text).toMatch(/"code":"disconnected"/)
      expect((await client.request("POST", "/api/requests/mine/stop")).json).toEqual({ stopped: false })
      await server.close()
    })
  }

  it("does not begin when it was stopped before it came", async () => {
    await using server = await start()
    const client = clientOf(server.url)
    const sandbox = await client.sandbox({ templateId: "bash" })
    await client.request("POST", "/api/requests/late/stop")
    const late = await client.request("POST", `${sandbox}/terminal`, { command: "touch ran" }, {
      "idempotency-key": "late"
    })
    expectError(late, 503, "disconnected")
    expectError(await client.request("GET", `${sandbox}/files/stat?path=ran`), 404, "file_not_found")
  })
})
