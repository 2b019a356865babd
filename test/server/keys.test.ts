import { Chunk, Effect, Layer, Logger, LogLevel, Redacted, Ref } from "effect"
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { layerLocal } from "../../src/local.js"
import { ApiKeys, layerServer, serve, ServerAddress, type ServerOptions } from "../../src/server.js"
import { make as makeKeys } from "../../src/server/ApiKeys.js"
import { ALICE, BOB, clientOf, eventually, expectError, start } from "./support.js"

/**
 * A body that never ends. It waits before each piece: once a request is cut off, `fetch` of Node goes on reading its body, and
 * never gets to anything else if that never waits.
 */
const endless = () =>
  new ReadableStream({
    pull: async (to) => {
      await new Promise((resolve) => setImmediate(resolve))
      to.enqueue(new Uint8Array(1_000))
    }
  })

describe("API keys", () => {
  it("are needed, and must be known", async () => {
    await using server = await start()
    for (
      const authorization of [
        undefined,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        `Basic ${ALICE}`,
        ALICE,
        `Bearer ${ALICE}x`
      ]
    ) {
      const response = await fetch(`${server.url}/api/sandboxes`, {
        headers: authorization === undefined ? {} : { authorization }
      })
      expect(response.status, authorization).toBe(401)
      expect(response.headers.get("www-authenticate")).toBe("Bearer")
      expect(await response.json()).toMatchObject({ _tag: "SandboxSDKError", code: "unauthorized" })
    }
  })

  it("see nothing of one another", async () => {
    await using server = await start()
    const alice = clientOf(server.url)
    const bob = clientOf(server.url, BOB)
    const sandbox = await alice.sandbox({ templateId: "bash" })
    const context = (await alice.request("POST", `${sandbox}/contexts`, {})).json.id
    const { config } = (await alice.request("GET", "/api/templates/bash")).json
    const template = (await alice.request("POST", "/api/templates", { ...config, name: "hers" })).json.id

    expect((await bob.request("GET", "/api/sandboxes")).json).toEqual([])
    for (
      const [method, path, body] of [
        ["GET", sandbox],
        ["GET", `${sandbox}/status`],
        ["POST", `${sandbox}/execute`, { code: "1" }],
        ["POST", `${sandbox}/terminal`, { command: "ls" }],
        ["POST", `${sandbox}/batch`, { jobs: [] }],
        ["POST", `${sandbox}/stop`],
        ["POST", `${sandbox}/start`],
        ["POST", `${sandbox}/extend`, { ms: 1 }],
        ["GET", `${sandbox}/files?path=a`],
        ["GET", `${sandbox}/files/list`],
        ["GET", `${sandbox}/files/watch`],
        ["GET", `${sandbox}/files/content?path=a`],
        ["POST", `${sandbox}/files?path=a`, { content: "" }],
        ["GET", `${sandbox}/contexts`]
      ] as const
    ) {
      expectError(await bob.request(method, path, body), 404, "not_found")
    }
    expectError(await bob.request("DELETE", `/api/contexts/${context}`), 404, "context_not_found")
    expectError(await bob.request("GET", `/api/templates/${template}`), 404, "template_not_found")
    expect((await bob.request("DELETE", sandbox)).status).toBe(200)
    expect((await alice.request("GET", sandbox)).json.status).toBe("ready")
    const totals = await Promise.all([alice, bob].map((one) => one.request("GET", "/api/metrics")))
    expect(totals.map(({ json }) => json.activeSandboxes)).toEqual([1, 0])
  })

  it("come and go at run time, several of them for one user", async () => {
    await using server = await serve({ port: 0, apiKeys: [{ key: Redacted.make("first"), user: "carol" }] })
    const sandbox = await clientOf(server.url, "first").sandbox({ templateId: "bash" })
    const second = clientOf(server.url, "second")
    expectError(await second.request("GET", sandbox), 401, "unauthorized")
    const { id, user } = await server.addKey({ key: Redacted.make("second"), user: "carol" })
    expect(user).toBe("carol")
    expect(id).not.toContain("second")
    expect((await second.request("GET", sandbox)).json.userId).toBe("carol")
    expect(await server.revokeKey(id)).toBe(true)
    expect(await server.revokeKey(id)).toBe(false)
    expectError(await second.request("GET", sandbox), 401, "unauthorized")
  })

  it("are known by their hashes as well, so that no key need be on the server", async () => {
    const hash = `sha256:${createHash("sha256").update("the key itself").digest("hex")}`
    await using server = await serve({ port: 0, apiKeys: [{ hash, user: "carol" }] })
    expect((await clientOf(server.url, "the key itself").request("GET", "/api/sandboxes")).status).toBe(401)
    const digest = createHash("sha256").update("the-key-itself").digest("hex")
    const byHash = await server.addKey({ hash: `sha256:${digest.toUpperCase()}` })
    const sandbox = await clientOf(server.url, "the-key-itself").sandbox({ templateId: "bash" })
    expect((await clientOf(server.url, "the-key-itself").request("GET", sandbox)).json.userId).toBe(byHash.user)
    expect((await clientOf(server.url, digest).request("GET", "/api/sandboxes")).status).toBe(401)
    expect(await server.addKey("the-key-itself"), "the same key, and the same user").toEqual(byHash)
    for (const [key, message] of [[{ hash: "sha256:12" }, /64 hexadecimal/], [{ hash: digest }, /sha256:/]] as const) {
      await expect(server.addKey(key)).rejects.toMatchObject({ code: "invalid_config", message })
    }
    const user = "a\nb"
    await expect(server.addKey({ hash: `sha256:${digest}`, user })).rejects.toMatchObject({ field: "apiKeys" })
  })

  it("that are revoked are cut off at once in all that they do, and what they run ends", async () => {
    await using server = await serve({ port: 0, apiKeys: [{ key: Redacted.make("stays"), user: "carol" }] })
    const { id } = await server.addKey({ key: Redacted.make("goes"), user: "carol" })
    const goes = clientOf(server.url, "goes")
    const stays = clientOf(server.url, "stays")
    const sandbox = await goes.sandbox({ templateId: "python" })
    const ndjson = { accept: "application/x-ndjson" }
    const command = (mark: string) => ({ command: `echo begun; exec -a ${mark}-${process.pid} sleep 1000` })
    const kept = await stays.send("POST", `${sandbox}/terminal`, command("kept"), ndjson)
    const streams = await Promise.all([
      goes.send("POST", `${sandbox}/terminal`, command("stream"), ndjson),
      goes.send("POST", `${sandbox}/terminal`, command("events"), { accept: "text/event-stream" }),
      goes.send("POST", `${sandbox}/execute`, { code: "import time\nprint(1)\nwhile True: time.sleep(0.01)" }, ndjson),
      goes.send("GET", `${sandbox}/files/watch`)
    ])
    const plain = goes.request("POST", `${sandbox}/terminal`, command("plain"))
    expect((await goes.request("POST", `${sandbox}/processes`, command("process"))).status).toBe(200)
    const upload = fetch(`${server.url}${sandbox}/files/content?path=never`, {
      method: "PUT",
      headers: { authorization: "Bearer goes" },
      body: endless(),
      // @ts-expect-error: fetch of Node wants it for streams, its types do not know it.
      duplex: "half"
    }).then((response) => response.status, () => "broken off")
    const running = async () => {
      const { json } = await stays.request("POST", `${sandbox}/terminal`, {
        command: "ps -eo args || cat /proc/[0-9]*/cmdline"
      })
      return ["kept", "stream", "events", "plain", "process"].filter((mark) =>
        json.output.includes(`${mark}-${process.pid}`)
      )
    }
    await eventually(async () => (await running()).length === 5)
    expect(await server.revokeKey(id)).toBe(true)
    // Over by the time that the key is, not some time after.
    expect(await running()).toEqual(["kept"])
    for (const [index, stream] of streams.entries()) {
      const last = (await stream.text()).trim().split("\n").at(-1) ?? ""
      expect(last, `stream ${index}`).toMatch(/"_tag":"Failed".*revoked.*"code":"unauthorized"/)
    }
    expectError(await plain, 401, "unauthorized")
    expect([401, "broken off"]).toContain(await upload)
    const { json } = await stays.request("POST", `${sandbox}/execute`, { code: "import os; sorted(os.listdir())" })
    expect(json.results[0].text).toBe("[]")
    expectError(await goes.request("GET", sandbox), 401, "unauthorized")
    await kept.body?.cancel()
  })

  it("are exchanged as a whole, or not at all", async () => {
    const key = (text: string, user?: string) => ({ key: Redacted.make(text), user })
    const program = Effect.gen(function*() {
      const keys = yield* makeKeys([key("a", "one"), key("b")])
      const [a, b] = yield* keys.list
      const ended: Array<string> = []
      for (const known of [a, b]) {
        yield* keys.whileKnown(known?.id ?? "", Effect.sync(() => ended.push(known?.user ?? "")))
      }
      const refused = yield* Effect.flip(keys.replace([key("c"), key("not one")]))
      expect([refused.code, yield* keys.list, ended]).toEqual(["invalid_config", [a, b], []])
      const { added, revoked } = yield* keys.replace([key("a", "two"), key("b"), key("c")])
      expect([revoked, ended]).toEqual([[a], ["one"]])
      expect(added.map(({ user }) => user)).toEqual(["two", expect.stringMatching(/^usr_/)])
      expect((yield* keys.verify(Redacted.make("a"))).user).toBe("two")
      expect((yield* Effect.flip(keys.whileKnown("key_none", Effect.void))).code).toBe("unauthorized")
      yield* keys.replace([])
      expect(ended).toEqual(["one", b?.user])
      expect([yield* keys.list, yield* keys.required]).toEqual([[], true])
    })
    await Effect.runPromise(Effect.scoped(program))
  })

  it("stay necessary when all of them are revoked", async () => {
    await using server = await serve({ port: 0 })
    const anonymous = await fetch(`${server.url}/api/sandboxes`)
    expect(anonymous.status).toBe(200)
    const { id } = await server.addKey("only")
    await server.revokeKey(id)
    expect((await fetch(`${server.url}/api/sandboxes`)).status).toBe(401)
  })

  it("are the same user after a restart", async () => {
    const userOf = async () => {
      await using server = await start()
      return (await clientOf(server.url).request("POST", "/api/sandboxes/create", { templateId: "bash" })).json.sandbox
        .userId
    }
    expect(await userOf()).toBe(await userOf())
  })

  it("are in no log, no error and no answer", async () => {
    const key = "sk-never-to-be-seen-7c1d"
    const wrong = "sk-wrong-but-secret-44ab"
    const program = Effect.gen(function*() {
      const lines = yield* Ref.make(Chunk.empty<string>())
      const record = Logger.map(Logger.stringLogger, (line) => Effect.runSync(Ref.update(lines, Chunk.append(line))))
      const structured = Logger.map(Logger.jsonLogger, (line) => Effect.runSync(Ref.update(lines, Chunk.append(line))))
      const options: ServerOptions = { port: 0, apiKeys: [Redacted.make(key)] }
      const server = layerServer(options).pipe(
        Layer.provide(layerLocal()),
        Layer.provide(Logger.add(record)),
        Layer.provide(Logger.replace(Logger.defaultLogger, structured)),
        Layer.provide(Logger.minimumLogLevel(LogLevel.All))
      )
      const answers = yield* Effect.gen(function*() {
        const { url } = yield* ServerAddress
        const keys = yield* ApiKeys
        const known = yield* keys.list
        const texts = yield* Effect.promise(async () => {
          const one = clientOf(url, key)
          const sandbox = await one.sandbox({ templateId: "bash" })
          const answers = [
            await one.request("GET", sandbox),
            await one.request("POST", `${sandbox}/execute`, { code: "env" }),
            await one.request("POST", `${sandbox}/execute`, { code: 1 }),
            await one.request("GET", "/metrics"),
            await one.request("GET", "/none"),
            await clientOf(url, wrong).request("GET", "/api/sandboxes")
          ]
          return answers.map(({ headers, text }) => {
            let all = text
            headers.forEach((value, name) => {
              all += `${name}: ${value}`
            })
            return all
          })
        })
        return [...texts, JSON.stringify(known)]
      }).pipe(Effect.provide(server))
      const bad = yield* Effect.flip(Layer.build(layerServer({ apiKeys: [Redacted.make(`${key} \n`)] }))).pipe(
        Effect.scoped,
        Effect.provide(layerLocal())
      )
      const logged = Chunk.toReadonlyArray(yield* Ref.get(lines))
      expect(logged.length).toBeGreaterThan(5)
      return [...answers, ...logged, `${String(bad)}${JSON.stringify(bad)}${bad.stack}`].join("\n")
    })
    const everything = await Effect.runPromise(program)
    expect(everything).toContain("unauthorized")
    expect(everything).not.toContain(key)
    expect(everything).not.toContain(wrong)
  })
})

