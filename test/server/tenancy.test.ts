/**
 * What the holder of one API key can learn of another: nothing, by any route, and by any route that is yet to come: they
 * are taken from `Api`.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Api } from "../../src/Api.js"
import type { RunningServer } from "../../src/server.js"
import { operationsOf, sample } from "./requests.js"
import { ALICE, type Answer, BOB, clientOf, eventually, expectError, start } from "./support.js"

const METRICS_KEY = "key-of-the-monitoring-66d0"

let server: RunningServer
let alice: ReturnType<typeof clientOf>
let bob: ReturnType<typeof clientOf>
let document: any

/** What there is of one user, by the kind of its id. */
interface Things {
  readonly sandbox: string
  readonly context: string
  readonly template: string
  readonly snapshot: string
  /** The `Idempotency-Key` of a request that is being answered, and what it runs. */
  readonly request: string
  readonly execution: string
}

type Kind = keyof Things

let hers: Things
let his: Things
const running = new AbortController()

/** What a parameter of a path, or a field of a body, is the id of. A new one has to be added here. */
const kindOf = (name: string, path: string): Kind => {
  const kinds: Readonly<Record<string, Kind | undefined>> = {
    id: (["templates", "sandboxes", "snapshots"] as const)
      .filter((group) => path.startsWith(`/api/${group}`))
      .map((group): Kind => group === "sandboxes" ? "sandbox" : group === "templates" ? "template" : "snapshot")[0],
    contextId: "context",
    templateId: "template",
    executionId: "execution",
    key: "request"
  }
  const kind = kinds[name]
  if (kind === undefined) {
    throw new Error(`What is ${name} in ${path}? Say it here, and make one in makeThings.`)
  }
  return kind
}

/** An id of the same form that nobody has ever had. */
const unused = (id: string): string => id.replace(/[a-z2-7]{20}$|[^_]+$/, (random) => "q".repeat(random.length))

const makeThings = async (client: ReturnType<typeof clientOf>, name: string): Promise<Things> => {
  const path = await client.sandbox({ templateId: "python", name: `the sandbox of ${name}`, metadata: { of: name } })
  await client.request("POST", `${path}/files?path=f`, { content: `the file of ${name}` })
  const { json: context } = await client.request("POST", `${path}/contexts`, {})
  const { json: bash } = await client.request("GET", "/api/templates/bash")
  const { json: template } = await client.request("POST", "/api/templates", { ...bash.config, name: `${name}s own` })
  const { json: snapshot } = await client.request("POST", `${path}/snapshots`, {})
  const request = `request-of-${name}`
  const response = await client.send(
    "POST",
    `${path}/terminal`,
    { command: "sleep 1000" },
    { accept: "application/x-ndjson", "idempotency-key": request },
    running.signal
  )
  const first = await response.body?.getReader().read()
  const { executionId } = JSON.parse(new TextDecoder().decode(first?.value).split("\n")[0] ?? "")
  return {
    sandbox: path.slice("/api/sandboxes/".length),
    context: context.id,
    template: template.id,
    snapshot: snapshot.id,
    request,
    execution: executionId
  }
}

beforeAll(async () => {
  server = await start({ quotas: { requestsPerMinute: Infinity }, metricsKey: METRICS_KEY })
  alice = clientOf(server.url)
  bob = clientOf(server.url, BOB)
  document = await (await fetch(`${server.url}/openapi.json`)).json()
  hers = await makeThings(alice, "alice")
  his = await makeThings(bob, "bob")
})

afterAll(async () => {
  running.abort()
  await server.close()
})

const routes = (() => {
  const found: Array<{ readonly method: string; readonly path: string; readonly names: ReadonlyArray<string> }> = []
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint: { method, path } }) => {
      const names = [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => name)
      // A port is no id.
      found.push({ method, path, names: names.filter((name) => name !== "port") })
    }
  })
  return found
})()

const operationOf = (method: string, path: string): any => {
  const template = path.replace(/:(\w+)/g, "{$1}")
  return operationsOf(document).find((one) => one.method === method && one.template === template)?.description
}

