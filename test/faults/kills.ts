/**
 * What every isolation must do when interpreters and sandboxes are killed. A layer is tried by one line:
 *
 * ```ts
 * kills("the embedded engine", layerLocal())
 * ```
 */
import { expect, layer as describeLayer } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { killInterpreters, killSandboxes } from "./phases/kills.js"
import { Tally } from "./Tally.js"

export interface Options {
  /** How many of each are killed: 6 by default. */
  readonly faults?: number
  readonly seed?: number
}

/**
 * Kills interpreters and sandboxes of a layer, which is built once, while they work.
 */
export const kills = <E>(
  name: string,
  layer: Layer.Layer<SandboxSDK, E>,
  { faults = 6, seed = 20261127 }: Options = {}
): void =>
  describeLayer(layer, { timeout: "60 seconds", excludeTestServices: true })(name, (it) => {
    const indices = Array.from({ length: faults }, (_, index) => index)
    for (const [what, kill] of [["interpreters", killInterpreters], ["sandboxes", killSandboxes]] as const) {
      it.effect(`${what} that are killed lose no output, run nothing twice, and let go on`, (context) =>
        Effect.gen(function*() {
          const tally = new Tally()
          const sdk = yield* SandboxSDK
          yield* kill({ phase: what, sdk, seed, tally }, indices)
          expect(tally.violations).toEqual([])
          if (tally.skipped.length > 0) {
            return context.skip(tally.skipped.join("; "))
          }
          expect(tally.faults()).toBeGreaterThan(0)
          expect(tally.outcomes.some(({ end }) =>
            end !== "completed"
          )).toBe(true)
        }), 120_000)
    }
  })
