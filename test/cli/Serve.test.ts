/**
 * `sandbox serve`, and the commands that are about the sandboxes of a server.
 */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { Schema } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdir, readFile, rename, symlink, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import * as Path from "node:path"
import { type Cli, install, isRunning, type Started } from "./support.js"

let cli: Cli
let server: Started
let env: Record<string, string>

const path = (name: string) => Path.join(cli.folder, name)

/** Waits until it listens. */
const listening = async (started: Started) => {
  const said = await started.says(/Listening at (\S+)\n/)
  const [, url = ""] = /Listening at (\S+)\n/.exec(said) ?? []
  const [, key = ""] = /^API key: (\S+)\n/.exec(said) ?? []
  return { said, env: { SANDBOX_SERVER_URL: url, SANDBOX_API_KEY: key } }
}

const Created = Schema.Struct({ sandbox: Schema.Struct({ id: Schema.String }) })
const Refused = Schema.Struct({ code: Schema.optional(Schema.String), field: Schema.optional(Schema.String) })
const Ids = Schema.parseJson(Schema.Array(Schema.Struct({ id: Schema.String })))
const Templates = Schema.parseJson(
  Schema.Array(Schema.Struct({ id: Schema.String, config: Schema.Struct({ name: Schema.String }) }))
)

const create = async (): Promise<string> => {
  const response = await fetch(`${env["SANDBOX_SERVER_URL"]}/api/sandboxes/create`, {
    method: "POST",
    headers: { authorization: `Bearer ${env["SANDBOX_API_KEY"]}`, "content-type": "application/json" },
    body: JSON.stringify({ templateId: "bash", name: "named \u001b[31mred" })
  })
  return Schema.decodeUnknownSync(Created)(await response.json()).sandbox.id
}

beforeAll(async () => {
  cli = await install()
  await mkdir(path("templates"))
  await writeFile(
    path("templates/one.json"),
    JSON.stringify({ name: "Mine", language: "bash", version: "5", defaultEnvVars: { FROM: "template" } })
  )
  server = cli.start(["serve", "--port", "0", "--template-dir", "templates", "--data", "data"])
  ;({ env } = await listening(server))
})

afterAll(async () => {
  server.child.kill("SIGTERM")
  await server.ended
  await cli.remove()
})

const run = (args: ReadonlyArray<string>, input?: string | Uint8Array) =>
  cli.run(args, { env, ...(input === undefined ? {} : { input }) })