/** A request that is right but for its ids. */
const send = async (
  method: string,
  path: string,
  ids: ReadonlyMap<string, string>,
  change: object = {},
  accept = "application/json"
): Promise<Answer> => {
  const { parameters = [], requestBody } = operationOf(method, path)
  const query = parameters.filter((one: any) => one.in === "query" && one.required).map((one: any) => `${one.name}=f`)
  const url = path.replace(/:(\w+)/g, (_, name: string) => ids.get(name) ?? "8000") +
    (query.length === 0 ? "" : `?${query.join("&")}`)
  const schema = requestBody?.content["application/json"]?.schema
  // What is started has to be named, one way or the other: no schema says so.
  const body = path.endsWith("/processes") ? { command: "true" } : sample(document, schema)
  const response = await fetch(server.url + url, {
    method,
    headers: {
      authorization: `Bearer ${BOB}`,
      accept,
      ...(requestBody === undefined
        ? {}
        : { "content-type": schema === undefined ? "application/octet-stream" : "application/json" })
    },
    ...(requestBody === undefined
      ? {}
      : {
        body: schema === undefined
          ? "bytes"
          : JSON.stringify({ ...(Array.isArray(body) ? { jobs: body } : body), ...change })
      })
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: text.startsWith("{") ? JSON.parse(text) : undefined
  }
}

/** All of an answer that an id can have an influence on. */
const shapeOf = ({ headers, status, text }: Answer, ids: Iterable<string>) => {
  const told: Array<string> = []
  headers.forEach((value, name) => {
    if (!/^(date|x-ratelimit-\w+|content-length)$/.test(name)) {
      told.push(`${name}: ${value}`)
    }
  })
  let body = text
  for (const id of ids) {
    body = body.replaceAll(id, "ID")
  }
  return { status, headers: told, body }
}

/** Every way to make some of the ids those of somebody else, where the others are one's own. */
const combinations = (names: ReadonlyArray<string>): ReadonlyArray<ReadonlySet<string>> =>
  names.reduce<ReadonlyArray<ReadonlySet<string>>>(
    (sets, name) => [...sets, ...sets.map((set) => new Set([...set, name]))],
    [new Set<string>()]
  ).filter((set) => set.size > 0)

const fingerprint = async () => {
  const path = `/api/sandboxes/${hers.sandbox}`
  const { updatedAt: _, ...info } = (await alice.request("GET", path)).json
  const files = await alice.request("POST", `${path}/terminal`, {
    command: "find . -printf '%p %s %m %T@\\n' | sort; cat f; pgrep -c sleep"
  })
  return {
    info,
    files: files.json.output,
    contexts: (await alice.request("GET", `${path}/contexts`)).json,
    sandboxes: (await alice.request("GET", "/api/sandboxes")).json.length,
    templates: (await alice.request("GET", "/api/templates?pageSize=100")).json
  }
}

describe("what is somebody else's is as if it were not there", () => {
  const cases = routes.flatMap(({ method, names, path }) =>
    combinations(names).flatMap((foreign) =>
      ["application/json", "application/x-ndjson"].map((accept) => ({ method, path, names, foreign, accept }))
    )
  )

  it("by its id in a path", async () => {
    const before = await fingerprint()
    expect(cases.length).toBeGreaterThan(50)
    for (const { accept, foreign, method, names, path } of cases) {
      const what = `${method} ${path}, ${[...foreign].join(" and ")} of another, ${accept}`
      const idsWith = (strange: (id: string) => string) =>
        new Map(names.map((name) => {
          const kind = kindOf(name, path)
          return [name, foreign.has(name) ? strange(hers[kind]) : his[kind]]
        }))
      const ids = idsWith((id) => id)
      const none = idsWith(unused)
      const answer = await send(method, path, ids, {}, accept)
      const expected = await send(method, path, none, {}, accept)
      expect(shapeOf(answer, ids.values()), what).toEqual(shapeOf(expected, none.values()))
      // Deleting and stopping what is not there succeeds, and does nothing.
      if (answer.status !== 200) {
        expect(answer.status, what).toBe(404)
      } else {
        expect(["{\"success\":true}", "{\"stopped\":false}"], what).toContain(answer.text)
      }
    }
    expect(await fingerprint()).toEqual(before)
  })

  it("by its id in a body", async () => {
    let count = 0
    for (const { method, names, path } of routes) {
      const schema = operationOf(method, path)?.requestBody?.content["application/json"]?.schema
      const fields = new Set(
        [...JSON.stringify(resolved(schema)).matchAll(/"(\w+Id)":\{/g)].map(([, name = ""]) => name)
      )
      for (const field of fields) {
        const ids = new Map(names.map((name) => [name, his[kindOf(name, path)]]))
        const id = hers[kindOf(field, path)]
        const bodyWith = (id: string) =>
          path.endsWith("/batch") ? { jobs: [{ id: "one", code: "1" }], [field]: id } : { [field]: id }
        const answer = await send(method, path, ids, bodyWith(id))
        const expected = await send(method, path, ids, bodyWith(unused(id)))
        const times = (text: string) => text.replace(/"(duration|startTime|endTime)":\d+/g, "\"$1\":0")
        expect(times(shapeOf(answer, [id]).body), `${field} of ${path}`).toBe(
          times(shapeOf(expected, [unused(id)]).body)
        )
        expect(answer.text, `${field} of ${path}`).toContain("not_found")
        count += 1
      }
    }
    expect(count).toBeGreaterThan(2)
  })
})

const resolved = (schema: any): any =>
  schema?.$ref === undefined
    ? schema !== null && typeof schema === "object"
      ? Array.isArray(schema)
        ? schema.map(resolved)
        : Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value)]))
      : schema ?? null
    : resolved(document.components.schemas[schema.$ref.split("/").at(-1)])

