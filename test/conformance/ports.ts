import { expect } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { WebSocket } from "ws"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import { type Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { portServer } from "../support/portServer.js"
import type { Part } from "./support.js"
import { eventually, failsWith, python } from "./support.js"

/** Starts a server in the sandbox that outlives the call, and gives where it is reached. */
const serving = (sandbox: Sandbox, port = 8000, host?: string) =>
  Effect.gen(function*() {
    yield* sandbox.writeFile("server.py", portServer(port, host))
    yield* sandbox.runTerminal("nohup python3 server.py > server.log 2>&1 &")
    return yield* sandbox.waitForPort(port)
  })

const get = (url: string | URL, init: RequestInit & { readonly duplex?: "half" } = {}) =>
  Effect.promise((signal) => fetch(url, { signal, ...init }))

const json = (response: Response) => Effect.promise(async (): Promise<unknown> => response.json())

const opened = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WebSocket(url.replace(/^http/, "ws"), { perMessageDeflate: false })
      const messages: Array<string> = []
      socket.on("message", (data: Buffer) => messages.push(data.toString()))
      await once(socket, "open")
      return { socket, messages }
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )

const MIB = 1024 * 1024

const SIZE = 100 * MIB

const PIECE = Buffer.from(Uint8Array.from({ length: MIB }, (_, at) => at % 256))

const pieces = (count = 100) => {
  let left = count
  return new ReadableStream<Uint8Array>({
    pull: (controller) => left-- > 0 ? controller.enqueue(Uint8Array.from(PIECE)) : controller.close()
  })
}

const EXPECTED = (() => {
  const hash = createHash("sha256")
  for (let at = 0; at < 100; at++) hash.update(PIECE)
  return hash.digest("hex")
})()

const sumOfBody = async ({ body }: Response) => {
  const hash = createHash("sha256")
  let bytes = 0
  const reader = body?.getReader()
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    hash.update(part.value)
    bytes += part.value.length
  }
  return { bytes, sha256: hash.digest("hex") }
}

