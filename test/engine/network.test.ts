/**
 * What programs in a sandbox reach of the network, as they find it. Names lead to servers of this machine, which the test
 * gives public addresses.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import type { NetworkPolicy } from "../../src/engine/NetworkPolicy.js"
import { SocketError, Sockets, type SocketsService } from "../../src/engine/Sockets.js"
import { Bubblewrap, layerEngine, layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"
import { certificate } from "../support/certificate.js"
import { holding, listening } from "../support/servers.js"

const ADDRESS = "1.2.3.4"

/** An engine for which every `*.test` name has that address, and that address is this machine. */
const outside = (opened: Array<string> = []): SocketsService => {
  const { connect, ownAddresses } = Sockets.defaultValue()
  return {
    ownAddresses,
    lookup: (name) =>
      name.startsWith("private.")
        ? Effect.succeed(["127.0.0.1"])
        : name.endsWith(".test")
        ? Effect.succeed([ADDRESS])
        : Effect.fail(new SocketError({ code: "ENOTFOUND" })),
    connect: (address, port) =>
      Effect.suspend(() => {
        opened.push(`${address}:${port}`)
        return connect(address === ADDRESS ? "127.0.0.1" : address, port)
      })
  }
}

const engine = (options: { readonly network?: NetworkPolicy; readonly sockets?: SocketsService } = {}) =>
  layerEngine({ network: options.network }).pipe(
    Layer.provide(Layer.merge(Bubblewrap.layer(), Layer.succeed(Sockets, options.sockets ?? outside())))
  )

const make = (...allow: ReadonlyArray<string>) => Sandbox.make({ templateId: "python", network: { allow } })

/** A web server that says what it was asked, and takes and gives as many bytes as it is told to. */
const web = () => (request: Http.IncomingMessage, response: Http.ServerResponse): void => {
  const hash = createHash("sha256")
  let size = 0
  request.on("data", (chunk: Buffer) => {
    size += chunk.length
    hash.update(chunk)
  })
  request.on("end", () => {
    response.setHeader("X-Url", request.url ?? "")
    response.end(`${request.method} ${request.url} of ${request.headers.host}: ${size} ${hash.digest("hex")}\n`)
  })
}

const MIB = 1024 * 1024

/** Bytes that look like nothing else: each block tells its place. */
const block = (index: number) => {
  const bytes = Buffer.alloc(64 * 1024, index % 251)
  bytes.writeUInt32LE(index, 0)
  return bytes
}