describe("serve", () => {
  it("prints a key that it made and its address, and ends with 0 when it is told to", async () => {
    const started = cli.start(["serve", "--port", "0"])
    const { said } = await listening(started)
    assert.match(
      said,
      /^API key: (e2b_[0-9a-f]{40})\n[^\n]* E2B_API_URL=(\S+) E2B_SANDBOX_URL=\2 E2B_API_KEY=\1\nListening at \2\n$/
    )
    started.child.kill("SIGINT")
    const { status, stderr } = await started.ended
    assert.deepStrictEqual([status, stderr], [0, ""])
  })

  it("lets a request that runs end, and ends at once at a second signal", async () => {
    const started = cli.start(["serve", "--port", "0"])
    const { env } = await listening(started)
    const remote = cli.start(
      ["run", "-", "-l", "bash", "--server", env.SANDBOX_SERVER_URL],
      { SANDBOX_API_KEY: env.SANDBOX_API_KEY }
    )
    remote.child.stdin.end("echo begun; sleep 1000.4715")
    await remote.says(/begun/)
    started.child.kill("SIGTERM")
    // Two signals that wait at the same time have no order.
    while (await fetch(env.SANDBOX_SERVER_URL).then(() => true, () => false)) {}
    await vi.waitFor(() => assert.isTrue(isRunning("1000.4715")), { timeout: 20_000 })
    started.child.kill("SIGINT")
    assert.strictEqual((await started.ended).status, 130)
    const { status, stderr } = await remote.ended
    assert.strictEqual(status, 69, stderr)
  })

  it("takes its keys from the arguments or the environment, and prints none of them", async () => {
    const started = cli.start(["serve", "--port", "0", "--api-key", "key-one", "--api-key", "key-two"])
    const { said, env } = await listening(started)
    assert.notInclude(said, "key-")
    for (const key of ["key-one", "key-two"]) {
      const listed = await cli.run(["ls"], { env: { ...env, SANDBOX_API_KEY: key } })
      assert.strictEqual(listed.status, 0, listed.stderr)
    }
    const refused = await cli.run(["ls"], { env: { ...env, SANDBOX_API_KEY: "key-three" } })
    assert.strictEqual(refused.status, 77)
    assert.match(refused.stderr, /\nSet SANDBOX_API_KEY to a key of that server\.\n$/)
    assert.notInclude(refused.stderr, "key-three")
    started.child.kill("SIGTERM")
    assert.strictEqual((await started.ended).status, 0)
  })

  it("bounds the network that a sandbox may be given", async () => {
    const answer = async (env: Awaited<ReturnType<typeof listening>>["env"], ...allow: ReadonlyArray<string>) => {
      const response = await fetch(`${env.SANDBOX_SERVER_URL}/api/sandboxes/create`, {
        method: "POST",
        headers: { authorization: `Bearer ${env.SANDBOX_API_KEY}`, "content-type": "application/json" },
        body: JSON.stringify({ templateId: "bash", network: { allow } })
      })
      const { code = "made", field = "" } = Schema.decodeUnknownSync(Refused)(await response.json())
      return [response.status, code, field]
    }
    const tries: ReadonlyArray<readonly [ReadonlyArray<string>, string, ReadonlyArray<unknown>]> = [
      [[], "example.org:443", [200, "made", ""]],
      [[], "127.0.0.1:80", [403, "forbidden", "network.allow.0"]],
      [["any"], "127.0.0.1:80", [200, "made", ""]],
      [["none"], "example.org:443", [400, "unsupported", "network"]],
      [["example.org:443", "127.0.0.1:80"], "127.0.0.1:80", [200, "made", ""]],
      [["example.org:443", "127.0.0.1:80"], "example.org:80", [403, "forbidden", "network.allow.0"]]
    ]
    for (const [given, asked, expected] of tries) {
      const started = cli.start(["serve", "--port", "0", ...given.flatMap((each) => ["--allow-network", each])])
      assert.deepStrictEqual([given, asked, await answer((await listening(started)).env, asked)], [
        given,
        asked,
        expected
      ])
      started.child.kill("SIGTERM")
      assert.strictEqual((await started.ended).status, 0)
    }
    for (const given of [["none", "example.org:443"], ["example.org"]]) {
      const refused = await cli.run(["serve", "--port", "0", ...given.flatMap((each) => ["--allow-network", each])])
      assert.strictEqual(refused.status, 64, refused.stderr)
      assert.match(refused.stderr, /--allow-network/)
    }
  })

  it("takes a single key, however it is written", async () => {
    for (const args of [["--api-key", "key-one"], ["--api-key=key-one"]]) {
      const started = cli.start(["serve", "--port", "0", ...args])
      const { env, said } = await listening(started)
      assert.notInclude(said, "API key")
      assert.strictEqual((await cli.run(["ls"], { env: { ...env, SANDBOX_API_KEY: "key-one" } })).status, 0)
      started.child.kill("SIGTERM")
      assert.strictEqual((await started.ended).status, 0)
    }
  })

  it("takes its keys from a file, and those that come and go in it, with their requests", async () => {
    const hash = createHash("sha256").update("key-hashed").digest("hex")
    await writeFile(path("keys"), `# of the team\nkey-plain carol\n\n  sha256:${hash}\n`, { mode: 0o644 })
    const serving = ["serve", "--port", "0", "--api-keys-file", "keys", "--template-dir", "templates"]
    const started = cli.start([...serving, "--no-e2b", "--api-key", "key-given"], { SANDBOX_API_KEY: "key-unused" })
    const { env, said } = await listening(started)
    assert.match(said, /^Listening at [^\n]*\n$/)
    const as = (key: string, ...args: ReadonlyArray<string>) => cli.run(args, { env: { ...env, SANDBOX_API_KEY: key } })
    const statuses = async (...keys: ReadonlyArray<string>) => {
      const found: Array<number | null> = []
      for (const key of keys) {
        found.push((await as(key, "ls")).status)
      }
      return found
    }
    assert.deepStrictEqual(
      await statuses("key-plain", "key-hashed", "key-given", "key-unused", hash),
      [0, 0, 0, 77, 77]
    )
    const cut = cli.start(
      ["run", "-", "-l", "bash", "--server", env.SANDBOX_SERVER_URL],
      { SANDBOX_API_KEY: "key-plain" }
    )
    cut.child.stdin.end("echo begun; sleep 1000.4719")
    await cut.says(/begun/)

    // Half-written, as an editor may leave it for a moment: nothing changes.
    await writeFile(path("keys"), "one two three\n")
    await started.complains(/keys, line 1: [^\n]*\. The API keys stay as they are\.\n/)
    assert.deepStrictEqual(await statuses("key-plain", "key-hashed"), [0, 0])
    assert.isTrue(isRunning("1000.4719"))

    await writeFile(path("keys-next"), `sha256:${hash}\nkey-new dave\n`, { mode: 0o600 })
    await rename(path("keys-next"), path("keys"))
    await started.complains(/Read keys: 1 added, 1 revoked\.\n/)
    const { status, stderr } = await cut.ended
    assert.strictEqual(status, 77, stderr)
    await vi.waitFor(() => assert.isFalse(isRunning("1000.4719")))
    assert.deepStrictEqual(await statuses("key-plain", "key-hashed", "key-given", "key-new"), [77, 0, 0, 0])
    const { stdout } = await as("key-new", "templates", "--server", env.SANDBOX_SERVER_URL)
    assert.include(stdout.toString(), "Mine")

    // A program without a terminal is told by SIGHUP to read its files again.
    await writeFile(path("keys"), "key-last\n")
    started.child.kill("SIGHUP")
    await started.complains(/Read keys: 1 added, 2 revoked\.\n/)
    assert.deepStrictEqual(await statuses("key-new", "key-given", "key-last"), [77, 0, 0])
    started.child.kill("SIGTERM")
    const end = await started.ended
    assert.strictEqual(end.status, 0)
    assert.match(end.stderr, /^Others can read the keys in keys[^\n]*chmod 600/)
    for (const key of ["key-", hash.slice(0, 16)]) {
      assert.notInclude(said + end.stderr, key)
    }
  }, 60_000)

  it("does not start with a file of keys that is empty, malformed or missing", async () => {
    await writeFile(path("empty"), "# nobody\n")
    await writeFile(path("wrong"), "secret-key carol\nsha256:1234\n")
    for (
      const [file, status, message] of [
        ["empty", 64, /no key in empty/],
        ["wrong", 64, /^wrong, line 2: .*64 hexadecimal/],
        ["missing", 66, /Cannot read missing/]
      ] as const
    ) {
      const refused = await cli.run(["serve", "--port", "0", "--api-keys-file", file])
      assert.strictEqual(refused.status, status)
      assert.match(refused.stderr, message)
      assert.notInclude(refused.stderr, "secret-key")
    }
  })

  it("shows all that it counts to who has SANDBOX_METRICS_KEY", async () => {
    const started = cli.start(["serve", "--port", "0", "--api-key", "key-one"], { SANDBOX_METRICS_KEY: "key-metrics" })
    const { env } = await listening(started)
    const read = async (key: string) => {
      const response = await fetch(`${env.SANDBOX_SERVER_URL}/metrics`, { headers: { authorization: `Bearer ${key}` } })
      return [response.status, (await response.text()).includes("component=\"engine\"")]
    }
    await cli.run(["ls"], { env: { ...env, SANDBOX_API_KEY: "key-one" } })
    assert.deepStrictEqual(await read("key-metrics"), [200, true])
    assert.deepStrictEqual(await read("key-one"), [200, false])
    assert.deepStrictEqual(await read("key-two"), [401, false])
    started.child.kill("SIGTERM")
    await started.ended
  })

  it("listens beyond this machine only with a given key", async () => {
    const refused = await cli.run(["serve", "--host", "0.0.0.0", "--port", "0"])
    assert.strictEqual(refused.status, 64)
    assert.match(refused.stderr, /0\.0\.0\.0.*SANDBOX_API_KEY.*--api-key/)
    assert.strictEqual(refused.stdout.toString(), "")
  })

  it("says that its port or its folder is taken", async () => {
    const port = new URL(env["SANDBOX_SERVER_URL"] ?? "").port
    const samePort = await cli.run(["serve", "--port", port])
    assert.match(samePort.stderr, /^The server cannot listen at 127\.0\.0\.1, port \d+:[^\n]*\n$/)
    const sameData = await cli.run(["serve", "--port", "0", "--data", "data"])
    assert.match(sameData.stderr, /^The data folder[^\n]*in use[^\n]*\n$/)
    assert.notInclude([samePort.status, sameData.status], 0)
  })
})

