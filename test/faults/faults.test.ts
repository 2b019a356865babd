import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { programs } from "./Bundles.js"
import { phases } from "./phases/index.js"
import { run } from "./suite.js"
import { table } from "./table.js"
import { Tally } from "./Tally.js"

const SEED = Number(process.env["SEED"] ?? 20261127)
const FAULTS = Number(process.env["FAULTS"] ?? 60)

it.scopedLive(
  `of ${FAULTS} faults (SEED=${SEED}) none loses anything, runs anything twice, or leaves anything`,
  () =>
    Effect.gen(function*() {
      const tally = new Tally()
      yield* run(tally, { programs: yield* programs, seed: SEED, faults: FAULTS })
      expect(tally.violations, table(phases, tally, SEED)).toEqual([])
      expect(tally.faults()).toBeGreaterThan(FAULTS / 2)
    }),
  900_000
)
