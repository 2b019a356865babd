/**
 * The class for promises over a server: its settings, its connection, and what it logs. What the server does is a stand-in
 * of a few lines here; the conformance suite runs the class over the real one.
 */
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { ConnectionError, SandboxSDK, SandboxSDKError, TimeoutError } from "../src/promise.js"

const KEY = "sk-promise-7d1f40c2"

/** A server with one page of no templates. */
const serve = async (port = 0) => {
  const requests: Array<string> = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    const isAllowed = request.headers.authorization === `Bearer ${KEY}`
    const error = { _tag: "SandboxSDKError", code: "unauthorized", message: "The API key is not known here." }
    response.writeHead(isAllowed ? 200 : 401, { "content-type": "application/json" })
    response.end(JSON.stringify(isAllowed ? { templates: [], total: 0, page: 1, pageSize: 1 } : error))
  })
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  const address = server.address()
  const at =
    (address !== null && typeof address === "object" ? address : assert.fail("no address")) satisfies AddressInfo
  return {
    port: at.port,
    url: `http://127.0.0.1:${at.port}`,
    requests,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => assert.fail("it should have been rejected"), (reason: unknown) => reason)

const thrown = (make: () => unknown): SandboxSDKError => {
  try {
    make()
  } catch (error) {
    return error instanceof SandboxSDKError && error._tag === "SandboxSDKError"
      ? error
      : assert.fail(`not one of the six: ${String(error)}`)
  }
  return assert.fail("it should have thrown")
}

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

describe("new SandboxSDK", () => {
  it("throws the typed error at once when a setting is missing or malformed, and shows no key", () => {
    const serverUrl = "http://localhost:1"
    const wrong: ReadonlyArray<readonly [field: string, options: unknown]> = [
      ["apiKey", undefined],
      ["apiKey", { serverUrl }],
      ["serverUrl", { apiKey: KEY }],
      ["serverUrl", { apiKey: KEY, serverUrl: "localhost" }],
      ["apiKey", { apiKey: `${KEY}\n`, serverUrl }],
      ["timeout", { apiKey: KEY, serverUrl, timeout: -1 }],
      ["logLevel", { apiKey: KEY, serverUrl, logLevel: "loud" }],
      ["api_key", { api_key: KEY, serverUrl }]
    ]
    for (const [field, options] of wrong) {
      const error = thrown(() => Reflect.construct(SandboxSDK, [options]))
      assert.deepStrictEqual({ code: error.code, field: error.field }, { code: "invalid_config", field })
      assert.notInclude(`${error.stack} ${JSON.stringify(error)}`, KEY)
    }
  })

  it("sends nothing before the first call, and then what the settings say", async () => {
    await using server = await serve()
    await using sdk = new SandboxSDK({ apiKey: KEY, serverUrl: server.url })
    assert.isFalse(sdk.isReady())
    assert.deepStrictEqual(server.requests, [])
    assert.deepStrictEqual((await sdk.getTemplates(1, 1)).templates, [])
    assert.deepStrictEqual(server.requests, ["GET /api/templates?page=1&pageSize=1"])
    assert.isTrue(sdk.isReady())
    assert.strictEqual(sdk.getMetrics().successfulRequests, 1)
  })
})

describe("SandboxSDK.fromEnv", () => {
  it("takes the variables of the process", async () => {
    await using server = await serve()
    vi.stubEnv("SANDBOX_API_KEY", KEY)
    vi.stubEnv("SANDBOX_SERVER_URL", server.url)
    await using sdk = SandboxSDK.fromEnv()
    await sdk.waitForConnection()
    assert.strictEqual(server.requests.length, 1)
  })

  it("takes variables that it is given, and no others then", async () => {
    await using server = await serve()
    vi.stubEnv("SANDBOX_API_KEY", "not-this-one")
    const variables = { SANDBOX_API_KEY: KEY, SANDBOX_SERVER_URL: server.url, SANDBOX_TIMEOUT: undefined }
    await using sdk = SandboxSDK.fromEnv(variables)
    await sdk.waitForConnection()
    assert.include(thrown(() => SandboxSDK.fromEnv({ SANDBOX_SERVER_URL: server.url })).message, "SANDBOX_API_KEY")
  })

  it("names the variable that is wrong", () => {
    const variables = { SANDBOX_API_KEY: KEY, SANDBOX_SERVER_URL: "http://localhost:1", SANDBOX_TIMEOUT: "soon" }
    const error = thrown(() => SandboxSDK.fromEnv(variables))
    assert.strictEqual(error.field, "timeout")
    assert.include(error.message, "SANDBOX_TIMEOUT")
    assert.notInclude(error.message, KEY)
  })
})

