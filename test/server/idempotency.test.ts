import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { RunningServer } from "../../src/server.js"
import { type Cli, install } from "../cli/support.js"
import { ALICE, type Answer, BOB, clientOf, eventually, expectError, start } from "./support.js"

const keyed = (key: string = randomUUID()) => ({ "idempotency-key": key })

const replayed = (answer: Answer): boolean => answer.headers.get("idempotent-replayed") === "true"

/** A folder for one test; users of sandboxes may pass through. */
const folder = async () => {
  const path = await Fs.mkdtemp(Path.join(tmpdir(), "sandbox-sdk-keys-"))
  await Fs.chmod(path, 0o711)
  return { path, [Symbol.asyncDispose]: () => Fs.rm(path, { recursive: true, force: true }) }
}

describe("a request that is made again with its key", () => {
  let server: RunningServer
  let client: ReturnType<typeof clientOf>
  let sandbox: string

  beforeAll(async () => {
    server = await start()
    client = clientOf(server.url)
    sandbox = await client.sandbox({ templateId: "bash" })
  })

  afterAll(() => server.close())

  const lines = async (path: string) =>
    (await client.request("POST", `${sandbox}/terminal`, { command: `cat ${path} | wc -l` })).json.output.trim()

  it("is answered with the first answer: status, header fields and body", async () => {
    const body = { templateId: "bash", name: "only one" }
    const headers = keyed()
    const first = await client.request("POST", "/api/sandboxes/create", body, headers)
    const again = await client.request("POST", "/api/sandboxes/create", body, headers)
    expect(first.status).toBe(200)
    expect([replayed(first), replayed(again)]).toEqual([false, true])
    expect([again.status, again.text, again.headers.get("content-type")]).toEqual([
      first.status,
      first.text,
      first.headers.get("content-type")
    ])
    const named = (await client.request("GET", "/api/sandboxes")).json.filter(({ name }: any) => name === "only one")
    expect(named).toHaveLength(1)
    const metrics = await client.request("GET", "/api/metrics")
    expect(metrics.status).toBe(200)
  })

  it("is answered so as well when the first was an error", async () => {
    const headers = keyed()
    const path = `${sandbox}/files?path=not-there`
    const first = await client.request("DELETE", path, undefined, headers)
    expectError(first, 404, "file_not_found")
    await client.request("POST", path, { content: "now it is" })
    expectError(await client.request("DELETE", path, undefined, headers), 404, "file_not_found")
    expect((await client.request("GET", path)).json.content).toBe("now it is")
  })

  it("waits for the first while that is carried out", async () => {
    const headers = keyed()
    const command = { command: "echo x >> twice; while [ ! -e go-on ]; do sleep 0.02; done; echo done" }
    const send = () => client.request("POST", `${sandbox}/terminal`, command, headers)
    const first = send()
    await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=twice`)).status === 200)
    const others = [send(), send()]
    await client.request("POST", `${sandbox}/files?path=go-on`, { content: "" })
    const answers = await Promise.all([first, ...others])
    expect(answers.map(({ json }) => json)).toEqual(Array(3).fill({ output: "done\n", exitCode: 0 }))
    expect(answers.map(replayed)).toEqual([false, true, true])
    expect(await lines("twice")).toBe("1")
  })

  it("finds what it did, when its connection broke in the middle", async () => {
    const headers = keyed()
    const command = { command: "echo x >> broken; while [ ! -e broken-go ]; do sleep 0.02; done; echo done" }
    const stop = new AbortController()
    const first = client.send("POST", `${sandbox}/terminal`, command, headers, stop.signal)
    first.catch(() => undefined)
    await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=broken`)).status === 200)
    stop.abort()
    await expect(first).rejects.toThrow()
    const again = client.request("POST", `${sandbox}/terminal`, command, headers)
    await client.request("POST", `${sandbox}/files?path=broken-go`, { content: "" })
    expect((await again).json).toEqual({ output: "done\n", exitCode: 0 })
    expect(await lines("broken")).toBe("1")
  })

  it("is refused when it is another request", async () => {
    const headers = keyed()
    const path = `${sandbox}/files?path=`
    await client.request("POST", `${path}mine`, { content: "1" }, headers)
    for (
      const [method, where, body] of [
        ["POST", `${path}mine`, { content: "2" }],
        ["POST", `${path}other`, { content: "1" }],
        ["DELETE", `${path}mine`, undefined]
      ] as const
    ) {
      const answer = await client.request(method, where, body, headers)
      expectError(answer, 400, "invalid_argument")
      expect(answer.json.field).toBe("idempotency-key")
    }
    expect((await client.request("GET", `${path}mine`)).json.content).toBe("1")
    // The keys of one user mean nothing to another.
    const bob = clientOf(server.url, BOB)
    expect((await bob.request("POST", "/api/sandboxes/create", { templateId: "bash" }, headers)).status).toBe(200)
  })

  it("is carried out after all when the first was refused", async () => {
    const headers = keyed()
    const path = `${sandbox}/execute`
    expectError(await client.request("POST", path, { code: 1 }, headers), 400, "invalid_argument")
    const second = await client.request("POST", path, { code: "echo 1" }, headers)
    expect([second.status, replayed(second)]).toEqual([200, false])
    const key = keyed()
    await using strict = await start({ quotas: { sandboxes: 1 } })
    const one = clientOf(strict.url)
    const id = await one.sandbox({ templateId: "bash" })
    const create = () => one.request("POST", "/api/sandboxes/create", { templateId: "bash" }, key)
    expectError(await create(), 429)
    await one.request("DELETE", id)
    expect((await create()).status).toBe(200)
    expect(replayed(await create())).toBe(true)
  })

  it("writes a file anew that was cut off on its way, and does not when it was whole", async () => {
    const headers = { ...keyed(), authorization: `Bearer ${ALICE}` }
    const url = `${server.url}${sandbox}/files/content?path=up`
    const stop = new AbortController()
    const cut = fetch(url, {
      method: "PUT",
      headers,
      // Begins, and never ends.
      body: new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1_000)) }),
      signal: stop.signal,
      // @ts-expect-error: fetch of Node wants it for streams, its types do not know it.
      duplex: "half"
    })
    cut.catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const put = (text: string) => fetch(url, { method: "PUT", headers, body: text })
    expect((await put("whole")).status).toBe(200)
    stop.abort()
    await client.request("DELETE", `${sandbox}/files?path=up`)
    const again = await put("whole")
    expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([200, "true"])
    expectError(await client.request("GET", `${sandbox}/files/stat?path=up`), 404, "file_not_found")
  })

  it("counts among the requests of its user", async () => {
    await using strict = await start({ quotas: { requestsPerMinute: 3 } })
    const one = clientOf(strict.url)
    const headers = keyed()
    const create = () => one.request("POST", "/api/sandboxes/create", { templateId: "bash" }, headers)
    const left = async () => (await create()).headers.get("x-ratelimit-remaining")
    expect([await left(), await left(), await left()]).toEqual(["2", "1", "0"])
    expectError(await create(), 429)
  })

  it("cannot have a key that is too long, or empty", async () => {
    for (const key of ["", "x".repeat(256)]) {
      const answer = await client.request("POST", `${sandbox}/execute`, { code: "echo 1" }, keyed(key))
      expectError(answer, 400, "invalid_argument")
      expect(answer.json.field).toBe("idempotency-key")
    }
  })
})

