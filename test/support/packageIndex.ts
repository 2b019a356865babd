/**
 * Packages that are made here, and a server that hands them out as the registries of pip and npm do: PyPI's simple index
 * (PEP 503) and npm's registry.
 */
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs/promises"
import { createServer } from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"

/** A wheel (PEP 427) is a zip with a module and what is known of it. */
const WHEEL = `
import sys, zipfile
name, version, source, target = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {
    f"{name}/__init__.py": source,
    f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    f"{info}/entry_points.txt": f"[console_scripts]\\n{name}-hello = {name}:hello\\n",
}
record = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(target, "w") as wheel:
    for path, text in {**files, f"{info}/RECORD": record}.items():
        wheel.writestr(path, text)
`

const PYTHON_SOURCE = `
def greet(name):
    return f"hello {name} from the wheel"

def hello():
    print("hello from the script of the wheel")
`

/** What a test needs to know of the server. */
export interface PackageIndex {
  readonly port: number
  /** `HOST:PORT`, for `network`. */
  readonly address: string
  /** The environment that leads pip and npm there. */
  readonly env: Readonly<Record<string, string>>
  /** How often each path was asked for. */
  readonly requests: Map<string, number>
}

/** The name of the package in Python, and in npm. */
export const PYTHON_PACKAGE = "greetings_of_the_test"
export const NODE_PACKAGE = "greetings-of-the-test"

/**
 * Starts it, with a package for each of the two.
 */
export const packageIndex = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "packages-"))),
    (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
  )
  const wheel = `${PYTHON_PACKAGE}-1.0-py3-none-any.whl`
  execFileSync("/usr/bin/python3", ["-c", WHEEL, PYTHON_PACKAGE, "1.0", PYTHON_SOURCE, Path.join(folder, wheel)])
  const source = Path.join(folder, "source")
  const manifest = { name: NODE_PACKAGE, version: "1.0.0", main: "index.js", bin: { [NODE_PACKAGE]: "cli.js" } }
  yield* Effect.promise(async () => {
    await Fs.mkdir(source)
    await Fs.writeFile(Path.join(source, "package.json"), JSON.stringify(manifest))
    await Fs.writeFile(Path.join(source, "index.js"), "exports.greet = (name) => `hello ${name} from the tarball`\n")
    await Fs.writeFile(Path.join(source, "cli.js"), "#!/usr/bin/env node\nconsole.log('hello from the tool')\n")
  })
  execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: source })
  const tarball = `${NODE_PACKAGE}-1.0.0.tgz`
  const packed = yield* Effect.promise(() => Fs.readFile(Path.join(folder, tarball)))
  const integrity = `sha512-${createHash("sha512").update(packed).digest("base64")}`

  const requests = new Map<string, number>()
  const server = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const made = createServer((request, response) => {
        const path = new URL(request.url ?? "/", "http://localhost").pathname
        requests.set(path, (requests.get(path) ?? 0) + 1)
        const origin = `http://${request.headers.host}`
        if (path === `/simple/${PYTHON_PACKAGE.replaceAll("_", "-")}/`) {
          response.setHeader("content-type", "text/html")
          response.end(`<!DOCTYPE html><a href="/files/${wheel}">${wheel}</a>`)
        } else if (path.startsWith("/files/")) {
          Fs.readFile(Path.join(folder, Path.basename(path))).then(
            (bytes) => response.end(bytes),
            () => response.writeHead(404).end()
          )
        } else if (path === `/npm/${NODE_PACKAGE}`) {
          const dist = { tarball: `${origin}/files/${tarball}`, integrity }
          response.setHeader("content-type", "application/json")
          response.end(JSON.stringify({
            name: NODE_PACKAGE,
            "dist-tags": { latest: "1.0.0" },
            versions: { "1.0.0": { ...manifest, dist } }
          }))
        } else {
          response.writeHead(404).end("{}")
        }
      })
      made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.async<void>((resume) => {
        made.closeAllConnections()
        made.close(() => resume(Effect.void))
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    port,
    address: `127.0.0.1:${port}`,
    env: {
      PIP_INDEX_URL: `http://127.0.0.1:${port}/simple`,
      npm_config_registry: `http://127.0.0.1:${port}/npm/`
    },
    requests
  } satisfies PackageIndex
})
