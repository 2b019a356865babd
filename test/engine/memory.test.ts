import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Path from "node:path"
import * as V8 from "node:v8"
import { root, run } from "../support/program.js"

const decode = Schema.decodeSync(Schema.parseJson(Schema.Struct({ objects: Schema.Number, bytes: Schema.Number })))

describe("a live sandbox that has run code", () => {
  // Objects and not kilobytes: what V8 compiles and learns at the same time is not counted with them.
  it.skipIf(!("queryObjects" in V8))("keeps few objects in the engine, and no buffers", async () => {
    const { exitCode, stderr, stdout } = await run(process.execPath, [Path.join(root, "test/support/kept.mjs")])
    expect(exitCode, stderr).toBe(0)
    const kept = decode(stdout)
    expect(kept.objects).toBeGreaterThan(100)
    expect(kept.objects).toBeLessThan(540)
    expect(kept.bytes).toBeLessThan(8 * 1024)
  }, 120_000)
})