describe("waitForConnection", () => {
  const unused = async () => {
    await using server = await serve()
    return server.port
  }

  it("rejects with ConnectionError when there is no server", async () => {
    await using sdk = new SandboxSDK({ apiKey: KEY, serverUrl: `http://127.0.0.1:${await unused()}`, maxRetries: 0 })
    assert.instanceOf(await rejection(sdk.waitForConnection()), ConnectionError)
    assert.isFalse(sdk.isReady())
  })

  it("goes on trying with a time limit: until there is a server, or the time is up", async () => {
    const port = await unused()
    await using sdk = new SandboxSDK({ apiKey: KEY, serverUrl: `http://127.0.0.1:${port}`, maxRetries: 0 })
    const late = await rejection(sdk.waitForConnection(50))
    assert.instanceOf(late, TimeoutError)
    assert.strictEqual(late.operation, "connect")
    const connection = sdk.waitForConnection(30_000)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await using server = await serve(port)
    await connection
    assert.isTrue(sdk.isReady())
    assert.strictEqual(server.requests.length, 1)
  })

  it("rejects at once when the key is wrong", async () => {
    await using server = await serve()
    await using sdk = new SandboxSDK({ apiKey: "sk-wrong", serverUrl: server.url })
    const reason = await rejection(sdk.waitForConnection(30_000))
    assert.instanceOf(reason, SandboxSDKError)
    assert.strictEqual(reason.code, "unauthorized")
    assert.isFalse(sdk.isReady())
  })

  it("is no longer ready when the connection is lost", async () => {
    const server = await serve()
    await using sdk = new SandboxSDK({ apiKey: KEY, serverUrl: server.url, maxRetries: 0 })
    await sdk.waitForConnection()
    await server[Symbol.asyncDispose]()
    assert.instanceOf(await rejection(sdk.getTemplates()), ConnectionError)
    assert.isFalse(sdk.isReady())
  })
})

describe("logging and metrics", () => {
  const spy = () => {
    const lines: Array<string> = []
    for (const method of ["log", "info", "warn", "error", "debug"] as const) {
      vi.spyOn(console, method).mockImplementation((...args) => void lines.push(args.map(String).join(" ")))
    }
    return lines
  }

  it("says nothing unless it is asked to", async () => {
    const lines = spy()
    await using server = await serve()
    await using sdk = new SandboxSDK({ apiKey: KEY, serverUrl: server.url, logLevel: "debug" })
    await sdk.getTemplates()
    assert.deepStrictEqual(lines, [])
  })

  it("logs lines of JSON from the level of the settings upwards, without the key", async () => {
    const lines = spy()
    await using server = await serve()
    const settings = { apiKey: KEY, serverUrl: server.url, enableLogging: true } as const
    await using quiet = new SandboxSDK({ ...settings, logLevel: "error" })
    await quiet.getTemplates()
    assert.deepStrictEqual(lines, [])
    await using sdk = new SandboxSDK({ ...settings, logLevel: "debug" })
    await sdk.getTemplates()
    const records: ReadonlyArray<unknown> = lines.map((line): unknown => JSON.parse(line))
    assert.isAbove(records.length, 0)
    for (const record of records) {
      assert.hasAnyKeys(record, ["level"])
      assert.propertyVal(record, "operation", "getTemplates")
    }
    assert.notInclude(lines.join("\n"), KEY)
  })

  it("reports the metrics over and over, until it is disconnected", async () => {
    const lines = spy()
    await using server = await serve()
    const sdk = new SandboxSDK({
      apiKey: KEY,
      serverUrl: server.url,
      enableLogging: true,
      enableMetrics: true,
      metricsInterval: 10
    })
    await sdk.getTemplates()
    await vi.waitUntil(() => lines.filter((line) => line.includes("\"totalRequests\":1")).length >= 2)
    await sdk.disconnect()
    const count = lines.length
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.strictEqual(lines.length, count)
  })
})