it("what nobody comes back for is stopped after a while, and is not run again", async () => {
  await using server = await start({ detachGraceMs: 200 })
  const client = clientOf(server.url)
  const sandbox = await client.sandbox({ templateId: "bash" })
  const headers = keyed()
  const command = { command: "echo x >> left; exec sleep 4321" }
  const stop = new AbortController()
  client.send("POST", `${sandbox}/terminal`, command, headers, stop.signal).catch(() => undefined)
  await eventually(async () => (await client.request("GET", `${sandbox}/files/stat?path=left`)).status === 200)
  stop.abort()
  await eventually(async () =>
    (await client.request("POST", `${sandbox}/terminal`, { command: "pgrep -fc '[s]leep 4321'" })).json.output === "0\n"
  )
  const again = await client.request("POST", `${sandbox}/terminal`, command, headers)
  expectError(again, 500, "outcome_unknown")
})

describe("after a restart", () => {
  const create = { templateId: "bash" }

  it("a request is known to the next server on the same data folder", async () => {
    await using data = await folder()
    const headers = keyed()
    const first = await start({ dataDirectory: data.path })
    const made = await clientOf(first.url).request("POST", "/api/sandboxes/create", create, headers)
    await first.close()
    await using second = await start({ dataDirectory: data.path })
    const client = clientOf(second.url)
    const again = await client.request("POST", "/api/sandboxes/create", create, headers)
    expect([again.status, again.text, replayed(again)]).toEqual([200, made.text, true])
    expect((await client.request("GET", "/api/sandboxes")).json).toHaveLength(1)
  })

  it("a torn last line, and one in the middle, take nothing else along", async () => {
    await using data = await folder()
    const headers = keyed()
    const first = await start({ dataDirectory: data.path })
    await clientOf(first.url).request("POST", "/api/sandboxes/create", create, headers)
    await first.close()
    const journal = Path.join(data.path, "requests.jsonl")
    const text = await Fs.readFile(journal, "utf8")
    const half = text.slice(0, 40)
    for (const torn of [`${text}${half}`, `${half}\n${text}`, `${text}\u0000\u0000`]) {
      await Fs.writeFile(journal, torn)
      const next = await start({ dataDirectory: data.path })
      const client = clientOf(next.url)
      expect(replayed(await client.request("POST", "/api/sandboxes/create", create, headers))).toBe(true)
      // What is written after it is whole.
      const other = keyed()
      await client.request("POST", "/api/requests/none/stop")
      const made = await client.request("POST", "/api/sandboxes/create", create, other)
      expect(made.status).toBe(200)
      await next.close()
      await using third = await start({ dataDirectory: data.path })
      expect(replayed(await clientOf(third.url).request("POST", "/api/sandboxes/create", create, other))).toBe(true)
      await clientOf(third.url).request("DELETE", `/api/sandboxes/${made.json.sandbox.id}`)
    }
  })

  describe("of a server that was killed", () => {
    let cli: Cli

    beforeAll(async () => {
      cli = await install()
    })

    afterAll(() => cli.remove())

    const serve = async () => {
      const started = cli.start(["serve", "--port", "0", "--data", "data", "--api-key", ALICE])
      const [, url = ""] = /Listening at (\S+)\n/.exec(await started.says(/Listening at (\S+)\n/)) ?? []
      return { started, client: clientOf(url) }
    }

    it("what was under way is not run again: outcome_unknown", async () => {
      const first = await serve()
      const sandbox = await first.client.sandbox(create)
      const headers = keyed()
      const command = { command: "echo x >> count; exec sleep 60" }
      const broken = first.client.request("POST", `${sandbox}/terminal`, command, headers)
      broken.catch(() => undefined)
      await eventually(async () =>
        (await first.client.request("GET", `${sandbox}/files/stat?path=count`)).status === 200
      )
      first.started.child.kill("SIGKILL")
      await expect(broken).rejects.toThrow()
      await first.started.ended
      const { client, started } = await serve()
      expectError(await client.request("POST", `${sandbox}/terminal`, command, headers), 500, "outcome_unknown")
      expect((await client.request("GET", `${sandbox}/files?path=count`)).json.content).toBe("x\n")
      started.child.kill("SIGTERM")
      await started.ended
    })
  })
})

