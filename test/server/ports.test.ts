/**
 * Ports through a server: who may pass, and what code in a sandbox may not say in the server's name.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import { WebSocket } from "ws"
import type { RunningServer } from "../../src/server.js"
import { portServer } from "../support/portServer.js"
import { ALICE, BOB, clientOf, start } from "./support.js"

let server: RunningServer
let alice: ReturnType<typeof clientOf>
let sandbox: string
let id: string
let address: { readonly url: string; readonly token: string; readonly path?: string }

/** A request by Node's client, which lets every header field be said. */
const ask = (
  url: string,
  options: { readonly method?: string; readonly headers?: Record<string, string>; readonly path?: string } = {}
): Promise<{ status: number | undefined; headers: Http.IncomingHttpHeaders; text: string; json: any }> =>
  new Promise((resolve, reject) => {
    const { path, ...rest } = options
    const target = new URL(url)
    const request = Http.request({
      host: target.hostname,
      port: target.port,
      path: path ?? target.pathname + target.search,
      agent: false,
      ...rest
    }, (response) => {
      let text = ""
      response.on("data", (bytes: Buffer) => {
        text += bytes.toString()
      })
      response.on("end", () => {
        const isJson = response.headers["content-type"] === "application/json"
        const json: unknown = isJson && text !== "" ? JSON.parse(text) : undefined
        resolve({ status: response.statusCode, headers: response.headers, text, json })
      })
      response.on("error", reject)
    })
    request.on("error", reject).end()
  })

/** What is sent word by word, and all that comes back. */
const say = (text: string): Promise<string> =>
  new Promise((resolve) => {
    let heard = ""
    const socket = Net.connect(server.port, "127.0.0.1", () => socket.write(text))
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1")
    })
    socket.on("close", () => resolve(heard))
    socket.on("error", () => {})
  })

const serveInside = async (user: ReturnType<typeof clientOf>, path: string) => {
  await user.request("POST", `${path}/files?path=server.py`, { content: portServer(8000) })
  await user.request("POST", `${path}/terminal`, { command: "nohup python3 server.py > server.log 2>&1 &" })
  const { json, status } = await user.request("POST", `${path}/ports/8000`, {})
  expect(status).toBe(200)
  return json
}

const domain = "sandboxes.test"

beforeAll(async () => {
  server = await start({ portsUrl: undefined })
  alice = clientOf(server.url)
  sandbox = await alice.sandbox()
  id = sandbox.slice("/api/sandboxes/".length)
  address = await serveInside(alice, sandbox)
}, 60_000)

afterAll(() => server.close())

