/**
 * What a server grants a user, as the published clients tell that it is used up: by their own errors.
 */
import { describe, expect, it } from "vitest"
import type { ServeOptions } from "../../../src/server.js"
import { start } from "../support.js"
import type { Client } from "./operations.js"

const KEY = `e2b_${"5f2c".repeat(10)}`

const quotas = (version: string, load: () => Promise<Client>) => {
  /** A server that grants so much, and what leads there. */
  const granting = async (granted: NonNullable<ServeOptions["quotas"]>) => {
    const server = await start({ apiKeys: [KEY], e2b: true, quotas: granted })
    const there = { apiKey: KEY, apiUrl: server.url, sandboxUrl: server.url }
    return { there, client: await load(), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
  }

  describe(`quotas, as e2b ${version} tells them`, () => {
    it("requests", async () => {
      await using server = await granting({ requestsPerMinute: 2 })
      const { client, there } = server
      await client.Sandbox.kill("sbx_nowhere", there)
      await client.Sandbox.kill("sbx_nowhere", there)
      await expect(client.Sandbox.kill("sbx_nowhere", there)).rejects.toBeInstanceOf(client.RateLimitError)
    })

    it("sandboxes", async () => {
      await using server = await granting({ sandboxes: 1 })
      const { client, there } = server
      const sandbox = await client.Sandbox.create(there)
      await expect(client.Sandbox.create(there)).rejects.toBeInstanceOf(client.RateLimitError)
      await sandbox.kill()
      await (await client.Sandbox.create(there)).kill()
    })

    it("executions at a time", async () => {
      await using server = await granting({ concurrentExecutions: 1 })
      const { client, there } = server
      const sandbox = await client.Sandbox.create(there)
      const running = await sandbox.commands.run("sleep 300", { background: true })
      await expect(sandbox.commands.run("true")).rejects.toThrow(/one execution|1 execution|at a time/)
      await running.kill()
      await expect(running.wait()).rejects.toBeInstanceOf(client.CommandExitError)
      expect((await sandbox.commands.run("echo again")).stdout).toBe("again\n")
    })

    it("storage: no more is written or run, and what is there can be read and removed", async () => {
      await using server = await granting({ storageBytes: 3_000_000 })
      const { client, there } = server
      const sandbox = await client.Sandbox.create(there)
      await sandbox.files.write("kept", "x".repeat(1_000_000))
      await expect(sandbox.files.write("more", "x".repeat(4_000_000))).rejects.toBeInstanceOf(
        client.NotEnoughSpaceError
      )
      expect(await sandbox.files.exists("more")).toBe(false)
      await sandbox.commands.run("head -c 4000000 /dev/zero > filled")
      await expect(sandbox.commands.run("true")).rejects.toThrow(/3000000 bytes/)
      expect((await sandbox.files.read("kept")).length).toBe(1_000_000)
      await sandbox.files.remove("filled")
      expect((await sandbox.commands.run("ls")).stdout).toBe("kept\n")
    })
  })
}

const load = (name: string) => async (): Promise<Client> => await import(name)

quotas("2.51.0", load("@e2b/code-interpreter"))
quotas("2.50.0", load("e2b-client-2.50"))
quotas("2.45.0", load("e2b-client-2.45"))
quotas("2.20.1", load("e2b-client-2.20"))