describe("The network of a sandbox", () => {
  it.live("is not there by default", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer(web()))
      for (const network of [undefined, "none", { allow: [] }] as const) {
        const sandbox = yield* Sandbox.make({ templateId: "python", ...(network === undefined ? {} : { network }) })
        expect(yield* sandbox.runTerminal("env | grep -i proxy; curl -sS http://1.1.1.1/ 2>&1")).toMatch(/^curl: \(7\)/)
        for (const at of [port, 3128]) {
          expect(yield* sandbox.runTerminal(`curl -sS http://127.0.0.1:${at}/ 2>&1`)).toMatch(/^curl: \(7\)/)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(engine({ network: "any" }))))

  it.live("leads curl, git, Python, Node and bash to a host that is named", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer(web()))
      const sandbox = yield* make(`web.test:${port}`)
      const url = `http://web.test:${port}`
      const empty = createHash("sha256").digest("hex")
      const said = (method: string, path: string) => `${method} ${path} of web.test:${port}: 0 ${empty}\n`
      expect(yield* sandbox.runTerminal(`curl -sS '${url}/a?b=c%20d'`)).toBe(said("GET", "/a?b=c%20d"))
      expect(yield* sandbox.runTerminal(`curl -sS '${url}?q'`)).toBe(said("GET", "/?q"))
      expect(yield* sandbox.runTerminal(`curl -sSp ${url}/tunnel`)).toBe(said("GET", "/tunnel"))
      expect(yield* sandbox.runTerminal(`curl -sS0 ${url}/old`)).toBe(said("GET", "/old"))
      expect(yield* sandbox.runTerminal(`curl -sS -x socks5h://127.0.0.1:3128 ${url}/socks`)).toBe(
        said("GET", "/socks")
      )
      expect(yield* sandbox.runTerminal(`curl -sSI ${url}/head | grep -i '^x-url'`)).toBe("X-Url: /head\r\n")
      if (existsSync("/usr/bin/git")) {
        expect(yield* sandbox.runTerminal(`git ls-remote ${url}/repository 2>&1; true`)).toContain(
          "not valid: is this a git"
        )
      }
      // Several requests of one program one after the other, over what it may take for one connection.
      expect(yield* sandbox.runTerminal(`curl -sS ${url}/1 ${url}/2 ${url}/3`)).toBe(
        said("GET", "/1") + said("GET", "/2") + said("GET", "/3")
      )
      const { execution } = yield* sandbox.runCode(
        `import urllib.request\nurllib.request.urlopen("${url}/python").read().decode()`
      )
      expect(execution.text).toContain("GET /python")
      for (const language of ["javascript", "typescript"] as const) {
        const { execution } = yield* sandbox.runCode(
          `const { get } = await import("node:http")
           const got = await new Promise((resolve, reject) => get("${url}/http", (answer) => {
             let text = ""
             answer.setEncoding("utf8").on("data", (part) => { text += part }).on("end", () => resolve(text))
           }).on("error", reject))
           got + await (await fetch("${url}/fetch", { method: "POST", body: "" })).text()`,
          { language }
        )
        expect(execution.text).toContain("GET /http of")
        expect(execution.text).toContain("POST /fetch of")
      }
      const script = `fetch("${url}/script").then((answer) => answer.text()).then(console.log)`
      expect(yield* sandbox.runTerminal(`node -e '${script}'`)).toContain("GET /script")
      expect(
        (yield* sandbox.runCode(`curl -sS ${url}/bash`, { language: "bash" })).execution.logs.stdout.join("")
      ).toBe(said("GET", "/bash"))
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live.skipIf(!existsSync("/usr/bin/pip3") || !existsSync("/usr/bin/npm"))(
    "lets pip and npm install",
    () =>
      Effect.gen(function*() {
        const packages = new Map<string, Uint8Array>()
        const { port } = yield* listening(() =>
          Http.createServer((request, response) => {
            const found = packages.get(request.url ?? "")
            response.writeHead(found === undefined ? 404 : 200, {
              "Content-Type": request.url === "/simple/hello/" ? "text/html" : "application/octet-stream"
            })
            response.end(found)
          })
        )
        const registry = `http://registry.test:${port}`
        const sandbox = yield* make(`registry.test:${port}`)
        yield* sandbox.runCode(`
import zipfile
with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("hello.py", "text = 'hello'")
    wheel.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n")
    wheel.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("hello-1.0.dist-info/RECORD", "")`)
        yield* sandbox.writeFile(
          "source/package.json",
          JSON.stringify({ name: "hello", version: "1.0.0", main: "hello.js" })
        )
        yield* sandbox.writeFile("source/hello.js", "module.exports = 'hello'")
        yield* sandbox.runTerminal("npm pack ./source")
        packages.set("/hello-1.0-py3-none-any.whl", yield* sandbox.readFileBytes("hello-1.0-py3-none-any.whl"))
        packages.set("/hello-1.0.0.tgz", yield* sandbox.readFileBytes("hello-1.0.0.tgz"))
        packages.set(
          "/simple/hello/",
          Buffer.from("<a href='/hello-1.0-py3-none-any.whl'>hello-1.0-py3-none-any.whl</a>")
        )
        packages.set(
          "/hello",
          Buffer.from(JSON.stringify({
            name: "hello",
            "dist-tags": { latest: "1.0.0" },
            versions: { "1.0.0": { name: "hello", version: "1.0.0", dist: { tarball: `${registry}/hello-1.0.0.tgz` } } }
          }))
        )
        const installed = yield* sandbox.runTerminal(
          `pip3 install --user --break-system-packages --trusted-host registry.test -i ${registry}/simple hello 2>&1
         python3 -c 'import hello; print("python", hello.text)'
         npm install --registry ${registry} --no-audit --no-update-notifier hello 2>&1
         node -p '"node " + require("hello")'`,
          { timeoutMs: 120_000 }
        )
        expect(installed).toContain("\npython hello\n")
        expect(installed).toContain("\nnode hello\n")
      }).pipe(Effect.scoped, Effect.provide(engine())),
    120_000
  )

  it.live("carries TLS untouched from end to end", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Https.createServer(certificate, web()))
      const sandbox = yield* make(`secure.test:${port}`)
      yield* sandbox.writeFile("ca.pem", certificate.cert)
      const url = `https://secure.test:${port}`
      expect(yield* sandbox.runTerminal(`curl -sS --cacert ca.pem ${url}/curl`)).toContain("GET /curl of secure.test")
      expect(yield* sandbox.runTerminal(`curl -sS ${url}/ 2>&1`)).toContain("certificate")
      const { execution } = yield* sandbox.runCode(
        `import ssl, urllib.request
trusted = ssl.create_default_context(cafile="ca.pem")
urllib.request.urlopen("${url}/python", context=trusted).read().decode()`
      )
      expect(execution.text).toContain("GET /python of secure.test")
      const script = `
        https.get("${url}/https", (answer) => answer.pipe(process.stdout))
        fetch("${url}/fetch").then((answer) => answer.text()).then(console.log)`
      const output = yield* sandbox.runTerminal(`NODE_EXTRA_CA_CERTS=/workspace/ca.pem node -e '${script}'`)
      expect(output).toContain("GET /https of secure.test")
      expect(output).toContain("GET /fetch of secure.test")
      expect(yield* sandbox.runTerminal(`node -e 'https.get("${url}/").on("error", ({ code }) => console.log(code))'`))
        .toBe("DEPTH_ZERO_SELF_SIGNED_CERT\n")
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live("ends at every other host, port and spelling, and says so to whoever tried", () => {
    const opened: Array<string> = []
    return Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer(web()))
      const sandbox = yield* make(`web.test:${port}`, `private.test:${port}`, "nowhere.example:80", "127.0.0.1:1")
      const hint = (at: string) =>
        `This sandbox may not reach ${at}: it is not in network.allow. Create a sandbox with network: { allow: ["${at}"] }.`
      const status = (url: string) => sandbox.runTerminal(`curl -sS -w '%{http_code}' '${url}'`)
      expect(yield* status("http://other.test/")).toBe(`${hint("other.test:80")}\n403`)
      expect(yield* status("http://web.test/")).toBe(`${hint("web.test:80")}\n403`)
      expect(yield* status(`http://127.0.0.1:${port}/`)).toBe(`${hint(`127.0.0.1:${port}`)}\n403`)
      expect(yield* status(`http://${ADDRESS}:${port}/`)).toBe(`${hint(`${ADDRESS}:${port}`)}\n403`)
      expect(yield* status(`http://private.test:${port}/`)).toMatch(/^private\.test leads to this machine, .*\n403$/)
      expect(yield* status("http://nowhere.example/")).toBe("There is no host nowhere.example.\n502")
      expect(yield* status("http://127.0.0.1:1/")).toBe("127.0.0.1:1 refused the connection.\n502")
      expect(opened).toEqual(["127.0.0.1:1"])
      // Where a program shows nothing but the status line, that has the sentence.
      yield* failsWith(sandbox.runCode("import urllib.request; urllib.request.urlopen('https://other.test/')"), {
        name: "URLError",
        value: `<urlopen error Tunnel connection failed: 403 ${hint("other.test:443")}>`
      })
      for (const language of ["javascript", "typescript"] as const) {
        const error = yield* failsWith(sandbox.runCode("await fetch('https://other.test/')", { language }), {
          name: "TypeError"
        })
        expect(error._tag === "ExecutionError" && error.traceback).toContain(hint("other.test:443"))
      }
      expect(yield* sandbox.runTerminal("curl -sS -x socks5h://127.0.0.1:3128 http://other.test/ 2>&1")).toContain(
        "(2)"
      )
      // And past the proxy there is nothing.
      expect(yield* sandbox.runTerminal(`curl -sS --noproxy '*' http://${ADDRESS}:${port}/ 2>&1`)).toMatch(
        /^curl: \(7\)/
      )
      expect(yield* sandbox.runTerminal(`curl -sS --noproxy '*' http://web.test:${port}/ 2>&1`)).toMatch(/^curl: \(6\)/)
    }).pipe(Effect.scoped, Effect.provide(engine({ network: "any", sockets: outside(opened) })))
  })

  it.live("keeps localhost for the sandbox itself, beside an address of this machine that is allowed", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Http.createServer(web()))
      const sandbox = yield* make(`127.0.0.1:${port}`)
      const own = `echo inside > index.html; python3 -m http.server ${port} --bind 127.0.0.1 > /dev/null 2>&1 & ` +
        `until curl -sf http://localhost:${port}/; do sleep 0.1; done; kill $!`
      expect(yield* sandbox.runTerminal(own)).toBe("inside\n")
      expect(yield* sandbox.runTerminal(`curl -sS http://127.0.0.1:${port}/`)).toContain(`of 127.0.0.1:${port}`)
    }).pipe(Effect.scoped, Effect.provide(layerLocal({ network: "any" }))))

  it.live(
    "carries a large download and a large upload byte for byte",
    () =>
      Effect.gen(function*() {
        const blocks = 2_000
        const sent = createHash("sha256")
        const { port } = yield* listening(() =>
          Http.createServer((request, response) => {
            if (request.method === "POST") return web()(request, response)
            void (async () => {
              for (let index = 0; index < blocks; index += 1) {
                const bytes = block(index)
                sent.update(bytes)
                if (!response.write(bytes)) await once(response, "drain")
              }
              response.end()
            })()
          })
        )
        const sandbox = yield* make(`web.test:${port}`)
        const url = `http://web.test:${port}/`
        const got = yield* sandbox.runTerminal(`curl -sS ${url} | tee copy | sha256sum`)
        expect(got).toBe(`${sent.digest("hex")}  -\n`)
        const size = blocks * 64 * 1024
        expect(yield* sandbox.runTerminal(`curl -sS -H 'Expect:' --data-binary @copy ${url}`)).toBe(
          `POST / of web.test:${port}: ${size} ${got.slice(0, 64)}\n`
        )
        expect(yield* sandbox.runTerminal(`curl -sSp -T copy -X POST ${url} `)).toContain(`${size} ${got.slice(0, 64)}`)
      }).pipe(Effect.scoped, Effect.provide(engine())),
    120_000
  )

  it.live(
    "makes a server wait for a program that does not read, and a program for such a server",
    () =>
      Effect.gen(function*() {
        let sent = 0
        let taken = 0
        const { port: gives } = yield* listening(() =>
          Net.createServer((socket) => {
            const bytes = block(0)
            const more = () => socket.write(bytes, (error) => error ? undefined : (sent += bytes.length, more()))
            socket.on("error", () => {})
            more()
          })
        )
        const { port: takes } = yield* listening(() =>
          Net.createServer((socket) => {
            socket.on("error", () => {}).pause()
            socket.once("readable", () => {
              taken += 1
            })
          })
        )
        const sandbox = yield* make(`gives.test:${gives}`, `takes.test:${takes}`)
        yield* sandbox.runCode(`
import socket, threading
def connect(target):
    client = socket.create_connection(("127.0.0.1", 3128))
    client.sendall(b"CONNECT %s HTTP/1.1\\r\\n\\r\\n" % target.encode())
    assert b" 200 " in client.recv(39)
    return client
reading = connect("gives.test:${gives}")
written = 0
def write(client):
    global written
    while True: written += client.send(b"x" * 65536)
threading.Thread(target=write, args=(connect("takes.test:${takes}"),), daemon=True).start()`)
        const written = Effect.map(sandbox.runCode("written"), ({ execution }) => Number(execution.text))
        const settled = (amount: Effect.Effect<number, unknown>): Effect.Effect<number, unknown> =>
          Effect.gen(function*() {
            const before = yield* amount
            yield* Effect.sleep("500 millis")
            const after = yield* amount
            return before > 0 && before === after ? after : yield* settled(amount)
          })
        // What the kernels' own buffers on the way hold, and no more.
        expect((yield* settled(Effect.sync(() => sent))) / MIB).toBeLessThan(20)
        expect((yield* settled(written)) / MIB).toBeLessThan(20)
        expect(taken).toBe(1)
        // Another connection is not held up, and the slow one goes on where it stopped.
        const { port } = yield* listening(() => Http.createServer(web()))
        const other = yield* make(`web.test:${port}`, `gives.test:${gives}`)
        expect(yield* other.runTerminal(`curl -sS http://web.test:${port}/x`)).toContain("GET /x")
        const before = sent
        yield* sandbox.runCode(
          "n = 0\nwhile n < 64 * 1024 * 1024: n += len(reading.recv(1 << 20))\nreading.close()"
        )
        expect((sent - before) / MIB).toBeGreaterThan(40)
      }).pipe(Effect.scoped, Effect.provide(engine())),
    60_000
  )

  it.live("ends each direction by itself", () =>
    Effect.gen(function*() {
      // Answers only when the other side has ended, with what came until then.
      const { port } = yield* listening(() =>
        Net.createServer({ allowHalfOpen: true }, (socket) => {
          let text = ""
          socket.setEncoding("utf8").on("data", (part: string) => {
            text += part
          })
          socket.on("end", () => socket.end(`got ${text.length}: ${text.slice(0, 5)}`)).on("error", () => {})
        })
      )
      const sandbox = yield* make(`half.test:${port}`)
      const { execution } = yield* sandbox.runCode(`
import socket
client = socket.create_connection(("127.0.0.1", 3128))
client.sendall(b"CONNECT half.test:${port} HTTP/1.1\\r\\n\\r\\nhello")
client.sendall(b"x" * 300_000)
client.shutdown(socket.SHUT_WR)
answer = b""
while part := client.recv(65536): answer += part
answer`)
      expect(execution.text).toBe(String.raw`b'HTTP/1.1 200 Connection established\r\n\r\ngot 300005: hello'`)
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live("tells a program of a connection that broke off, and a server of a program that was killed", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const { port } = yield* listening(() =>
        Net.createServer((socket) => {
          socket.on("error", () => {})
          socket.on("data", (bytes: Buffer) => {
            if (bytes.toString().includes("begin")) {
              socket.write("HTTP/1.1 200 OK\r\n\r\npart")
            } else if (bytes.toString().includes("break")) {
              socket.resetAndDestroy()
            } else {
              socket.on("close", () => Deferred.unsafeDone(closed, Effect.void))
            }
          })
        })
      )
      const sandbox = yield* make(`cut.test:${port}`)
      const { execution } = yield* sandbox.runCode(`
import socket
seen = []
for request in (b"CONNECT cut.test:${port} HTTP/1.1", b"GET http://cut.test:${port}/ HTTP/1.1"):
    client = socket.create_connection(("127.0.0.1", 3128))
    client.sendall(request + b"\\r\\n\\r\\nbegin")
    got = b""
    while not got.endswith(b"part"): got += client.recv(65536)
    client.sendall(b"break")
    try: seen.append(client.recv(65536))
    except ConnectionResetError: seen.append("reset")
seen`)
      expect(execution.text).toBe("['reset', 'reset']")
      yield* sandbox.runTerminal(`timeout -s KILL 1 curl -sS http://cut.test:${port}/wait; true`)
      yield* Deferred.await(closed)
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live("closes every connection when the sandbox is deleted, or stopped", () =>
    Effect.gen(function*() {
      const { open, port } = yield* holding
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({
        templateId: "python",
        network: { allow: [`open.test:${port}`] }
      })
      const connect = sdk.runCode(
        sandbox.id,
        `import socket
clients = [socket.create_connection(("127.0.0.1", 3128)) for _ in range(3)]
for client in clients: client.sendall(b"CONNECT open.test:${port} HTTP/1.1\\r\\n\\r\\n")
for client in clients: assert b" 200 " in client.recv(100)`
      )
      yield* connect
      yield* eventually(Effect.sync(() => open.size === 3))
      yield* sdk.stopSandbox(sandbox.id)
      yield* eventually(Effect.sync(() => open.size === 0))
      // A stopped sandbox has its network again when it is started.
      yield* connect
      yield* eventually(Effect.sync(() => open.size === 3))
      yield* sdk.deleteSandbox(sandbox.id)
      yield* eventually(Effect.sync(() => open.size === 0))
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live("has a limit of connections, which those that are closed do not count against", () =>
    Effect.gen(function*() {
      const { port } = yield* listening(() => Net.createServer((socket) => socket.on("error", () => {}).resume()))
      const sandbox = yield* make(`open.test:${port}`)
      const { execution } = yield* sandbox.runCode(`
import socket
def connect():
    client = socket.create_connection(("127.0.0.1", 3128))
    client.sendall(b"CONNECT open.test:${port} HTTP/1.1\\r\\n\\r\\n")
    return client, client.recv(100)[9:12]
clients = [connect() for _ in range(140)]
first = [status for _, status in clients].count(b"200")
for client, _ in clients: client.close()
import time
# It takes a moment until a connection has ended on both sides.
for _ in range(300):
    while (last := connect())[1] != b"200": time.sleep(0.05)
    last[0].close()
first`)
      expect(execution.text).toBe("128")
    }).pipe(Effect.scoped, Effect.provide(engine())))

  it.live("is refused where nothing could enforce it", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      for (const network of ["none", { allow: ["example.org:443"] }] as const) {
        const error = yield* failsWith(sdk.createSandbox({ templateId: "python", network }), {
          _tag: "SandboxSDKError",
          code: "unsupported",
          field: "network"
        })
        expect(error.message).toContain("isolation \"auto\"")
      }
      expect(yield* sdk.listSandboxes()).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(layerLocal({ isolation: "none" }))))

  it.live("is not left out where a sandbox that has one is started again without isolation", () =>
    Effect.gen(function*() {
      const dataDirectory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync("/tmp/sandbox-network-")),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      chmodSync(dataDirectory, 0o755)
      const { sandbox } = yield* Effect.flatMap(
        SandboxSDK,
        (sdk) => sdk.createSandbox({ templateId: "bash", network: "none" })
      ).pipe(
        Effect.provide(layerLocal({ dataDirectory }))
      )
      yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const error = yield* failsWith(sdk.runTerminal(sandbox.id, "true"), { code: "isolation_unavailable" })
        expect(error.message).toContain("isolation \"auto\"")
      }).pipe(Effect.provide(layerLocal({ dataDirectory, isolation: "none" })))
    }).pipe(Effect.scoped))
})
