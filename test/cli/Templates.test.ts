/**
 * Templates and snapshots of a server, by `sandbox templates`, `sandbox snapshots` and `sandbox serve --build-network`.
 */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { Schema } from "effect"
import { writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import * as Path from "node:path"
import { type Cli, install, isRunning, type Started } from "./support.js"

const KEY = "key-of-templates"

const Builds = Schema.parseJson(Schema.Array(Schema.Struct({
  status: Schema.String,
  sizeBytes: Schema.Number,
  startedAt: Schema.Number,
  endedAt: Schema.Number
})))
const Named = Schema.parseJson(Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.optional(Schema.String) })))
const Created = Schema.Struct({ sandbox: Schema.Struct({ id: Schema.String }) })

/** What builds may reach by HTTP. */
const registry = createServer((_, response) => void response.end("from the registry"))

let cli: Cli
let server: Started
let env: { readonly SANDBOX_SERVER_URL: string; readonly SANDBOX_API_KEY: string }
let port: number

const run = (...args: ReadonlyArray<string>) => cli.run(args, { env })

const template = async (name: string, config: object = {}): Promise<string> => {
  const file = `${name}.json`
  await writeFile(
    Path.join(cli.folder, file),
    JSON.stringify({ name, language: "bash", version: "5", ...config })
  )
  return file
}

const names = async (): Promise<string> =>
  (await run("templates", "--server", env.SANDBOX_SERVER_URL)).stdout.toString()

const create = async (body: object): Promise<string> => {
  const response = await fetch(`${env.SANDBOX_SERVER_URL}/api/sandboxes/create`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body)
  })
  return Schema.decodeUnknownSync(Created)(await response.json()).sandbox.id
}

beforeAll(async () => {
  cli = await install()
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve))
  const address = registry.address()
  port = address !== null && typeof address === "object" ? address.port : 0
  server = cli.start([
    ...["serve", "--port", "0", "--api-key", KEY, "--allow-network", "any"],
    ...["--build-network", `127.0.0.1:${port}`]
  ])
  const [, url = ""] = /Listening at (\S+)\n/.exec(await server.says(/Listening at (\S+)\n/)) ?? []
  env = { SANDBOX_SERVER_URL: url, SANDBOX_API_KEY: KEY }
})

afterAll(async () => {
  registry.close()
  server.child.kill("SIGTERM")
  await server.ended
  await cli.remove()
})

