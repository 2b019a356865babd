/**
 * The package as a user gets it: packed, installed in an empty folder with its peers and nothing else, and used from
 * there. It needs `npm run build` to have run, as `npm test` does first.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

const execute = promisify(execFile)
const root = Path.resolve(import.meta.dirname, "..")

const Target = Schema.Struct({ types: Schema.String, default: Schema.String })
const Entry = Schema.Struct({ import: Target, require: Target })
const readManifest = Schema.decodePromise(Schema.parseJson(Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  dependencies: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  peerDependencies: Schema.Record({ key: Schema.String, value: Schema.String }),
  exports: Schema.Record({ key: Schema.String, value: Schema.Union(Entry, Schema.String) })
})))
const readVersion = Schema.decodePromise(Schema.parseJson(Schema.Struct({ version: Schema.String })))
const readNames = Schema.decodePromise(Schema.parseJson(Schema.Array(Schema.String)))
const readPacked = Schema.decodePromise(Schema.parseJson(Schema.Tuple(Schema.Struct({
  filename: Schema.String,
  files: Schema.Array(Schema.Struct({ path: Schema.String }))
}))))

const errors = [
  "SandboxSDKError",
  "ExecutionError",
  "ConnectionError",
  "TimeoutError",
  "SandboxError",
  "RateLimitError"
]

/** Names that the documentation promises, by the name under which an entry is imported. */
const documented: Record<string, ReadonlyArray<string>> = {
  "sandbox-sdk": ["SandboxSDK", "Sandbox", "Execution", "Result", ...errors],
  "sandbox-sdk/promise": ["SandboxSDK", ...errors],
  "sandbox-sdk/local": ["layerLocal"],
  "sandbox-sdk/e2b": ["layerE2B", "layerE2BClient"],
  "sandbox-sdk/server": ["layerServer", "serve"],
  "sandbox-sdk/telemetry": ["layerOtlp"]
}

const manifest = await readManifest(await readFile(Path.join(root, "package.json"), "utf8"))
const entries = Object.entries(manifest.exports).flatMap(([key, target]) =>
  typeof target === "string" ? [] : [{ name: manifest.name + key.slice(1), target }]
)

let folder = ""
let installed = ""
let packed: ReadonlyArray<string> = []

/** Runs a script of the user's, in the folder where the package is installed. */
const node = async (...args: ReadonlyArray<string>) =>
  (await execute(process.execPath, [...args], { cwd: folder, maxBuffer: 2 ** 26 })).stdout

