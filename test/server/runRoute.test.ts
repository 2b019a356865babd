import { it as effect } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { collectSpans } from "../remote/spans.js"
import { ALICE, type Answer, clientOf, shown, start } from "./support.js"

/**
 * A path that ends with a slash is not taken past the router, and means the same: so each request has an answer of either way.
 */
const WAYS = ["", "/"]

const NDJSON = { accept: "application/x-ndjson" }

/** What was told, but for what is another each time, and whether it was in one piece: a run that is slow is not. */
const told = (answer: Answer) => ({
  ...shown(answer),
  fields: { ...shown(answer).fields, "content-length": undefined, "transfer-encoding": undefined },
  text: answer.text.trim().split("\n").map((line) => {
    const { duration: _d, executionId: _e, timestamp: _t, ...rest } = JSON.parse(line)
    return rest
  })
})

describe("requests that want events", () => {
  let server: Awaited<ReturnType<typeof start>>
  let path: string
  const client = () => clientOf(server.url)

  beforeAll(async () => {
    server = await start({ quotas: { requestsPerMinute: 10_000, concurrentExecutions: 4 } })
    path = await client().sandbox()
  })
  afterAll(() => server.close())

  const both = (route: string, body: unknown, headers: Record<string, string> = {}, of = client()) =>
    Promise.all(WAYS.map((end) => of.request("POST", `${route}${end}`, body, { ...NDJSON, ...headers })))

  it.each([
    ["code that is no text", "execute", { code: 1 }, {}],
    ["a property that is too small", "execute", { code: "1", timeoutMs: -1 }, {}],
    ["an environment that is a secret", "execute", { code: "1", envVars: { A: { secret: "s3cret" } } }, {}],
    ["no body", "terminal", undefined, {}],
    ["a command that is blank", "terminal", { command: " " }, {}],
    ["a body of another type", "execute", { code: "1" }, { "content-type": "text/plain" }],
    ["a malformed part", "execute", { code: "1" }, { "sandbox-segment": "many" }],
    ["a malformed reader", "execute", { code: "1" }, { "sandbox-segment": "1", "sandbox-reader": "a b" }],
    ["a key that is too long", "execute", { code: "1" }, { "idempotency-key": "k".repeat(256) }],
    ["a context that is not there", "execute", { code: "1", contextId: "ctx_none" }, {}],
    ["an origin", "execute", { code: 1 }, { origin: "http://example.org" }]
  ])("are answered as by the router: %s", async (_, name, body, headers) => {
    const [past, by] = await both(`${path}/${name}`, body, headers)
    expect(past?.status).toBeGreaterThanOrEqual(400)
    expect(past && shown(past)).toEqual(by && shown(by))
    expect(past?.text).not.toContain("s3cret")
  })

  it("are answered as by the router: a sandbox that is not there", async () => {
    const [past, by] = await both("/api/sandboxes/sbx_none/execute", { code: "1" })
    expect(past?.status).toBe(404)
    expect(past && shown(past)).toEqual(by && shown(by))
  })

  it("are answered as by the router: a key of nobody", async () => {
    const [past, by] = await both(`${path}/execute`, { code: "1" }, {}, clientOf(server.url, "nobody"))
    expect(past?.status).toBe(401)
    expect(past && shown(past)).toEqual(by && shown(by))
  })

  it("are answered as by the router: a body that is no JSON, and one that is too large", async () => {
    for (const body of ["{", `"${"x".repeat(40 * 1024 * 1024)}"`]) {
      const answers = await Promise.all(WAYS.map(async (end) => {
        const response = await fetch(`${server.url}${path}/execute${end}`, {
          method: "POST",
          headers: { ...NDJSON, authorization: "Bearer key-of-alice-5f2c", "content-type": "application/json" },
          body
        })
        const { error: _, ...json } = JSON.parse(await response.text())
        return { status: response.status, json }
      }))
      expect(answers[0]?.status).toBeGreaterThanOrEqual(400)
      expect(answers[0]).toEqual(answers[1])
    }
  })

  it.each([["execute", { code: "print('out'); 1 + 1" }], ["terminal", { command: "echo out; exit 3" }]])(
    "run the same, and tell the same: %s",
    async (name, body) => {
      for (const headers of [{}, { "sandbox-segment": "1000000", "sandbox-reader": "me" }]) {
        const past = await client().request("POST", `${path}/${name}`, body, { ...NDJSON, ...headers })
        const by = await client().request("POST", `${path}/${name}/`, body, { ...NDJSON, ...headers })
        expect(past?.status).toBe(200)
        const [first, second] = [past, by].map((answer) => answer && told(answer))
        const untold = (one: typeof first) =>
          one &&
          {
            ...one,
            text: one.text.filter(({ _tag }) => _tag !== "ExecutionCount").map(({ seq: _, ...rest }) => rest)
          }
        expect(untold(first)).toEqual(untold(second))
      }
    }
  )

  it("are known again by their key, whichever way they come", async () => {
    const key = { "idempotency-key": "the-key-of-one-run" }
    const code = { code: "n = globals().get('n', 0) + 1; print('times', n)" }
    const once = await client().request("POST", `${path}/execute`, code, { ...NDJSON, ...key })
    const again = await client().request("POST", `${path}/execute`, code, { ...NDJSON, ...key })
    expect(once.text).toContain("times 1")
    expect(again.text).toContain("times 1")
    const other = await client().request("POST", `${path}/execute`, { code: "2" }, { ...NDJSON, ...key })
    expect(other.json).toMatchObject({ _tag: "SandboxSDKError", field: "idempotency-key" })
  })

  effect.scopedLive("have the span that the router would give", () =>
    Effect.gen(function*() {
      const { layer, spans } = collectSpans()
      const server = layerServer({ port: 0, apiKeys: [Redacted.make(ALICE)] }).pipe(Layer.provide(layerLocal()))
      const { url } = Context.get(yield* Layer.build(Layer.provide(server, layer)), ServerAddress)
      for (const end of WAYS) {
        yield* Effect.promise(() =>
          clientOf(url).request("POST", `/api/sandboxes/sbx_none/terminal${end}`, { command: "true" }, NDJSON)
        )
      }
      const found = spans.filter(({ kind }) => kind === "server").map(({ attributes, name }) => ({
        name,
        route: attributes.get("http.route"),
        status: attributes.get("http.response.status_code"),
        sandbox: attributes.get("sandboxId")
      }))
      const one = { name: "http.server POST", route: "/api/sandboxes/:id/terminal", status: 404, sandbox: "sbx_none" }
      expect(found).toEqual([one, one])
    }))
})