describe("templates build", () => {
  it("makes a template, shows the log as it is written, and prints its id alone", async () => {
    const file = await template("Tools", { installCommand: "echo out; echo err >&2; echo installed > greeting" })
    const { status, stderr, stdout } = await run("templates", "build", file)
    assert.strictEqual(status, 0, stderr)
    assert.match(stdout.toString(), /^[\w-]+\n$/)
    const [step, ...output] = stderr.trim().split("\n")
    assert.strictEqual(step, "$ echo out; echo err >&2; echo installed > greeting")
    assert.deepStrictEqual(output.sort(), ["err", "out"])
    const id = stdout.toString().trim()
    const used = await cli.run(
      ["run", "-", "-l", "bash", "--template", id, "--server", env.SANDBOX_SERVER_URL],
      { env, input: "cat $TEMPLATE_DIR/greeting" }
    )
    assert.strictEqual(used.stdout.toString(), "installed\n", used.stderr)
    const [build] = Schema.decodeUnknownSync(Builds)((await run("templates", "builds", id, "--json")).stdout.toString())
    assert.strictEqual(build?.status, "ready")
    const table = (await run("templates", "builds", id)).stdout.toString()
    assert.match(table, /^ID +STATUS +STARTED +TOOK +SIZE +ERROR\n\S+ +ready .* ago .*-\n$/)
    assert.strictEqual((await run("templates", "rm", id)).stdout.toString(), `${id}\n`)
    assert.notInclude(await names(), "Tools")
  })

  it("makes one that installs nothing without a word", async () => {
    const { stderr, stdout } = await run("templates", "build", await template("Plain"))
    assert.strictEqual(stderr, "")
    assert.include(await names(), stdout.toString().trim())
  })

  it("fails as the build does, and leaves no template", async () => {
    const file = await template("Broken", { installCommand: "echo the reason is this; exit 3" })
    const { status, stderr, stdout } = await run("templates", "build", file)
    assert.deepStrictEqual([status, stdout.toString()], [70, ""])
    assert.match(stderr, /^\$ echo the reason is this; exit 3\nthe reason is this\n[\s\S]*3/)
    assert.notInclude(await names(), "Broken")
  })

  it("stopped by Ctrl-C ends the build, and leaves no template", async () => {
    const file = await template("Endless", { installCommand: "echo begun; sleep 1000.4717" })
    const started = cli.start(["templates", "build", file], env)
    await started.complains(/\nbegun\n/)
    await vi.waitFor(() => assert.isTrue(isRunning("1000.4717")), { timeout: 20_000 })
    started.child.kill("SIGINT")
    assert.strictEqual((await started.ended).status, 130)
    assert.isFalse(isRunning("1000.4717"))
    assert.notInclude(await names(), "Endless")
  })

  it("names the file that is no template", async () => {
    const wrong = await run("templates", "build", await template("wrong", { languages: ["bash"] }))
    assert.deepStrictEqual([wrong.status, /^wrong\.json is no template: /.test(wrong.stderr)], [64, true], wrong.stderr)
    const missing = await run("templates", "build", "missing.json")
    assert.deepStrictEqual(
      [missing.status, missing.stderr],
      [66, "Cannot read missing.json: there is no such file or directory.\n"]
    )
  })
})

describe("serve --build-network", () => {
  it("lets builds reach what it names, and nothing else", async () => {
    const fetched = async (name: string, to: number) =>
      run("templates", "build", await template(name, { installCommand: `curl -sS --fail http://127.0.0.1:${to}/` }))
    const there = await fetched("Reaches", port)
    assert.include(there.stderr, "from the registry")
    assert.strictEqual(there.status, 0)
    const elsewhere = await fetched("Barred", port === 1 ? 2 : 1)
    assert.strictEqual(elsewhere.status, 70)
    assert.include(elsewhere.stderr, "403")
  })

  it("takes hosts and ports, or none alone", async () => {
    for (const given of [["none", "pypi.org:443"], ["any"], ["pypi.org"]]) {
      const refused = await cli.run(["serve", "--port", "0", ...given.flatMap((each) => ["--build-network", each])])
      assert.strictEqual(refused.status, 64, refused.stderr)
      assert.match(refused.stderr, /^--build-network/)
    }
  })
})

describe("snapshots", () => {
  it("are made, listed by sandbox, and deleted", async () => {
    const id = await create({ templateId: "bash" })
    const other = await create({ templateId: "bash" })
    const made = await run("snapshots", "create", id, "--name", "before")
    assert.strictEqual(made.status, 0, made.stderr)
    const snapshot = made.stdout.toString().trim()
    const of = async (sandbox: string) =>
      Schema.decodeUnknownSync(Named)((await run("snapshots", "--json", "--sandbox", sandbox)).stdout.toString())
    assert.deepStrictEqual(await of(id), [{ id: snapshot, name: "before" }])
    assert.deepStrictEqual(await of(other), [])
    assert.match(
      (await run("snapshots")).stdout.toString(),
      new RegExp(`^ID +NAME +SANDBOX +TEMPLATE +CREATED +SIZE\\n${snapshot} +before +${id} `)
    )
    assert.strictEqual((await run("snapshots", "rm", snapshot)).stdout.toString(), `${snapshot}\n`)
    assert.deepStrictEqual(await of(id), [])
    const unknown = await run("snapshots", "create", "sbx_none")
    assert.deepStrictEqual([unknown.status, /sbx_none/.test(unknown.stderr)], [70, true])
  })
})
