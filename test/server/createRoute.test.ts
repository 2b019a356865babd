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
const WAYS = ["/api/sandboxes/create", "/api/sandboxes/create/"]

const KEYED = [false, true]

/** How many sandboxes there may be: two of either way. */
const MOST = 4

/** But for what is another for each sandbox. */
const made = (answer: Answer) => {
  const { fields, text, ...rest } = shown(answer)
  const { sandbox: { createdAt: _c, expiresAt: _e, id: _i, startedAt: _s, updatedAt: _u, ...sandbox }, ...others } =
    JSON.parse(text)
  return { ...rest, ...others, sandbox, fields: { ...fields, "content-length": undefined } }
}

describe("requests that make a sandbox", () => {
  let server: Awaited<ReturnType<typeof start>>
  let count = 0

  beforeAll(async () => {
    server = await start({ quotas: { requestsPerMinute: 10_000, sandboxes: MOST } })
  })
  afterAll(() => server.close())

  /** With a key of its own for each, where there is one: they would be the same request otherwise. */
  const keyed = (isKeyed: boolean): Record<string, string> =>
    isKeyed ? { "idempotency-key": `create-route-${count++}` } : {}

  const both = async (body: unknown, isKeyed: boolean, headers = {}, of = clientOf(server.url)) => {
    const answers: Array<Answer> = []
    for (const way of WAYS) {
      answers.push(await of.request("POST", way, body, { ...keyed(isKeyed), ...headers }))
    }
    return answers
  }

  it.each([
    ["a template that is no text", { templateId: 1 }, {}],
    ["a template that is not there", { templateId: "none" }, {}],
    ["an environment that is a secret", { templateId: "python", initialEnvVars: { A: { secret: "s3cret" } } }, {}],
    ["no body", undefined, {}],
    ["a body of another type", { templateId: "python" }, { "content-type": "text/plain" }],
    ["a key that is too long", { templateId: "python" }, { "idempotency-key": "k".repeat(256) }],
    ["an origin", { templateId: 1 }, { origin: "http://example.org" }]
  ])("are answered as by the router: %s", async (_, body, headers) => {
    for (const isKeyed of KEYED) {
      const [past, by] = await both(body, isKeyed, headers)
      expect(past?.status).toBeGreaterThanOrEqual(400)
      expect(past && shown(past)).toEqual(by && shown(by))
      expect(past?.text).not.toContain("s3cret")
    }
  })

  it("are answered as by the router: a key of nobody", async () => {
    for (const isKeyed of KEYED) {
      const [past, by] = await both({ templateId: "python" }, isKeyed, {}, clientOf(server.url, "nobody"))
      expect(past?.status).toBe(401)
      expect(past && shown(past)).toEqual(by && shown(by))
    }
  })

  it("are answered as by the router: a body that is no JSON, and one that is too large", async () => {
    for (const isKeyed of KEYED) {
      for (const body of ["{", `"${"x".repeat(40 * 1024 * 1024)}"`]) {
        const answers = await Promise.all(WAYS.map(async (way) => {
          const response = await fetch(`${server.url}${way}`, {
            method: "POST",
            headers: { ...keyed(isKeyed), authorization: `Bearer ${ALICE}`, "content-type": "application/json" },
            body
          })
          const { error: _, ...json } = JSON.parse(await response.text())
          return { status: response.status, json }
        }))
        expect(answers[0]?.status).toBeGreaterThanOrEqual(400)
        expect(answers[0]).toEqual(answers[1])
      }
    }
  })

  it("make the same sandbox, tell the same of it, and are as many as may be", async () => {
    const options = { templateId: "python", metadata: { a: "b" } }
    for (const isKeyed of KEYED) {
      const [past, by] = await both(options, isKeyed)
      expect(past?.status).toBe(200)
      expect(past && made(past)).toEqual(by && made(by))
    }
    for (const isKeyed of KEYED) {
      const [past, by] = await both(options, isKeyed)
      expect(past?.json).toMatchObject({ _tag: "RateLimitError", limit: MOST })
      expect(past && shown(past)).toEqual(by && shown(by))
    }
    const client = clientOf(server.url)
    const { json } = await client.request("GET", "/api/sandboxes")
    for (const { id } of Array.isArray(json) ? json : []) {
      await client.request("DELETE", `/api/sandboxes/${id}`)
    }
  })

  it("are carried out once when they are made again with their key", async () => {
    const client = clientOf(server.url)
    const key = { "idempotency-key": "the-key-of-one-sandbox" }
    const once = await client.request("POST", WAYS[0] ?? "", { templateId: "python" }, key)
    const again = await client.request("POST", WAYS[0] ?? "", { templateId: "python" }, key)
    expect(once.status).toBe(200)
    expect(again.text).toBe(once.text)
    expect(again.headers.get("idempotent-replayed")).toBe("true")
    const other = await client.request("POST", WAYS[0] ?? "", { templateId: "javascript" }, key)
    expect(other.json).toMatchObject({ _tag: "SandboxSDKError", field: "idempotency-key" })
  })

  effect.scopedLive("have the spans that the router would give", () =>
    Effect.gen(function*() {
      const { layer, spans } = collectSpans()
      const server = layerServer({ port: 0, apiKeys: [Redacted.make(ALICE)] }).pipe(Layer.provide(layerLocal()))
      const { url } = Context.get(yield* Layer.build(Layer.provide(server, layer)), ServerAddress)
      const told: Array<unknown> = []
      // What is found out at the first has spans of its own.
      for (const isKeyed of [false, ...KEYED]) {
        for (const [index, way] of WAYS.entries()) {
          const from = spans.length
          const key: Record<string, string> = isKeyed ? { "idempotency-key": `create-route-${index}` } : {}
          yield* Effect.promise(() => clientOf(url).request("POST", way, { templateId: "none" }, key))
          told.push(
            spans.slice(from).map(({ attributes, kind, name }) => ({
              name,
              kind,
              route: attributes.get("http.route"),
              status: attributes.get("http.response.status_code")
            })).sort((one, other) => one.name < other.name ? -1 : 1)
          )
        }
      }
      const [, , past, by, keyedPast, keyedBy] = told
      expect(past).toEqual(by)
      expect(keyedPast).toEqual(keyedBy)
      expect(past).toContainEqual({
        name: "http.server POST",
        kind: "server",
        route: "/api/sandboxes/create",
        status: 404
      })
    }))
})
