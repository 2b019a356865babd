/**
 * Sandboxes that are made.
 */
import { Effect } from "effect"
import type { Workload } from "./Workload.js"

/** One more sandbox, of which there must be one then. */
export const create = (name: string): Workload => ({
  name,
  isCounted: false,
  said: (mark) => ({ name: Buffer.from(mark) }),
  run: ({ direct, sdk }, mark, witness) => {
    const count = Effect.gen(function*() {
      const made = yield* direct.listSandboxes({ metadata: { mark } })
      witness.times = made.length
      yield* Effect.forEach(made, ({ id }) => direct.deleteSandbox(id), { discard: true })
    })
    return sdk.createSandbox({ templateId: "bash", name: mark, metadata: { mark } }).pipe(
      Effect.map(({ sandbox }) => witness.see("name", sandbox.name ?? "")),
      // What was asked for may still be on its way.
      Effect.tapErrorCause(() => Effect.sleep("1 second")),
      Effect.ensuring(Effect.ignore(count))
    )
  }
})
