/**
 * The layer against a server that breaks off in the middle of its answers.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { createServer, type ServerResponse } from "node:http"
import { layerE2B } from "../../src/e2b.js"
import { seal } from "../../src/e2b/Envelopes.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { failsWith } from "../conformance/support.js"

const described = {
  sandboxID: "box",
  templateID: "python",
  envdAccessToken: "token",
  state: "running",
  startedAt: "2026-01-01T00:00:00Z",
  endAt: "2026-01-01T01:00:00Z"
}

/** A server that knows one sandbox, and answers in it like this. */
const serving = (answer: (url: string, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const url = request.url ?? ""
        if (request.headers["x-api-key"] === "wrong") {
          response.writeHead(401, { "content-type": "application/json" })
          response.end(JSON.stringify({ code: 401, message: "Wrong key" }))
        } else if (url === "/sandboxes/box") {
          response.setHeader("content-type", "application/json")
          response.end(JSON.stringify(described))
        } else {
          answer(url, response)
        }
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed({
          url: `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`,
          close: () => {
            server.closeAllConnections()
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const layerAt = (url: string, apiKey = "e2b_00") =>
  layerE2B({ apiKey, apiUrl: url, sandboxUrl: url, maxRetries: 0, timeout: 5_000 })

const use = <A, E>(
  answer: (url: string, response: ServerResponse) => void,
  test: (sdk: SandboxSDK["Type"]) => Effect.Effect<A, E>
) =>
  Effect.scoped(
    Effect.flatMap(serving(answer), ({ url }) => Effect.provide(Effect.flatMap(SandboxSDK, test), layerAt(url)))
  )

const lines = (...records: ReadonlyArray<unknown>): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join("")

describe("a server that breaks off", () => {
  it.live("never makes a success of a run of code, whether it hangs up or only stops", () =>
    Effect.forEach(["destroy", "end"] as const, (how) =>
      use(
        (_, response) => {
          response.write(lines({ type: "stdout", text: "so far\n" }), () => response[how]())
        },
        (sdk) =>
          Effect.gen(function*() {
            const error = yield* failsWith(sdk.runCode("box", "1"), { _tag: "ConnectionError" })
            expect(error._tag === "ConnectionError" && error.execution?.logs.stdout).toEqual(["so far\n"])
            // The stream itself has to fail: what collects its events would also notice that no end came.
            const seen: Array<string> = []
            yield* failsWith(
              Stream.runForEach(sdk.runCodeStream("box", "1"), (event) => Effect.sync(() => seen.push(event._tag))),
              { _tag: "ConnectionError" }
            )
            expect(seen).toEqual(["Started", "Stdout"])
          })
      )))

  it.live("never makes a success of a command", () =>
    use(
      (_, response) => {
        response.setHeader("content-type", "application/connect+json")
        response.write(seal({ event: { start: { pid: 7 } } }))
        response.write(seal({ event: { data: { stdout: "YQ==" } } }))
        response.end(seal({ event: { end: { exited: true } } }).subarray(0, 9))
      },
      (sdk) => Effect.asVoid(failsWith(sdk.runTerminal("box", "echo a"), { _tag: "ConnectionError" }))
    ))

  it.live("never makes a success of a file whose length was told", () =>
    use(
      (_, response) => {
        response.setHeader("content-length", "10")
        response.write("12345", () => response.destroy())
      },
      (sdk) => Effect.asVoid(failsWith(sdk.readFile("box", "f"), { _tag: "ConnectionError" }))
    ))

  it.live("gives a long line and characters of several bytes as they are, however they are cut", () => {
    const text = "ä€😀".repeat(50_000)
    const bytes = Buffer.from(lines({ type: "stdout", text }, { type: "end_of_execution" }))
    return use(
      (_, response) => {
        for (let at = 0; at < bytes.length; at += 4_093) response.write(bytes.subarray(at, at + 4_093))
        response.end()
      },
      (sdk) =>
        Effect.map(
          sdk.runCode("box", "1"),
          ({ execution }) => expect(execution.logs.stdout.join("") === text).toBe(true)
        )
    )
  })

  it.live("tells by the gateway's status that a sandbox is gone, by that of the file that it is not there", () =>
    use(
      (url, response) => {
        response.writeHead(url.startsWith("/files") ? 404 : 502, { "content-type": "application/json" })
        response.end(JSON.stringify({ code: 0, message: "no" }))
      },
      (sdk) =>
        Effect.all([
          failsWith(sdk.readFile("box", "f"), { _tag: "SandboxError", code: "file_not_found" }),
          failsWith(sdk.runCode("box", "1"), { _tag: "SandboxError", code: "not_found", sandboxId: "box" })
        ], { discard: true })
    ))

  it.live("names what it has not, the wrong key and the setting at fault", () =>
    Effect.scoped(Effect.gen(function*() {
      const { url } = yield* serving((_, response) => {
        response.writeHead(501, { "content-type": "application/json" })
        response.end(JSON.stringify({ code: 501, message: "metrics: not here" }))
      })
      const get = Effect.flatMap(SandboxSDK, (sdk) => sdk.getSandbox("box"))
      const run = Effect.flatMap(SandboxSDK, (sdk) => Stream.runDrain(sdk.runCodeStream("box", "1")))
      yield* failsWith(Effect.provide(get, layerAt(url, "wrong")), { _tag: "SandboxSDKError", code: "unauthorized" })
      yield* failsWith(Effect.provide(run, layerAt(url)), { _tag: "SandboxSDKError", code: "unsupported" })
      yield* failsWith(Effect.provide(get, layerE2B({ apiKey: "a\nb" })), { code: "invalid_config", field: "apiKey" })
      yield* failsWith(Effect.provide(get, layerE2B({ apiKey: "a", apiUrl: "host:1" })), {
        code: "invalid_config",
        field: "apiUrl"
      })
    })))
})