describe("Ports through a server", () => {
  it("are reached below the path of the sandbox, with the API key or by the URL", async () => {
    expect(address.path).toBe(`${sandbox}/ports/8000/~${address.token}/`)
    expect(address.url).toBe(server.url + address.path)
    const byKey = await alice.request("GET", `${sandbox}/ports/8000/a/b?c=d`)
    expect([byKey.status, byKey.json.path]).toEqual([200, "/a/b?c=d"])
    const byUrl = await ask(`${address.url}a/b`)
    expect([byUrl.status, byUrl.json.path]).toEqual([200, "/a/b"])
    // The address itself, and what is one segment too short for a port, stay the interface's.
    expect((await alice.request("GET", `${sandbox}/ports/8000`)).json).toEqual(address)
    expect((await alice.request("GET", `${sandbox}/ports/none/`)).status).toBe(400)
    expect((await alice.request("GET", `${sandbox}/ports/65536/x`)).status).toBe(404)
  })

  it("tell the code neither the key nor the token, but who has sent a field that is the code's own is heard", async () => {
    for (const headers of [{ authorization: `Bearer ${ALICE}` }, { authorization: `bearer   ${BOB}` }]) {
      for (const url of [address.url, `${server.url}${sandbox}/ports/8000/`]) {
        const { json, status } = await ask(url, { headers })
        if (status === 200) {
          expect(JSON.stringify(json.headers)).not.toMatch(/key-of|authorization/i)
        }
      }
    }
    const own = await ask(address.url, { headers: { authorization: "Basic eDp5" } })
    expect(own.json.headers).toContainEqual(["authorization", "Basic eDp5"])
    expect(own.json.headers).toContainEqual(["x-forwarded-host", new URL(server.url).host])
    expect(JSON.stringify(own.json.headers)).not.toContain("x-sandbox-token")
  })

  it("are nobody else's", async () => {
    const bob = clientOf(server.url, BOB)
    const other = await bob.request("GET", `${sandbox}/ports/8000/`)
    const nobody = await bob.request("GET", `/api/sandboxes/sbx_aaaaaaaaaaaaaaaaaaaa/ports/8000/`)
    expect([other.status, other.json.code]).toEqual([404, "not_found"])
    expect(nobody.json.message.replace("sbx_aaaaaaaaaaaaaaaaaaaa", id)).toBe(other.json.message)
    const unkeyed = await ask(`${server.url}${sandbox}/ports/8000/`)
    expect([unkeyed.status, unkeyed.json.code]).toEqual([401, "unauthorized"])
    const guessed = address.token.replace(/^./, (first) => first === "A" ? "B" : "A")
    for (const token of [guessed, "x", "x.key_0", address.token.split(".")[0] ?? "", `${address.token}.x`]) {
      expect([token, (await ask(address.url.replace(address.token, token))).status]).toEqual([token, 401])
    }
    // The token of a port is that of no other, and no API key.
    expect((await ask(address.url.replace("/8000/", "/8001/"))).status).toBe(401)
    expect((await clientOf(server.url, address.token).request("GET", sandbox)).status).toBe(401)
  })

  it("end with the API key by which the address was asked for", async () => {
    const { id: keyId } = await server.addKey("key-for-a-while-7c1")
    const carol = clientOf(server.url, "key-for-a-while-7c1")
    const path = await carol.sandbox()
    const { url } = await serveInside(carol, path)
    const socket = new WebSocket(url.replace("http", "ws"))
    await once(socket, "open")
    const closed = once(socket, "close")
    await server.revokeKey(keyId)
    await closed
    expect((await ask(url)).status).toBe(401)
  })

  it("keep what code answers from acting in the name of the server", async () => {
    const { headers, status } = await ask(`${address.url}evil`)
    expect(status).toBe(200)
    for (
      const name of [
        "set-cookie",
        "service-worker-allowed",
        "clear-site-data",
        "strict-transport-security",
        "x-hop"
      ]
    ) {
      expect([name, headers[name]]).toEqual([name, undefined])
    }
    expect(headers["x-kept"]).toBe("1")
    expect(headers["access-control-allow-origin"]).toBe("*")
    expect(headers["access-control-allow-credentials"]).toBeUndefined()
    expect(headers["referrer-policy"]).toBe("no-referrer")
    const policy = headers["content-security-policy"] ?? ""
    expect(policy).toContain("default-src 'none', sandbox allow-downloads")
    expect(policy).not.toContain("allow-same-origin")
    expect(policy).not.toContain("allow-top-navigation")
    // A page without an origin has to ask first, and is answered without the code.
    const asked = await ask(`${address.url}x`, {
      method: "OPTIONS",
      headers: {
        origin: "null",
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "x-mine"
      }
    })
    expect([asked.status, asked.headers["access-control-allow-methods"]]).toEqual([204, "PATCH"])
  })

  it("sends one request a connection, whatever is smuggled in", async () => {
    const path = new URL(address.url).pathname
    const heard = await say(
      `POST ${path}sum HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\nConnection: close, content-length\r\n\r\n` +
        "GET /second HTTP/1.1\r\nHost: x\r\nX: aaaaaaa\r\n\r\n"
    )
    expect(heard).toContain("{\"bytes\": 44,")
    expect(heard).not.toContain("/second")
    const both = await say(
      `POST ${path}sum HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`
    )
    expect(both).toMatch(/^HTTP\/1\.1 400 /)
  })

  it("takes a connection for WebSocket alone; what else offers another protocol is a request like any other", async () => {
    const offers = "Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
    const health = await say(`GET /health HTTP/1.1\r\nHost: x\r\n${offers}\r\n`)
    expect(health).toMatch(/^HTTP\/1\.1 200 OK/)
    const body = "{\"templateId\":\"nowhere\"}"
    const created = await say(
      `POST /api/sandboxes/create HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ALICE}\r\n${offers}` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    )
    expect(created).toContain("template_not_found")
    const path = new URL(address.url).pathname
    const ignored = await say(`GET ${path}x HTTP/1.1\r\nHost: x\r\n${offers}\r\n`)
    expect(ignored).toMatch(/^HTTP\/1\.1 200 OK/)
    const refused = await say(`GET ${sandbox}/ports/8000/ HTTP/1.1\r\nHost: x\r\n${offers}\r\n`)
    expect(refused).toMatch(/^HTTP\/1\.1 401 /)
  })

  it("ends WebSockets when the server ends, and does not wait for them", async () => {
    const own = await start({ graceMs: 60_000 })
    const user = clientOf(own.url)
    const { url } = await serveInside(user, await user.sandbox())
    const socket = new WebSocket(url.replace("http", "ws"))
    await once(socket, "open")
    const closed = once(socket, "close")
    await own.close()
    await closed
  }, 60_000)
})