describe("without API keys", () => {
  it("a server does not listen beyond its machine", async () => {
    for (const host of ["0.0.0.0", "::", "example.org"]) {
      await expect(serve({ host, port: 0 })).rejects.toMatchObject({ code: "invalid_config", field: "apiKeys" })
    }
  })

  it("a web page cannot use it, whatever name leads there", async () => {
    await using server = await serve({ port: 0 })
    const send = async (headers: Record<string, string>, method = "GET") => {
      const { request } = await import("node:http")
      return new Promise<number>((resolve, reject) => {
        request(`${server.url}/api/sandboxes`, { method, headers }, (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        }).on("error", reject).end()
      })
    }
    expect(await send({})).toBe(200)
    expect(await send({ origin: "https://evil.example" })).toBe(403)
    expect(await send({ origin: "null" })).toBe(403)
    expect(await send({ host: "evil.example" })).toBe(403)
    expect(await send({ host: `localhost:${server.port}` })).toBe(200)
    expect(await send({ origin: `http://127.0.0.1:${server.port}` })).toBe(200)
    expect(await send({ origin: "https://evil.example", "access-control-request-method": "POST" }, "OPTIONS")).toBe(403)
  })
})

describe("web pages", () => {
  it("may use a server with API keys", async () => {
    await using server = await start()
    const preflight = await fetch(`${server.url}/api/sandboxes/create`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, traceparent"
      }
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*")
    expect(preflight.headers.get("access-control-allow-headers")).toContain("traceparent")
    const answer = await clientOf(server.url).request("GET", "/api/sandboxes", undefined, {
      origin: "https://app.example"
    })
    expect(answer.headers.get("access-control-allow-origin")).toBe("*")
    expect(answer.headers.get("access-control-expose-headers")).toContain("retry-after")
  })

  it("of other origins may not, where it names its own", async () => {
    await using server = await start({ cors: ["https://app.example"] })
    const from = async (origin: string) =>
      (await clientOf(server.url).request("GET", "/api/sandboxes", undefined, { origin })).headers
        .get("access-control-allow-origin")
    expect(await from("https://app.example")).toBe("https://app.example")
    expect(await from("https://other.example")).toBe(null)
  })
})
