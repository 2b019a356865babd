/**
 * Two versions of an interpreter on one machine. The second Node is one that npm has, and is found as any other: by PATH.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { failsWith } from "../conformance/support.js"

const OTHER = "22.23.3"

/** The interpreter alone, in a folder that any user can look into. */
const otherNode = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await Fs.mkdtemp(Path.join(Os.tmpdir(), "sandbox-sdk-node-"))
    await Fs.chmod(folder, 0o755)
    const name = `node-linux-${process.arch}`
    await promisify(execFile)(
      "npm",
      ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", `${name}@${OTHER}`]
    )
    const before = process.env["PATH"]
    process.env["PATH"] = `${Path.join(folder, "node_modules", name, "bin")}:${before}`
    return { folder, before }
  }),
  ({ before, folder }) =>
    Effect.promise(() => {
      process.env["PATH"] = before
      return Fs.rm(folder, { recursive: true, force: true })
    })
)

const run = (templateId: string) =>
  Effect.gen(function*() {
    const sandbox = yield* Sandbox.make({ templateId })
    const { execution } = yield* sandbox.runCode("process.versions.node", { language: "javascript" })
    const command = yield* sandbox.runTerminal("node --version")
    return [execution.text, command.trim()]
  })

const here = process.versions.node

describe("a machine with two versions of Node", () => {
  it.scopedLive(
    "has a template for each, whose sandboxes have that one, for code and for commands",
    () =>
      Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const { templates } = yield* sdk.getTemplates(1, 100)
        const versions = templates.filter(({ id }) => id.startsWith("node-")).map(({ config }) => config.version)
        expect(versions).toEqual(expect.arrayContaining([here, OTHER]))
        const [major = ""] = here.split(".")
        expect(yield* Effect.all([run("node-22"), run(`node-${major}`)], { concurrency: 2 })).toEqual([
          [`'${OTHER}'`, `v${OTHER}`],
          [`'${here}'`, `v${here}`]
        ])
        const own = yield* sdk.createTemplate({ name: "own", language: "typescript", version: "22.23" })
        expect(yield* run(own.id)).toEqual([`'${OTHER}'`, `v${OTHER}`])
        const missing = yield* failsWith(sdk.createSandbox({ templateId: "node-99" }), { code: "template_unavailable" })
        expect(missing.message).toContain("nodejs")
      }).pipe(Effect.provide(Layer.unwrapScoped(Effect.as(otherNode, layerLocal())))),
    120_000
  )
})