describe("Ports under names of their own", () => {
  it("have an origin each, and a cookie for those who follow the link", async () => {
    const own = await start({ portsUrl: `http://${domain}` })
    try {
      const user = clientOf(own.url)
      const path = await user.sandbox()
      const { token, url } = await serveInside(user, path)
      const label = `8000-${path.slice("/api/sandboxes/".length).replace("_", "-")}`
      expect(url).toBe(`http://${label}.${domain}/~${token}/`)
      const host = `${label}.${domain}`
      const at = (of: string, headers: Record<string, string> = {}, method = "GET") =>
        ask(own.url, { method, path: of, headers: { host, ...headers } })
      expect((await at("/")).status).toBe(401)
      expect((await at("/health")).status).toBe(401)
      const visited = await at(`/~${token}/evil`, { "sec-fetch-mode": "navigate" })
      expect(visited.status).toBe(200)
      // The code's own cookies are for this name alone.
      expect(visited.headers["set-cookie"]).toEqual([
        "mine=1; Path=/",
        `sandbox-port=${token}; Path=/; HttpOnly; SameSite=Lax`
      ])
      expect(visited.headers["content-security-policy"]).toBe("default-src 'none'")
      expect(visited.headers["clear-site-data"]).toBeUndefined()
      const cookie = `a=b; sandbox-port=${token}`
      const style = await at("/style.css", { cookie, "sec-fetch-site": "same-origin" })
      expect([style.status, style.json.path]).toEqual([200, "/style.css"])
      expect(JSON.stringify(style.json.headers)).not.toContain(token)
      expect(style.json.headers).toContainEqual(["cookie", "a=b"])
      // Pages of other origins cannot use the cookie, a link that is followed can.
      expect((await at("/x", { cookie, "sec-fetch-site": "same-site" })).status).toBe(401)
      expect((await at("/x", { cookie, origin: "http://evil.test" })).status).toBe(401)
      expect((await at("/x", { cookie, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).status).toBe(
        200
      )
      // As written by hand, and in any case.
      const other = await ask(own.url, {
        path: `/~${token}/`,
        headers: { host: `8000-${path.slice("/api/sandboxes/".length)}.${domain}`.toUpperCase() }
      })
      expect(other.status).toBe(200)
      const socket = new WebSocket(`${own.url.replace("http", "ws")}/~${token}/`, { headers: { host } })
      await once(socket, "open")
      socket.terminate()
    } finally {
      await own.close()
    }
  }, 60_000)

  it("have to be a domain", async () => {
    await expect(start({ portsUrl: "sandboxes.example.org" })).rejects.toMatchObject({ field: "portsUrl" })
  })
})

describe("Ports of a server without keys", () => {
  it("are for programs of this machine, and by the URL for whoever has it", async () => {
    const own = await start({ apiKeys: [] })
    try {
      const user = clientOf(own.url, "none")
      const path = await user.sandbox()
      const { url } = await serveInside(user, path)
      expect((await ask(`${own.url}${path}/ports/8000/`)).status).toBe(200)
      const evil = { origin: "http://evil.test" }
      expect((await ask(`${own.url}${path}/ports/8000/`, { headers: evil })).status).toBe(401)
      expect((await ask(url, { headers: evil })).status).toBe(200)
    } finally {
      await own.close()
    }
  }, 60_000)
})
