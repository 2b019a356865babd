/**
 * A program that is written for E2B, where sandboxes are containers: the unmodified client.
 */
import { Sandbox } from "@e2b/code-interpreter"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { layerLocal } from "../../src/local.js"
import { layerServer, ServerAddress } from "../../src/server.js"
import { IMAGES } from "./images.js"

const apiKey = `e2b_${"5f2c".repeat(10)}`

const server = layerServer({ port: 0, apiKeys: [Redacted.make(apiKey)], e2b: true }).pipe(
  Layer.provide(layerLocal({ isolation: "docker", docker: { image: IMAGES.full } }))
)

const sandbox = Effect.gen(function*() {
  const { url } = yield* ServerAddress
  return yield* Effect.acquireRelease(
    Effect.promise(() => Sandbox.create({ apiKey, apiUrl: url, sandboxUrl: url })),
    (made) => Effect.promise(() => made.kill())
  )
})

describe("E2B's protocol over containers", () => {
  it.live("is at home in /home/user, and its files are where the code finds them", () =>
    Effect.gen(function*() {
      const { commands, files, runCode } = yield* Effect.map(sandbox, (made) => ({
        commands: made.commands,
        files: made.files,
        runCode: (code: string) => made.runCode(code)
      }))
      yield* Effect.promise(async () => {
        expect((await commands.run("pwd; echo $HOME")).stdout).toBe("/home/user\n/home/user\n")
        await files.write("/home/user/a.txt", "at home")
        expect((await commands.run("cat a.txt /workspace/a.txt")).stdout).toBe("at homeat home")
        expect((await runCode("import os; os.getcwd() + ' ' + open('a.txt').read()")).text).toBe("/home/user at home")
        await files.write("/tmp/b.txt", "in memory")
        expect((await commands.run("cat /tmp/b.txt; echo x > /tmp/c")).stdout).toBe("in memory")
        expect(await files.read("/tmp/c")).toBe("x\n")
        await expect(files.read("/proc/1/environ")).rejects.toThrow()
        await expect(files.write("/usr/x", "")).rejects.toThrow()
      })
    }).pipe(Effect.scoped, Effect.provide(server)))

  it.live("tells what it uses", () =>
    Effect.gen(function*() {
      const made = yield* sandbox
      yield* Effect.promise(async () => {
        await made.runCode("kept = b'x' * 100_000_000")
        const [now] = await made.getMetrics()
        expect(now).toMatchObject({ cpuCount: 1, memTotal: 2 ** 30, diskTotal: 2 ** 32 })
        expect(now?.memUsed).toBeGreaterThan(100_000_000)
        expect(now?.memUsed).toBeLessThan(400_000_000)
      })
    }).pipe(Effect.scoped, Effect.provide(server)))
})