/** Ports of sandboxes, reached from outside. */
export const ports: Part = (it) => {
  it.scoped("reaches a server in a sandbox by the URL of its port alone", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const address = yield* serving(sandbox)
      expect(address).toMatchObject({ sandboxId: sandbox.id, port: 8000 })
      expect(address.url).toMatch(/^http:\/\/.*\/$/)
      expect(address).toEqual(yield* sandbox.getPort(8000))
      expect(`http://${yield* sandbox.getHost(8000)}/`).toBe(address.url)
      const response = yield* get(new URL("some/path?q=1&q=%20", address.url), {
        method: "DELETE",
        headers: { "x-mine": "yes", connection: "close", cookie: "a=b", te: "trailers" }
      })
      expect(response.status).toBe(200)
      const said = yield* json(response)
      expect(said).toMatchObject({ method: "DELETE", path: "/some/path?q=1&q=%20" })
      const text = JSON.stringify(said)
      expect(text).toContain("[\"x-mine\",\"yes\"]")
      expect(text).toContain("[\"host\",\"localhost:8000\"]")
      expect(text).toContain("[\"cookie\",\"a=b\"]")
      // Neither what concerns the connection, nor the way in, is told to the code.
      expect(text).not.toContain("[\"te\"")
      expect(text).not.toContain("authorization")
      expect(text.replaceAll(/"x-forwarded-prefix","[^"]*"/g, "")).not.toContain(address.token ?? "no token")
      // Where a server sends one, one gets to.
      const moved = yield* get(new URL("redirect", address.url))
      expect(yield* json(moved)).toMatchObject({ path: "/somewhere?x=1" })
    }))

  it.scoped("speaks WebSocket with a server in a sandbox", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const { messages, socket } = yield* opened(`${url}chat?room=1`)
      yield* eventually(Effect.sync(() => messages.length === 1))
      for (let at = 0; at < 50; at++) socket.send(`message ${at}`)
      const long = "é".repeat(300_000)
      socket.send(long)
      yield* eventually(Effect.sync(() => messages.length === 52))
      expect(messages[0]).toBe("hello /chat?room=1")
      expect(messages.slice(1, 51)).toEqual(Array.from({ length: 50 }, (_, at) => `message ${at}`))
      expect(messages[51] === long).toBe(true)
      const closed = Effect.promise(() => once(socket, "close"))
      socket.close(1000)
      yield* closed
    }))

  it.scoped("carries 100 MiB in each direction", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const down = yield* get(new URL(`bytes/${SIZE}`, url))
      expect(yield* Effect.promise(() => sumOfBody(down))).toEqual({ bytes: SIZE, sha256: EXPECTED })
      const up = yield* get(new URL("sum", url), { method: "POST", body: pieces(), duplex: "half" })
      expect(yield* json(up)).toEqual({ bytes: SIZE, sha256: EXPECTED })
      const known = yield* get(new URL("sum", url), { method: "PUT", body: Buffer.alloc(MIB, PIECE) })
      expect(yield* json(known)).toMatchObject({ bytes: MIB })
      const both = yield* get(new URL("echo", url), { method: "POST", body: pieces(10), duplex: "half" })
      expect(yield* Effect.promise(() => sumOfBody(both))).toMatchObject({ bytes: 10 * MIB })
    }))

  it.scoped("gives what has been answered so far while the answer goes on, and ends it when nobody reads", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const response = yield* get(new URL("live", url))
      const reader = response.body?.getReader()
      const first = yield* Effect.promise(async () => reader?.read())
      expect(new TextDecoder().decode(first?.value)).toMatch(/^first/)
      yield* Effect.promise(async () => reader?.cancel())
      // The server in the sandbox finds its connection broken.
      yield* eventually(
        Effect.map(
          sandbox.runTerminal("grep -c 'Broken pipe\\|Connection reset' server.log || true"),
          (count) => Number(count) > 0
        )
      )
    }))

  it.scoped("does not give a part of an answer for the whole", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const response = yield* get(new URL("short", url))
      expect(response.status).toBe(200)
      expect(yield* Effect.either(Effect.tryPromise(() => response.text()))).toMatchObject({ _tag: "Left" })
      const silent = yield* get(new URL("silent", url))
      expect(silent.status).toBe(502)
      expect(yield* json(silent)).toMatchObject({ _tag: "SandboxError", code: "port_unavailable" })
    }))

  it.scoped("waits for a server that is not up yet, also one that listens at ::1 alone", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.writeFile("server.py", portServer(8000, "::1"))
      yield* sandbox.runTerminal("(sleep 1; exec python3 server.py) > server.log 2>&1 &")
      const { url } = yield* sandbox.waitForPort(8000, { intervalMs: 20 })
      expect((yield* get(url)).status).toBe(200)
    }))

  it.scoped("says that nothing listens at a port", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* sandbox.getPort(9999)
      const response = yield* get(url)
      expect(response.status).toBe(502)
      expect(yield* json(response)).toEqual({
        _tag: "SandboxError",
        code: "port_unavailable",
        sandboxId: sandbox.id,
        message:
          "Nothing listens at port 9999 of the sandbox. Start a server there, at 127.0.0.1 or at all addresses, and " +
          "wait for it with waitForPort."
      })
      const error = yield* failsWith(sandbox.waitForPort(9999, { timeoutMs: 200, intervalMs: 20 }), {
        _tag: "TimeoutError",
        operation: "connect",
        timeoutMs: 200
      })
      expect(error.message).toBe(
        "Nothing listened at port 9999 of the sandbox within 200 ms. Is its server running, and does it listen at " +
          "127.0.0.1 or at all addresses?"
      )
    }))

  it.scoped("lets nobody pass without the token, and nobody with that of another port", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { token = "", url } = yield* serving(sandbox)
      const other = yield* sandbox.getPort(8001)
      expect(token.length).toBeGreaterThan(20)
      const bare = url.replace(`~${token}/`, "")
      for (const wrong of [bare, url.replace(token, `${token}x`), url.replace(token, other.token ?? "")]) {
        const response = yield* get(wrong)
        expect([wrong, response.status]).toEqual([wrong, 401])
        expect(yield* json(response)).toMatchObject({ _tag: "SandboxSDKError", code: "unauthorized" })
      }
      const byField = yield* get(bare, { headers: { "x-sandbox-token": token } })
      expect(byField.status).toBe(200)
      expect(JSON.stringify(yield* json(byField))).not.toContain(token)
    }))

  it.scoped("closes a port: its URL is worth nothing then, and its connections break", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const { socket } = yield* opened(url)
      const closed = yield* Effect.fork(Effect.promise(() => once(socket, "close")))
      yield* sandbox.closePort(8000)
      yield* Fiber.join(closed)
      expect(
        yield* Effect.promise(() => fetch(url).then(({ status }) => status, () => "refused"))
      ).toSatisfy((status: unknown) => status === 401 || status === "refused")
      const { url: next } = yield* sandbox.getPort(8000)
      expect(next).not.toBe(url)
      expect((yield* get(next)).status).toBe(200)
      yield* sandbox.closePort(8002)
    }))

  it.scoped("breaks the connections of a sandbox that stops, and answers for it until it is started", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const { url } = yield* serving(sandbox)
      const { socket } = yield* opened(url)
      const closed = yield* Effect.fork(Effect.promise(() => once(socket, "close")))
      yield* sandbox.stopSandbox()
      yield* Fiber.join(closed)
      const response = yield* get(url)
      expect(response.status).toBe(409)
      expect(yield* json(response)).toMatchObject({ _tag: "SandboxError", code: "stopped", sandboxId: sandbox.id })
      // A request has not started it.
      expect(yield* sandbox.getSandboxStatus()).toBe("stopped")
      yield* sandbox.startSandbox()
      expect(yield* serving(sandbox)).toMatchObject({ url })
      expect((yield* get(url)).status).toBe(200)
    }))

  it.scoped("tells who waits for a port when the sandbox ends", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const waiting = yield* Effect.fork(Effect.flip(sandbox.waitForPort(8000)))
      yield* eventually(Effect.map(sandbox.getSandboxStatus(), (status) => status === "ready"))
      yield* Effect.sleep("100 millis")
      yield* sandbox.deleteSandbox()
      expect(yield* Fiber.join(waiting)).toMatchObject({ _tag: "SandboxError" })
    }))

  it.scoped("knows no port of a sandbox that is not there", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
      const { url } = yield* sdk.getPort(sandbox.id, 8000)
      yield* sdk.deleteSandbox(sandbox.id)
      expect(
        yield* Effect.promise(() => fetch(url).then(({ status }) => status, () => "refused"))
      ).toSatisfy((status: unknown) => status === 401 || status === "refused")
      for (const operation of [sdk.getPort, sdk.getHost, sdk.waitForPort, sdk.closePort]) {
        yield* failsWith<unknown, AnySandboxSDKError, never>(operation(sandbox.id, 8000), { code: "not_found" })
      }
    }))

  it.scoped("refuses what is no port, by name", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      for (const port of [0, 65_536, 1.5, Number.NaN]) {
        for (const operation of ["getPort", "getHost", "waitForPort", "closePort"] as const) {
          const error = yield* failsWith<unknown, AnySandboxSDKError, never>(sdk[operation]("sbx", port), {
            code: "invalid_argument",
            field: "port"
          })
          expect(error.message).toContain(`${operation}: port must be a port, a whole number from 1 to 65535`)
        }
      }
      yield* failsWith(sdk.waitForPort("sbx", 1, { timeoutMs: 0 }), { code: "invalid_argument", field: "timeoutMs" })
    }))
}
