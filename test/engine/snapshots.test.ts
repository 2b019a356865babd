/**
 * What only the engine promises of snapshots: hostile workspaces, restarts, what is left after a failure or a kill.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually } from "../conformance/support.js"
import { root } from "../support/program.js"

const makeFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await Fs.mkdtemp(Path.join(Os.tmpdir(), "snapshots-"))
    await Fs.chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

const withEngine = <A, E>(folder: string, use: Effect.Effect<A, E, SandboxSDK>) =>
  Effect.provide(use, layerLocal({ dataDirectory: folder }))

const names = (...path: ReadonlyArray<string>) =>
  Effect.promise(() => Fs.readdir(Path.join(...path)).catch((): Array<string> => []))

/** What a program that wants to lead a copy out, hold it up, or fill the disk leaves behind. */
const HOSTILE = `
  ln -s /etc/shadow shadow; ln -s / root; ln -s ../../../../../.. up; ln -s loop loop; mkfifo pipe
  python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
  truncate -s 900M sparse; echo x > $'new\\nline'; echo y > "$(printf '\\377\\376')"; echo z > '-rf'; echo w > ' '
  mkdir -p a/b/c; echo deep > a/b/c/file; ln a/b/c/file twin; mkdir locked; echo in > locked/file; chmod 4755 twin
`

const LOOK =
  "readlink shadow up loop; stat -c '%n %s' sparse; cat -- $'new\\nline' '-rf' ' ' a/b/c/file locked/file; " +
  "stat -c %h twin; stat -c %F pipe socket; ls | wc -l; find . -user user | wc -l; find . | wc -l"

for (const isolation of ["auto", "none"] as const) {
  describe(`copies of hostile workspaces, isolation ${isolation}`, () => {
    it.scopedLive("have all that is in them, lead nowhere, and take no more room", () =>
      Effect.gen(function*() {
        const use = Effect.scoped(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const sandbox = yield* Sandbox.make({ templateId: "bash" })
          yield* sandbox.runTerminal(HOSTILE)
          const look = isolation === "none" ? LOOK.replaceAll("-user user", "-user $(id -un)") : LOOK
          const before = yield* sandbox.runTerminal(look)
          const snapshot = yield* sandbox.snapshot()
          expect(snapshot.sizeBytes).toBeLessThan(2_000_000)
          const { sandbox: copy } = yield* sdk.createSandbox({ fromSnapshot: snapshot.id })
          expect(yield* sdk.runTerminal(copy.id, look)).toBe(before)
          expect(yield* sdk.runTerminal(copy.id, "cat shadow 2>&1 | grep -c root: || true")).toBe(
            isolation === "none" ? yield* sandbox.runTerminal("cat shadow 2>&1 | grep -c root: || true") : "0\n"
          )
          const [fork] = yield* sandbox.fork()
          expect(yield* fork?.runTerminal(look) ?? Effect.succeed("")).toBe(before)
        }))
        yield* Effect.provide(use, layerLocal({ isolation }))
      }), 60_000)
  })
}

