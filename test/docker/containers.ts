/**
 * What only containers have, whichever engine they are of.
 */
import { expect, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually } from "../conformance/support.js"
import { processesWith } from "../support/processes.js"
import { dockerAt } from "./docker.js"
import { IMAGES } from "./images.js"

/** What goes through the stream to the first process, which the engine of containers carries. */
export const bytes = <E>(layer: Layer.Layer<SandboxSDK, E>): void => {
  it.live("carries every byte of a large output, in both directions", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
      const bytes = new Uint8Array(20_000_003).map((_, index) => (index * 7919) >> 3)
      yield* sdk.writeFile(sandbox.id, "big", bytes)
      const back = yield* sdk.readFileBytes(sandbox.id, "big")
      expect(Buffer.compare(back, bytes)).toBe(0)
      const { execution } = yield* sdk.runCode(
        sandbox.id,
        "import sys\nfor i in range(300000): print(i)\nprint('end', file=sys.stderr)"
      )
      expect(execution.logs.stdout.join("")).toBe(Array.from({ length: 300_000 }, (_, i) => `${i}\n`).join(""))
      expect(execution.logs.stderr.join("")).toBe("end\n")
    }).pipe(Effect.provide(layer)))
}

const program = fileURLToPath(new URL("../support/abandoned.mjs", import.meta.url))

const ENDINGS: ReadonlyArray<readonly [string, (child: ChildProcess) => void]> = [
  ["is killed", (child) => child.kill("SIGKILL")],
  ["is ended by SIGTERM", (child) => child.kill("SIGTERM")]
]

/**
 * How containers end with the program that has started them. `address` is that of their engine, by default the usual one.
 */
export const endings = (address?: string): void => {
  for (const [what, end] of ENDINGS) {
    it.scopedLive(`${what} leaves no container and no process`, () =>
      Effect.gen(function*() {
        const mark = `contained-${process.pid}-${what.replace(/\W/g, "")}`
        const env = { ...process.env, ...(address === undefined ? {} : { DOCKER_HOST: address }) }
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => fork(program, [mark, "wait", "docker", IMAGES.full], { stdio: "ignore", env })),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const ended = once(child, "exit").then(() => Promise.reject(new Error("it ended by itself")))
        yield* Effect.promise(() => Promise.race([once(child, "message"), ended]))
        yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length >= 4))
        const owner = `sandbox-sdk-${child.pid}-`
        const left = Effect.map(
          dockerAt(address)("ps", "--all", "--format", "{{.Label \"sandbox-sdk.owner\"}}"),
          (text) => text.split("\n").filter((label) => label.startsWith(owner))
        )
        expect(yield* left).toHaveLength(2)
        const exit = once(child, "exit")
        end(child)
        yield* Effect.promise(() => exit)
        yield* eventually(Effect.map(processesWith(mark), (pids) => pids.length === 0))
        yield* eventually(Effect.map(left, (all) => all.length === 0))
      }))
  }
}
