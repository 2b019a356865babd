import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"

const dataDirectory = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await Fs.mkdtemp(Path.join(Os.tmpdir(), "precompile-"))
    await Fs.chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

/** Compiled modules of the agent, by name, as code in a sandbox finds them; and whether it could change one. */
const LOOK = `
import glob, os
def writable(path):
    try:
        open(path, "ab").close()
        return True
    except OSError:
        return False
found = glob.glob("/opt/sandbox/__pycache__/*.pyc")
[sorted(os.path.basename(path).split(".")[0] for path in found), any(map(writable, found))]
`

it.scopedLive(
  "the agent is compiled after the first start, for all that come, who cannot change it",
  () =>
    Effect.gen(function*() {
      const directory = yield* dataDirectory
      const modules = yield* Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const look = Effect.gen(function*() {
          const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
          const { execution } = yield* sdk.runCode(sandbox.id, LOOK)
          return execution.results[0]?.json
        })
        yield* look
        const agent = Path.join(directory, "agent")
        const sources = (yield* Effect.promise(() => Fs.readdir(agent))).filter((name) => name.endsWith(".py"))
        const compiled = Effect.promise(() => Fs.readdir(Path.join(agent, "__pycache__")).catch(() => []))
        yield* compiled.pipe(
          Effect.map((names) => names.filter((name) => name.endsWith(".pyc")).length),
          Effect.repeat({ until: (count) => count === sources.length, schedule: Schedule.spaced("50 millis") })
        )
        expect(yield* look).toEqual([sources.map((name) => name.slice(0, -3)).sort(), false])
        return sources
      }).pipe(Effect.provide(layerLocal({ dataDirectory: directory })))
      expect(modules).toContain("kernel.py")
    }),
  60_000
)