describe("nothing that is told to one counts what others have", () => {
  /** What a stranger is told that has done nothing yet, by all routes that say something without an id. */
  const tell = async (client: ReturnType<typeof clientOf>) => {
    const paths = [
      ...routes.filter(({ method, names }) => method === "GET" && names.length === 0).map(({ path }) => path)
    ]
    const answers = await Promise.all([...paths, "/docs", "/openapi.json"].map((path) => client.request("GET", path)))
    return answers.map(({ text }) =>
      text.replace(/"uptime":[\d.]+/, "").replace(/"lastUpdated":"[^"]*"/, "").replace(
        /"(totalRequests|successfulRequests|averageResponseTime)":[\d.]+/g,
        ""
      ).replace(/^sandbox_request.*$/gm, "")
    )
  }

  it("by lists, usage, metrics, health and documentation", async () => {
    await server.addKey("key-of-carol")
    const carol = clientOf(server.url, "key-of-carol")
    const before = await tell(carol)
    const more = await makeThings(alice, "alices second")
    expect(await tell(carol)).toEqual(before)
    await alice.request("DELETE", `/api/sandboxes/${more.sandbox}`)
    await alice.request("DELETE", `/api/templates/${more.template}`)
    expect(before.join("\n")).toContain("sandbox_active_sandboxes 0\n")
  })

  it("by metrics, which only the key of the monitoring opens as a whole, and which name nobody", async () => {
    const own = await alice.request("GET", "/metrics")
    expect(own.text).toContain("sandbox_active_sandboxes 1\n")
    const all = await clientOf(server.url, METRICS_KEY).request("GET", "/metrics")
    expect(all.text).toMatch(/^sandbox_active_sandboxes\{component="engine"\} 2$/m)
    expect(all.text).toContain("operation=\"createSandbox\"")
    const users = [alice, bob].map(async ({ request }) => (await request("GET", "/api/sandboxes")).json[0].userId)
    const secrets = [
      ...Object.values(hers),
      ...Object.values(his),
      ALICE,
      BOB,
      METRICS_KEY,
      ...await Promise.all(users)
    ]
    const docs = await Promise.all(
      ["/docs", "/openapi.json", "/health"].map(async (path) => (await fetch(server.url + path)).text())
    )
    for (const text of [own.text, all.text, ...docs]) {
      for (const secret of secrets) {
        expect(text).not.toContain(secret)
      }
    }
    // It is a key for this alone.
    expectError(await clientOf(server.url, METRICS_KEY).request("GET", "/api/sandboxes"), 401, "unauthorized")
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401)
  })

  it("by quotas: who uses up all that is theirs leaves the others as much as before", async () => {
    await using server = await start({
      quotas: { sandboxes: 1, concurrentExecutions: 1, storageBytes: 500_000 },
      limits: { openStreams: 1 }
    })
    const alice = clientOf(server.url)
    const bob = clientOf(server.url, BOB)
    const stop = new AbortController()
    const use = async (client: typeof alice) => {
      const path = await client.sandbox({ templateId: "bash" })
      expect((await client.request("POST", `${path}/files?path=f`, { content: "x".repeat(300_000) })).status).toBe(200)
      const accept = { accept: "application/x-ndjson" }
      const { status } = await client.send("POST", `${path}/terminal`, { command: "sleep 1000" }, accept, stop.signal)
      expect(status).toBe(200)
      expectError(await client.request("POST", "/api/sandboxes/create", { templateId: "bash" }), 429)
      await eventually(async () => (await client.request("POST", `${path}/terminal`, { command: "ls" })).status === 429)
      expectError(await client.request("GET", `${path}/files/watch`), 429)
      const full = await client.request("POST", `${path}/files?path=g`, { content: "x".repeat(300_000) })
      expectError(full, 507, "quota_exceeded")
      return full.json.message
    }
    const messages = [await use(alice), await use(bob)]
    expect(messages[0]).toBe(messages[1])
    stop.abort()
  })
})