describe.runIf(process.getuid?.() === 0)("on a full disk", () => {
  it("a request is refused before it has an effect; what makes space is not", async () => {
    await using disk = await folder()
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=711", "tmpfs", disk.path])
    try {
      await using server = await start({ idempotency: { directory: disk.path } })
      const client = clientOf(server.url)
      const sandbox = await client.sandbox({ templateId: "bash" })
      await Fs.writeFile(Path.join(disk.path, "filler"), Buffer.alloc(64 * 1024)).catch(() => undefined)
      const headers = keyed()
      const write = () => client.request("POST", `${sandbox}/files?path=a`, { content: "1" }, headers)
      expectError(await write(), 507, "disk_full")
      expectError(await client.request("GET", `${sandbox}/files/stat?path=a`), 404, "file_not_found")
      const create = await client.request("POST", "/api/sandboxes/create", { templateId: "bash" }, keyed())
      expectError(create, 507, "disk_full")
      expect((await client.request("GET", "/api/sandboxes")).json).toHaveLength(1)
      expect((await client.request("DELETE", sandbox, undefined, keyed())).status).toBe(200)
      await Fs.rm(Path.join(disk.path, "filler"))
      const after = await client.request("POST", "/api/sandboxes/create", { templateId: "bash" }, headers)
      expect(after.status).toBe(200)
    } finally {
      execFileSync("umount", ["-l", disk.path])
    }
  })
})