describe("snapshots", () => {
  it.scopedLive("survive the engine, and what was half made or half removed does not", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const id = yield* withEngine(
        folder,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const { sandbox } = yield* sdk.createSandbox({ templateId: "bash" })
          yield* sdk.writeFile(sandbox.id, "kept", "still here")
          const { id } = yield* sdk.snapshotSandbox(sandbox.id, { name: "kept" })
          yield* sdk.deleteSandbox(sandbox.id)
          return id
        })
      )
      const half = "snp_aaaaaaaaaaaaaaaaaaaa"
      yield* Effect.promise(() => Fs.mkdir(Path.join(folder, "snapshots", half, "workspace"), { recursive: true }))
      yield* withEngine(
        folder,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          expect(yield* sdk.listSnapshots()).toMatchObject([{ id, name: "kept" }])
          const { storageBytes } = yield* sdk.getUsage()
          expect(storageBytes).toBeGreaterThan(0)
          const { sandbox } = yield* sdk.createSandbox({ fromSnapshot: id })
          expect(yield* sdk.readFile(sandbox.id, "kept")).toBe("still here")
          yield* sdk.deleteSnapshot(id)
          yield* sdk.deleteSandbox(sandbox.id)
        })
      )
      expect(yield* names(folder, "snapshots")).toEqual([])
    }), 60_000)

  it.scopedLive(
    "of a sandbox whose template has installed something have that as well, for as long as they are there",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        yield* withEngine(
          folder,
          Effect.gen(function*() {
            const sdk = yield* SandboxSDK
            const template = yield* sdk.createTemplate({
              name: "Installed",
              language: "bash",
              version: "5",
              installCommand: "echo installed > it"
            })
            const { sandbox } = yield* sdk.createSandbox({ templateId: template.id })
            const snapshot = yield* sdk.snapshotSandbox(sandbox.id)
            yield* sdk.deleteSandbox(sandbox.id)
            yield* sdk.deleteTemplate(template.id)
            const { sandbox: copy } = yield* sdk.createSandbox({ fromSnapshot: snapshot.id })
            expect(yield* sdk.runTerminal(copy.id, "cat $TEMPLATE_DIR/it")).toBe("installed\n")
            yield* sdk.deleteSnapshot(snapshot.id)
            expect(yield* names(folder, "builds")).toHaveLength(1)
            yield* sdk.deleteSandbox(copy.id)
            expect(yield* names(folder, "builds")).toEqual([])
          })
        )
      }),
    60_000
  )

  it.scopedLive("that are given up leave nothing, and the sandbox goes on", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      yield* withEngine(
        folder,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const { sandbox } = yield* sdk.createSandbox({ templateId: "bash" })
          yield* sdk.runTerminal(sandbox.id, "head -c 300M /dev/urandom > big")
          for (const after of [0, 20, 60, 150]) {
            const fiber = yield* Effect.fork(
              Effect.zipRight(sdk.snapshotSandbox(sandbox.id), sdk.forkSandbox(sandbox.id, 2))
            )
            yield* Effect.sleep(after)
            yield* Fiber.interrupt(fiber)
            expect(yield* sdk.runTerminal(sandbox.id, "echo on")).toBe("on\n")
          }
          const kept = (yield* sdk.listSnapshots()).map(({ id }) => id)
          expect(yield* names(folder, "snapshots")).toEqual(kept)
          expect(yield* names(folder, "sandboxes")).toEqual([sandbox.id])
        })
      )
    }), 60_000)

  it.scopedLive("are whole or not there after the engine was killed while it made them", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const program = `
        import { SandboxSDK } from "sandbox-sdk/promise"
        const sdk = await SandboxSDK.local({ dataDirectory: ${JSON.stringify(folder)} })
        const { sandbox } = await sdk.createSandbox({ templateId: "bash" })
        await sdk.runTerminal(sandbox.id, "head -c 20M /dev/urandom > big; sha256sum big > sum")
        console.log("up")
        for (;;) { await sdk.snapshotSandbox(sandbox.id); await sdk.forkSandbox(sandbox.id, 2) }
      `
      for (const after of [50, 300, 700]) {
        const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: root })
        yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
        let said = ""
        child.stdout.on("data", (piece: Buffer) => {
          said += piece.toString()
        })
        yield* eventually(Effect.sync(() => said.includes("up") || child.exitCode !== null))
        expect(said).toContain("up")
        yield* Effect.sleep(after)
        const closed = new Promise((resolve) => child.once("close", resolve))
        child.kill("SIGKILL")
        yield* Effect.promise(() => closed)
        yield* withEngine(
          folder,
          Effect.gen(function*() {
            const sdk = yield* SandboxSDK
            const snapshots = yield* sdk.listSnapshots()
            expect([...yield* names(folder, "snapshots")].sort()).toEqual(snapshots.map(({ id }) => id).sort())
            for (const { id } of snapshots) {
              const { sandbox } = yield* sdk.createSandbox({ fromSnapshot: id })
              expect(yield* sdk.runTerminal(sandbox.id, "sha256sum -c sum")).toContain("OK")
              yield* sdk.deleteSnapshot(id)
            }
            for (const { id } of yield* sdk.listSandboxes()) {
              expect(yield* sdk.runTerminal(id, "sha256sum -c sum")).toContain("OK")
              yield* sdk.deleteSandbox(id)
            }
            expect(yield* names(folder, "sandboxes")).toEqual([])
          })
        )
      }
    }), 120_000)
})
