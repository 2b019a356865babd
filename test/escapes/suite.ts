/**
 * What no isolation may let out. An isolation is tried by one line:
 *
 * ```ts
 * escapes("the embedded engine", layerLocal())
 * ```
 */
import { afterAll, describe, expect, layer as describeLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { SandboxSDK } from "../../src/SandboxSDK.js"
import { bundle } from "../support/bundle.js"
import { Arenas, type Options } from "./Arena.js"
import { families } from "./attempts/index.js"

/**
 * Makes each attempt against a layer, which is built once.
 */
export const escapes = <E>(
  name: string,
  layer: Layer.Layer<SandboxSDK, E>,
  options: Partial<Options> = {}
): void => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "escapes-cli-"))
  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))
  const cli = Effect.promise(() => bundle(Path.resolve(import.meta.dirname, "../../src/cli/bin.ts"), folder))
  describeLayer(Layer.provide(Arenas.layer({ cli, ...options }), layer), {
    timeout: "60 seconds",
    excludeTestServices: true
  })(
    name,
    (it) => {
      for (const family of families) {
        describe(family.title, () => {
          for (const attempt of family.attempts) {
            it.effect(`${attempt.id}: ${attempt.title}`, (context) =>
              Effect.gen(function*() {
                const { how, outcome } = yield* Effect.flatMap(Arenas, ({ make }) => make(attempt))
                if (outcome === "not made") return context.skip(how)
                expect(["held", "soft"], `${outcome}: ${how}`).toContain(outcome)
              }))
          }
        })
      }
    }
  )
}
