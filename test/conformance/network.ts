import { expect } from "@effect/vitest"
import { Effect } from "effect"
import * as Http from "node:http"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { holding, listening } from "../support/servers.js"
import type { Part } from "./support.js"
import { eventually, failsWith, python } from "./support.js"

/** Asks for a URL and prints the answer, or what was answered or said in place of it. */
const get = (url: string) => `
import urllib.request
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler()))
try:
    print(urllib.request.urlopen("${url}", timeout=5).read().decode(), end="")
except Exception as error:
    print(getattr(error, "code", "no"), error.read().decode() if hasattr(error, "read") else error, end="")`

const answer = (sandbox: Sandbox, url: string) =>
  Effect.map(sandbox.runCode(get(url)), ({ execution }) => execution.logs.stdout.join(""))

/** The layer must let a sandbox have addresses of this machine: `layerLocal({ network: "any" })`. */
export const network: Part = (it) => {
  it.scoped("gives a sandbox the hosts and ports that are named, and no others", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer((request, response) => response.end(request.url)))
      const { port: other } = yield* listening(() => Http.createServer((_, response) => response.end("reached")))
      const sandbox = yield* Sandbox.make({ templateId: "python", network: { allow: [`127.0.0.1:${port}`] } })
      expect(yield* answer(sandbox, `http://127.0.0.1:${port}/from/python`)).toBe("/from/python")
      const fetched = yield* sandbox.runCode(`await (await fetch("http://127.0.0.1:${port}/from/fetch")).text()`, {
        language: "javascript"
      })
      expect(fetched.execution.text).toBe("'/from/fetch'")
      for (const host of [`127.0.0.1:${other}`, "example.org:80", `[::ffff:7f00:1]:${port}`, "169.254.169.254:80"]) {
        expect(yield* answer(sandbox, `http://${host}/`)).toBe(
          `403 This sandbox may not reach ${host}: it is not in network.allow. Create a sandbox with ` +
            `network: { allow: ["${host}"] }.\n`
        )
      }
    }))

  it.scoped("gives a sandbox no network by default", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer((_, response) => response.end("reached")))
      const quiet = yield* Sandbox.make({ templateId: "python", network: "none" })
      for (const sandbox of [yield* python, quiet]) {
        for (const at of [`127.0.0.1:${port}`, "127.0.0.1:3128", "169.254.169.254:80"]) {
          expect(yield* answer(sandbox, `http://${at}/`)).toMatch(/^no <urlopen error .*(?:refused|unreachable)/)
        }
      }
    }))

  it.scoped("refuses what is no list of hosts and ports, by name", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      for (const host of ["example.org", "example.org:0", "http://example.org:80", "127.1:80", "*:443"]) {
        const error = yield* failsWith(
          sdk.createSandbox({ templateId: "python", network: { allow: ["a.org:1", host] } }),
          { _tag: "SandboxSDKError", code: "invalid_argument", field: "network.allow.1" }
        )
        expect(error.message).toContain(`a host and a port, such as "example.org:443", but it is "${host}"`)
      }
    }))

  it.scoped("closes the connections of a sandbox that is deleted", () =>
    Effect.gen(function*() {
      const { open, port } = yield* holding
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "bash", network: { allow: [`127.0.0.1:${port}`] } })
      yield* sdk.runCode(
        sandbox.id,
        `exec 5<> /dev/tcp/127.0.0.1/3128; printf 'CONNECT 127.0.0.1:${port} HTTP/1.1\\r\\n\\r\\n' >&5; head -1 <&5`
      )
      yield* eventually(Effect.sync(() => open.size === 1))
      yield* sdk.deleteSandbox(sandbox.id)
      yield* eventually(Effect.sync(() => open.size === 0))
    }))
}
