/**
 * Sandboxes as a whole.
 */
import { randomUUID } from "node:crypto"
import { describe, expect, it } from "vitest"
import { eventually } from "../support.js"
import type { Given } from "./operations.js"

export const control = (given: () => Given): void => {
  describe("sandboxes", () => {
    it("getInfo", async () => {
      const { sandbox } = given()
      const info = await sandbox.getInfo()
      expect(info).toMatchObject({ sandboxId: sandbox.sandboxId, state: "running" })
      expect(info.endAt.getTime()).toBeGreaterThan(info.startedAt.getTime())
    })

    it("isRunning, kill: yes, then no", async () => {
      const { client } = given()
      const other = await client.Sandbox.create()
      expect(await other.isRunning()).toBe(true)
      expect(await client.Sandbox.kill(other.sandboxId)).toBe(true)
      expect(await other.isRunning()).toBe(false)
      expect(await client.Sandbox.kill(other.sandboxId)).toBe(false)
    })

    it("a sandbox that is gone: commands and files fail as their own error", async () => {
      const { client } = given()
      const other = await client.Sandbox.create()
      await other.kill()
      // Older ones say so by the one, newer ones by the other.
      const isGone = (error: unknown) => error instanceof client.TimeoutError || error instanceof client.NotFoundError
      for (const call of [() => other.commands.run("true"), () => other.files.read("x")]) {
        expect(isGone(await call().then(() => undefined, (error: unknown) => error))).toBe(true)
      }
    })

    it("connect: the same sandbox; and one that is not there", async () => {
      const { client, sandbox } = given()
      const again = await client.Sandbox.connect(sandbox.sandboxId)
      expect((await again.commands.run("echo $COLOUR")).stdout).toBe("blue\n")
      await expect(client.Sandbox.connect("sbx_nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("a wrong key is an AuthenticationError", async () => {
      const { client } = given()
      const apiKey = `e2b_${"99".repeat(20)}`
      await expect(client.Sandbox.create({ apiKey })).rejects.toBeInstanceOf(client.AuthenticationError)
    })

    it("another user sees nothing of it", async () => {
      const { client, sandbox } = given()
      const apiKey = `e2b_${"0b".repeat(20)}`
      expect(await client.Sandbox.kill(sandbox.sandboxId, { apiKey })).toBe(false)
      await expect(client.Sandbox.getInfo(sandbox.sandboxId, { apiKey })).rejects.toBeInstanceOf(client.NotFoundError)
      await expect(client.Sandbox.connect(sandbox.sandboxId, { apiKey })).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("what is asked of the class is asked of the sandbox", async () => {
      const { client, sandbox } = given()
      expect(await client.Sandbox.getInfo(sandbox.sandboxId)).toMatchObject({ sandboxId: sandbox.sandboxId })
      await client.Sandbox.setTimeout(sandbox.sandboxId, 1_200_000)
      expect((await sandbox.getInfo()).endAt.getTime() - Date.now()).toBeGreaterThan(900_000)
    })

    it("list: by state", async () => {
      const { client, sandbox } = given()
      const ids = async (state: Array<"running" | "paused">) =>
        (await client.Sandbox.list({ query: { state } }).nextItems()).map(({ sandboxId }) => sandboxId)
      expect(await ids(["paused"])).not.toContain(sandbox.sandboxId)
      expect(await ids(["running", "paused"])).toContain(sandbox.sandboxId)
    })

    it("setTimeout: a sandbox whose time is over is gone", async () => {
      const { client } = given()
      const other = await client.Sandbox.create({ timeoutMs: 1_000 })
      await eventually(async () => !(await other.isRunning()))
      await expect(client.Sandbox.getInfo(other.sandboxId)).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("fork: copies of its files, each on its own", async () => {
      const { client, sandbox } = given()
      // It came with 2.4x.
      if (!("fork" in sandbox)) return
      await sandbox.files.write("forked", "before")
      const forks = await sandbox.fork({ count: 2, timeoutMs: 120_000 })
      expect(forks).toHaveLength(2)
      for (const [at, fork] of forks.entries()) {
        if (fork instanceof Error) throw fork
        expect(await fork.files.read("forked")).toBe("before")
        await fork.files.write("forked", `by ${at}`)
        expect((await fork.commands.run("cat forked; echo $COLOUR")).stdout).toBe(`by ${at}blue\n`)
        expect((await fork.getInfo()).endAt.getTime() - Date.now()).toBeLessThan(130_000)
        expect(await fork.kill()).toBe(true)
      }
      expect(await sandbox.files.read("forked")).toBe("before")
      await expect(client.Sandbox.fork("sbx_nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("network: hosts that are named are allowed, and no others", async () => {
      const { client } = given()
      const other = await client.Sandbox.create({ network: { allowOut: ["example.org"] } })
      const status = async (host: string) =>
        (await other.commands.run(`curl -s -o /dev/null -m 20 -w '%{http_connect}' https://${host} || true`)).stdout
      // Whether it is reached, is for the network that this runs in; that it may be, is said by anything but this.
      expect(await status("example.org")).not.toBe("403")
      expect(await status("example.net")).toBe("403")
      await other.kill()
    })

    it("network: none, also where older clients ask for all of it", async () => {
      const { sandbox } = given()
      const { stdout } = await sandbox.commands.run("curl -s -m 20 https://example.org; echo $?")
      // Its name cannot be looked up, or it cannot be reached.
      expect(["6\n", "7\n"]).toContain(stdout)
    })

    it("list: by metadata, in pages", async () => {
      const { client } = given()
      const group = `g & ${randomUUID()}`
      const made = await Promise.all([1, 2, 3].map(() => client.Sandbox.create({ metadata: { group } })))
      const paginator = client.Sandbox.list({ query: { metadata: { group } }, limit: 2 })
      const first = await paginator.nextItems()
      expect([first.length, paginator.hasNext]).toEqual([2, true])
      const second = await paginator.nextItems()
      expect([second.length, paginator.hasNext]).toEqual([1, false])
      expect([...first, ...second].map(({ sandboxId }) => sandboxId).sort()).toEqual(
        made.map(({ sandboxId }) => sandboxId).sort()
      )
      expect(first[0]?.metadata).toEqual({ group })
      await Promise.all(made.map((one) => one.kill()))
      expect(await client.Sandbox.list({ query: { metadata: { group } } }).nextItems()).toEqual([])
    })

    it("setTimeout: moves the end; a sandbox that is not there", async () => {
      const { client, sandbox } = given()
      await sandbox.setTimeout(3_600_000)
      const left = (await sandbox.getInfo()).endAt.getTime() - Date.now()
      expect(left).toBeGreaterThan(3_000_000)
      await expect(client.Sandbox.setTimeout("sbx_nowhere", 1_000)).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("pause and connect: goes on with all that ran", async () => {
      const { client } = given()
      const other = await client.Sandbox.create({ metadata: { paused: "yes" } })
      await other.commands.run("echo kept > /tmp/memory")
      expect(await client.Sandbox.pause(other.sandboxId)).toBe(true)
      expect(await client.Sandbox.pause(other.sandboxId)).toBe(false)
      expect((await client.Sandbox.getInfo(other.sandboxId)).state).toBe("paused")
      const listed = await client.Sandbox.list({ query: { state: ["paused"] } }).nextItems()
      expect(listed.map(({ sandboxId }) => sandboxId)).toContain(other.sandboxId)
      const again = await client.Sandbox.connect(other.sandboxId)
      expect((await again.commands.run("cat /tmp/memory")).stdout).toBe("kept\n")
      expect((await again.getInfo()).state).toBe("running")
      await again.kill()
    })

    it("pause: one that is not there", async () => {
      const { client } = given()
      await expect(client.Sandbox.pause("sbx_nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("createSnapshot: a sandbox is made of it; listed, deleted", async () => {
      const { client, sandbox } = given()
      await sandbox.files.write("snapped", "then")
      const { snapshotId } = await sandbox.createSnapshot()
      await sandbox.files.write("snapped", "now")
      const copy = await client.Sandbox.create(snapshotId)
      expect(await copy.files.read("snapped")).toBe("then")
      await copy.kill()
      const listed = await sandbox.listSnapshots().nextItems()
      expect(listed.map((one) => one.snapshotId)).toContain(snapshotId)
      expect(await client.Sandbox.deleteSnapshot(snapshotId)).toBe(true)
      expect(await client.Sandbox.deleteSnapshot(snapshotId)).toBe(false)
    })

    it("getMetrics: what it uses now, and what it may use", async () => {
      const { client, sandbox } = given()
      await sandbox.files.write("metrics", "x".repeat(1_000_000))
      const [now, ...others] = await sandbox.getMetrics()
      expect(others).toEqual([])
      expect(now).toMatchObject({ cpuCount: 1, memTotal: 2 ** 30, diskTotal: 2 ** 32 })
      expect(now?.memUsed).toBeGreaterThan(1_000_000)
      expect(now?.memUsed).toBeLessThan(2 ** 30)
      expect(now?.diskUsed).toBeGreaterThanOrEqual(1_000_000)
      expect(now?.cpuUsedPct).toBeGreaterThanOrEqual(0)
      expect(Math.abs(Date.now() - (now?.timestamp.getTime() ?? 0))).toBeLessThan(600_000)
      const start = new Date(Date.now() - 3_600_000)
      expect(await client.Sandbox.getMetrics(sandbox.sandboxId, { start, end: new Date() })).toHaveLength(1)
      await expect(client.Sandbox.getMetrics("sbx_nowhere")).rejects.toThrow(/sbx_nowhere/)
    })

    it("getMetrics: of one that is paused, which stays so", async () => {
      const { client } = given()
      const other = await client.Sandbox.create()
      await client.Sandbox.pause(other.sandboxId)
      expect((await other.getMetrics())[0]).toMatchObject({ cpuUsedPct: 0, cpuCount: 1 })
      expect((await client.Sandbox.getInfo(other.sandboxId)).state).toBe("paused")
      await other.kill()
    })

    it("what is not here is told by its name", async () => {
      const { client } = given()
      await expect(client.Sandbox.create({ network: { denyOut: ["10.0.0.0/8"] } })).rejects.toThrow(/network\.denyOut/)
      await expect(client.Sandbox.create({ mcp: {} })).rejects.toThrow(/mcp/)
      await expect(client.Volume.create("v")).rejects.toThrow(/volumes/)
    })

    it("an unknown template", async () => {
      const { client } = given()
      await expect(client.Sandbox.create("no-such-template")).rejects.toThrow(/no-such-template/)
    })
  })
}
