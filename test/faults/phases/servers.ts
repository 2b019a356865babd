/**
 * A server that is killed while it answers, and started again on the same folder and at the same port.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import { count, makePlace, type Phase, randomOf, trials, withServer } from "../Setting.js"
import { attempt } from "../Trial.js"
import { all, slow } from "../workloads/index.js"

const id = "servers"

/** Its sandboxes end with it: what ran in them has ended, and of what was asked last nobody knows. */
const excuses = (error: AnySandboxSDKError): boolean =>
  error._tag === "ConnectionError" ||
  (error._tag === "SandboxError" && ["kernel_died", "terminated", "outcome_unknown"].includes(error.code))

export const servers: Phase = {
  id,
  title: "servers killed and started again",
  share: 0.015,
  run: (setting) =>
    withServer(setting, id, (sdk, server) =>
      Effect.gen(function*() {
        const { seed, tally } = setting
        const places = yield* Effect.forEach(["one", "two", "three"], () => makePlace(sdk, sdk))
        for (const index of trials(setting)) {
          const random = randomOf(seed, id, index)
          let over = Infinity
          const killing = yield* Effect.fork(
            Effect.gen(function*() {
              yield* Effect.sleep(random.below(500))
              yield* server.kill
              yield* Effect.sleep(random.below(200))
              yield* server.start
              over = performance.now()
            })
          )
          const runs = places.flatMap((place) => [slow, all].map((some) => ({ place, workload: random.pick(some) })))
          const trial = { phase: id, index, excuses, lastFault: () => over, faults: () => ["kill of the server"] }
          yield* Effect.forEach(
            runs,
            (run, part) => attempt(tally, { ...trial, ...run }, part),
            { concurrency: "unbounded" }
          )
          yield* killing
          tally.inject(id, "kill of the server")
        }
        yield* count(tally, id, places)
      }))
}