beforeAll(async () => {
  folder = await mkdtemp(Path.join(tmpdir(), "sandbox-sdk-package-"))
  installed = Path.join(folder, "node_modules", manifest.name)
  const pack = await execute("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], { cwd: root })
  const [tarball] = await readPacked(pack.stdout)
  packed = tarball.files.map((file) => file.path)
  const dependencies: Record<string, string> = { [manifest.name]: `file:./${tarball.filename}` }
  for (const peer of Object.keys(manifest.peerDependencies)) {
    const own = await readFile(Path.join(root, "node_modules", peer, "package.json"), "utf8")
    dependencies[peer] = (await readVersion(own)).version
  }
  await writeFile(Path.join(folder, "package.json"), JSON.stringify({ name: "user", private: true, dependencies }))
  await execute("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: folder, maxBuffer: 2 ** 26 })
}, 300_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

/** The files that an import of one reads before it is done, with their sizes in bytes, and what they import of others. */
const readAtOnce = async (entry: string) => {
  const { metafile } = await build({
    absWorkingDir: installed,
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    packages: "external",
    external: ["node:*"],
    outdir: "out"
  })
  const read = new Map<string, number>()
  const outside = new Set<string>()
  const walk = (path: string): void => {
    if (read.has(path)) {
      return
    }
    read.set(path, metafile.inputs[path]?.bytes ?? 0)
    for (const imported of metafile.inputs[path]?.imports ?? []) {
      if (imported.external === true) {
        outside.add(imported.path)
      } else if (imported.kind !== "dynamic-import") {
        walk(imported.path)
      }
    }
  }
  walk(Path.normalize(entry))
  return { outside, read }
}

describe("the packed package", () => {
  it("holds the build, the licence and the change log, and no sources or tests", () => {
    assert.includeMembers([...packed], ["package.json", "LICENSE", "CHANGELOG.md", "dist/index.js"])
    assert.deepStrictEqual(
      packed.filter((path) => !/^(dist\/|package\.json$|LICENSE$|README\.md$|CHANGELOG\.md$)/.test(path)),
      []
    )
  })

  it("brings no dependency of its own", () => {
    assert.deepStrictEqual(manifest.dependencies, undefined)
  })

  it("documents every entry point", () => {
    assert.sameMembers(entries.map((entry) => entry.name), Object.keys(documented))
  })

  for (const { name } of entries) {
    const names = documented[name] ?? []

    it(`is imported as ${name}`, async () => {
      const found = await readNames(
        await node(
          "--input-type=module",
          "--eval",
          `console.log(JSON.stringify(Object.keys(await import("${name}"))))`
        )
      )
      assert.includeMembers([...found], [...names])
    })

    it(`is required as ${name}`, async () => {
      const found = await readNames(
        await node(
          "--input-type=commonjs",
          "--eval",
          `console.log(JSON.stringify(Object.keys(require("${name}"))))`
        )
      )
      assert.includeMembers([...found], [...names])
    })
  }

  it("is the same error class for every entry, as far as a caller can tell", async () => {
    const output = await node(
      "--input-type=module",
      "--eval",
      `import * as effect from "sandbox-sdk"
       import * as promise from "sandbox-sdk/promise"
       const error = new promise.RateLimitError({ message: "slow down", retryAfter: 5 })
       console.log(error instanceof effect.SandboxSDKError, error._tag, error instanceof Error)`
    )
    assert.strictEqual(output, "true RateLimitError true\n")
  })

  for (const extension of ["mts", "cts"]) {
    it(`has types for an .${extension} file`, async () => {
      const imports = entries.map(({ name }, index) => `import * as entry${index} from "${name}"`)
      const uses = entries.map(({ name }, index) =>
        `export const names${index} = [${
          (documented[name] ?? []).map((key) => `entry${index}.${key}`).join(", ")
        }] as const`
      )
      // An `any` would accept everything: this line is an error only when the types are really there.
      const wrong =
        "// @ts-expect-error\nexport const wrong: number = new entry0.RateLimitError({ retryAfter: 1 }).message"
      const project = Path.join(folder, extension)
      await mkdir(project, { recursive: true })
      await writeFile(Path.join(project, `main.${extension}`), [...imports, ...uses, wrong, ""].join("\n"))
      await writeFile(
        Path.join(project, "tsconfig.json"),
        JSON.stringify({
          compilerOptions: {
            module: "node16",
            moduleResolution: "node16",
            target: "ES2022",
            lib: ["ES2022", "DOM", "DOM.AsyncIterable", "ESNext.Disposable"],
            types: [],
            strict: true,
            skipLibCheck: true,
            noEmit: true
          },
          files: [`main.${extension}`]
        })
      )
      const compiled = await node(Path.join(root, "node_modules/typescript/bin/tsc"), "-p", project).then(
        () => "",
        (error: { readonly stdout: string }) => error.stdout
      )
      assert.strictEqual(compiled, "")
    })
  }

  it("is bundled for a browser, where the engine says that it needs Node", async () => {
    const main = Path.join(folder, "browser.mjs")
    await writeFile(
      main,
      `import { SandboxSDK } from "sandbox-sdk/promise"
       SandboxSDK.local().catch((error) => console.log(error._tag, error.code, error instanceof Error))`
    )
    const bundle = Path.join(folder, "bundle.mjs")
    await build({ entryPoints: [main], bundle: true, format: "esm", platform: "browser", outfile: bundle })
    assert.strictEqual(await node(bundle), "SandboxSDKError unsupported true\n")
  })

  it("explains its command", async () => {
    const command = Path.join(folder, "node_modules/.bin/sandbox")
    const help = (await execute(command, ["--help"])).stdout
    assert.match(help, /doctor/)
    assert.notInclude(help, "\u001b", "colours belong on a terminal")
    assert.strictEqual((await execute(command, ["--version"])).stdout.trim(), manifest.version)
  })

  for (const name of ["sandbox-sdk", "sandbox-sdk/promise"]) {
    it(`imports nothing from Node in ${name}`, async () => {
      const entry = entries.find((entry) => entry.name === name)?.target.import.default ?? ""
      const { outside, read } = await readAtOnce(entry)
      const peers = Object.keys(manifest.peerDependencies)
      assert.isAbove(read.size, 0)
      assert.deepStrictEqual(
        [...outside].filter((path) => !peers.some((peer) => path === peer || path.startsWith(`${peer}/`))),
        []
      )
    })

    it(`requires nothing from Node in ${name}`, async () => {
      const output = await node(
        "--input-type=commonjs",
        "--eval",
        `const Module = require("node:module")
         const load = Module._load
         const found = []
         Module._load = function (request, parent, ...rest) {
           const ours = parent?.filename?.startsWith(${JSON.stringify(installed)})
           if (ours && Module.isBuiltin(request)) found.push(request)
           return load.call(this, request, parent, ...rest)
         }
         require("${name}")
         console.log(JSON.stringify(found))`
      )
      assert.deepStrictEqual(await readNames(output), [])
    })
  }
})

describe("the start of a program", () => {
  const sizes = async (entry: string) => [...(await readAtOnce(entry)).read.values()]
  const sum = (bytes: ReadonlyArray<number>) => bytes.reduce((total, size) => total + size, 0)

  it("reads two files of sandbox-sdk/promise, and a third of a megabyte", async () => {
    const files = await sizes("dist/promise.js")
    assert.isAtMost(files.length, 2)
    assert.isAtMost(sum(files), 340_000)
  })

  it("reads next to nothing of the command before it knows what is wanted", async () => {
    assert.isAtMost(sum(await sizes("dist/cli/sandbox.js")), 2_000)
  })
})

describe("the lock file", () => {
  const Locked = Schema.Struct({
    version: Schema.optional(Schema.String),
    integrity: Schema.optional(Schema.String),
    resolved: Schema.optional(Schema.String),
    optionalDependencies: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
  })
  const readLock = Schema.decodePromise(Schema.parseJson(Schema.Struct({
    packages: Schema.Record({ key: Schema.String, value: Locked })
  })))

  it("has every package for every platform, with its checksum and without the address of a registry", async () => {
    const { packages } = await readLock(await readFile(Path.join(root, "package-lock.json"), "utf8"))
    const paths = Object.keys(packages)
    const optional = Object.values(packages).flatMap((locked) => Object.keys(locked.optionalDependencies ?? {}))
    assert.deepStrictEqual(optional.filter((name) => !paths.some((path) => path.endsWith(`node_modules/${name}`))), [])
    for (const [path, { integrity, resolved, version }] of Object.entries(packages)) {
      if (path !== "") {
        assert.isDefined(version, path)
        assert.isDefined(integrity, path)
        assert.isUndefined(resolved, path)
      }
    }
  })
})
