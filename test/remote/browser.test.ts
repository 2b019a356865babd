import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { build } from "esbuild"
import { existsSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { freePort } from "./support.js"

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium"

const isInstalled = existsSync(CHROMIUM)

if (!isInstalled && process.env["CI"] === undefined) {
  console.warn("No browser here, so nothing is tested in one: apt-get install chromium, or set CHROMIUM.")
}

const KEY = "the-key-of-the-page"

const bundle = Effect.promise(async () => {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("browserProgram.ts", import.meta.url))],
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    platform: "browser",
    format: "iife",
    target: "es2022",
    logLevel: "silent"
  })
  return { text: result.outputFiles[0]?.text ?? "", inputs: Object.keys(result.metafile.inputs) }
})

/** A page of an origin of its own. */
const origin = Effect.acquireRelease(
  Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" })
      response.end("<!doctype html><title>page</title>")
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({
        url: `http://127.0.0.1:${port}`,
        close: () => {
          server.closeAllConnections()
          server.close()
        }
      }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      executablePath: CHROMIUM,
      headless: true,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
  ),
  (opened) => Effect.promise(() => opened.close())
)

describe("in a browser", () => {
  it.effect("the core entry bundles without anything of Node", () =>
    Effect.gen(function*() {
      const { inputs, text } = yield* bundle
      expect(inputs.filter((input) => input.includes("platform-node") || input.startsWith("node:"))).toEqual([])
      expect(text).not.toMatch(/["'`]node:/)
      expect(text).not.toMatch(/\brequire\(["'`]/)
    }))

  it.scopedLive.skipIf(!isInstalled && process.env["CI"] === undefined)(
    "a page makes a sandbox, runs code and sees its output as it comes, and moves files both ways",
    () =>
      Effect.gen(function*() {
        const { text } = yield* bundle
        const page = yield* Effect.flatMap(browser, (opened) => Effect.promise(() => opened.newPage()))
        const { url } = yield* origin
        const server = yield* Layer.build(
          layerServer({ port: 0, apiKeys: [Redacted.make(KEY)], cors: [url] }).pipe(Layer.provide(layerLocal()))
        )
        const { url: serverUrl } = yield* Effect.provide(ServerAddress, server)
        const options = { serverUrl, apiKey: KEY, deadUrl: `http://127.0.0.1:${yield* freePort}` }
        const report = yield* Effect.promise(async () => {
          await page.goto(url)
          await page.addScriptTag({ content: text })
          return page.evaluate(`runProgram(${JSON.stringify(options)})`)
        })
        expect(report).toMatchObject({
          lines: ["žluťoučký kůň 🦊\n", "seen\n"],
          stdout: ["žluťoučký kůň 🦊\n", "seen\n"],
          text: "42",
          written: "/workspace/large.bin",
          bytes: 48 * 65_536,
          sum: 65_536 * (47 * 48) / 2,
          raised: "ZeroDivisionError",
          missing: "file_not_found",
          after: "4",
          dead: { _tag: "ConnectionError" }
        })
      }),
    120_000
  )
})
