/**
 * The fault suite: runs whose output is known byte for byte, while everything goes wrong that can.
 */
import { Effect } from "effect"
import { phases } from "./phases/index.js"
import type { Programs } from "./ServerProcess.js"
import type { Phase } from "./Setting.js"
import type { Tally } from "./Tally.js"

export interface Options {
  readonly programs: Programs
  readonly seed: number
  /** How many faults to inject, about. */
  readonly faults: number
  /** Only these phases; `phase:7` for one trial of it. */
  readonly only?: ReadonlyArray<string>
  readonly onPhase?: (phase: Phase) => void
}

/** What a text selects: a phase, or one trial of it. */
const select = (only: ReadonlyArray<string>, { id }: Phase) => {
  const found = only.map((text) => text.split(":")).find(([phase]) => phase === id)
  return found === undefined ? undefined : { index: found[1] === undefined ? undefined : Number(found[1]) }
}

/** Injects faults, and puts what comes of it into a tally. */
export const run = (
  tally: Tally,
  { faults, only = [], onPhase, programs, seed }: Options
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const chosen = phases.filter((phase) => only.length === 0 || select(only, phase) !== undefined)
    const shares = chosen.reduce((sum, { share }) => sum + share, 0)
    for (const phase of chosen) {
      const why = phase.without?.()
      if (why !== undefined) {
        tally.skipped.push(`${phase.title}: ${why}`)
        continue
      }
      onPhase?.(phase)
      yield* phase.run({
        seed,
        faults: Math.max(1, Math.ceil(faults * phase.share / shares)),
        tally,
        programs,
        only: select(only, phase)?.index
      })
    }
  })