describe("the commands of a server", () => {
  it("ls and rm", async () => {
    const id = await create()
    const table = (await run(["ls"])).stdout.toString()
    assert.match(table, /^ID +NAME +TEMPLATE +STATUS +CREATED +EXPIRES\n/)
    assert.include(table, id)
    assert.notInclude(table, "\u001b")
    assert.strictEqual((await run(["ls", "-q"])).stdout.toString(), `${id}\n`)
    const [listed] = Schema.decodeUnknownSync(Ids)((await run(["ls", "--json"])).stdout.toString())
    assert.strictEqual(listed?.id, id)
    const removed = await run(["rm", id])
    assert.deepStrictEqual([removed.stdout.toString(), removed.status], [`${id}\n`, 0])
    assert.deepStrictEqual(JSON.parse((await run(["ls", "--json"])).stdout.toString()), [])
  })

  it("cp: files and pipes, every byte", async () => {
    const id = await create()
    const bytes = randomBytes(3_000_000)
    await writeFile(path("in.bin"), bytes)
    const up = await run(["cp", "in.bin", `${id}:`])
    assert.deepStrictEqual([up.status, up.stdout.toString(), up.stderr], [0, "", "Copied 1 file, 3.0 MB.\n"])
    assert.isTrue((await run(["cp", `${id}:in.bin`, "-"])).stdout.equals(bytes))
    assert.strictEqual((await run(["cp", "-", `${id}:deep/down`], bytes)).status, 0)
    assert.strictEqual((await run(["cp", `${id}:deep/down`, "out.bin"])).status, 0)
    assert.isTrue((await readFile(path("out.bin"))).equals(bytes))
    await run(["rm", id])
  })

  it("cp: directories, without the links that lead out of them", async () => {
    const id = await create()
    await mkdir(path("from/below"), { recursive: true })
    await writeFile(path("from/a"), "one")
    await writeFile(path("from/below/b"), "two")
    await symlink("/etc/passwd", path("from/link"))
    const up = await run(["cp", "from", `${id}:`])
    assert.strictEqual(up.stderr, "Copied 3 files, 6 bytes.\n")
    const shell = await run(["shell", id], "cat from/a from/below/b; readlink from/link; ln -s ../a from/below/in\n")
    assert.strictEqual(shell.stdout.toString(), "onetwo/etc/passwd\n")
    const down = await run(["cp", `${id}:from`, "to"])
    assert.match(
      down.stderr,
      /^Left out \S*from\/link: a symbolic link that leads out of the directory\.\nCopied 3 files, 6 bytes/
    )
    assert.strictEqual(await readFile(path("to/below/in"), "utf8"), "one")
    assert.strictEqual(await readFile(path("to/below/b"), "utf8"), "two")
    await run(["rm", id])
  })

  it("cp says what is wrong with its arguments", async () => {
    const neither = await run(["cp", "a", "b"])
    assert.deepStrictEqual([neither.status, /write ID:PATH/.test(neither.stderr)], [64, true])
    const unknown = await run(["cp", "sbx_none:a", "b"])
    assert.deepStrictEqual([unknown.status, /sbx_none/.test(unknown.stderr)], [70, true])
  })

  it("run, with the exit status and nothing left behind", async () => {
    const { status, stderr, stdout } = await run(
      ["run", "-", "-l", "bash", "--server", env["SANDBOX_SERVER_URL"] ?? "", "-e", "A=b"],
      "echo $A; echo err >&2; exit 6"
    )
    assert.deepStrictEqual([stdout.toString(), stderr, status], ["b\n", "err\n", 6])
    assert.strictEqual((await run(["ls", "-q"])).stdout.toString(), "")
  })

  it("run, stopped on the server by Ctrl-C", async () => {
    const started = cli.start(["run", "-", "-l", "bash", "--server", env["SANDBOX_SERVER_URL"] ?? ""], env)
    started.child.stdin.end("echo begun; sleep 1000.4716")
    await started.says(/begun/)
    started.child.kill("SIGINT")
    assert.strictEqual((await started.ended).status, 130)
    assert.isFalse(isRunning("1000.4716"))
    assert.strictEqual((await run(["ls", "-q"])).stdout.toString(), "")
  })

  it("templates, those of --template-dir among them", async () => {
    const { stdout } = await run(["templates", "--json", "--server", env["SANDBOX_SERVER_URL"] ?? ""])
    const templates = Schema.decodeUnknownSync(Templates)(stdout.toString())
    const mine = templates.filter(({ config }) => config.name === "Mine")
    assert.lengthOf(mine, 1)
    const result = await run(
      ["run", "-", "-l", "bash", "--template", mine[0]?.id ?? "", "--server", env["SANDBOX_SERVER_URL"] ?? ""],
      "echo $FROM"
    )
    assert.strictEqual(result.stdout.toString(), "template\n")
  })

  it("say that there is no server, or no key, in a line", async () => {
    const unused = createServer().listen(0, "127.0.0.1")
    await once(unused, "listening")
    const address = unused.address()
    const url = `http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`
    unused.close()
    const nobody = await cli.run(["ls", "--server", url], { env })
    assert.strictEqual(nobody.status, 69)
    assert.match(nobody.stderr, /^[^\n]*\n$/)
    assert.include(nobody.stderr, url)
    const keyless = await cli.run(["ls"])
    assert.deepStrictEqual(
      [keyless.status, keyless.stderr],
      [77, "SANDBOX_API_KEY is not set: set it to a key of http://127.0.0.1:3000.\n"]
    )
  })
})

it("keeps sandboxes and templates in its folder, also for the key that its next start makes", async () => {
  const id = await create()
  server.child.kill("SIGTERM")
  assert.strictEqual((await server.ended).status, 0)
  server = cli.start(["serve", "--port", "0", "--template-dir", "templates", "--data", "data"])
  ;({ env } = await listening(server))
  assert.strictEqual((await run(["ls", "-q"])).stdout.toString(), `${id}\n`)
  const { stdout } = await run(["templates", "--json", "--server", env["SANDBOX_SERVER_URL"] ?? ""])
  assert.lengthOf(stdout.toString().match(/"Mine"/g) ?? [], 1)
})
