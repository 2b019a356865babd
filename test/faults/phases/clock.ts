/**
 * A clock that jumps while things run.
 */
import { Effect } from "effect"
import { count, makePlace, type Phase, randomOf, trials, withServer } from "../Setting.js"
import { attempt } from "../Trial.js"
import { all } from "../workloads/index.js"

const id = "clock"

const HOUR = 3_600_000

/** Back as often as forward, up to five hours: longer than a sandbox may be idle. */
const somewhere = (random: ReturnType<typeof randomOf>): number =>
  Math.round((random.next() - 0.5) * 10 * random.pick([0.001, 1]) * HOUR)

export const clock: Phase = {
  id,
  title: "the server's clock jumps",
  share: 0.03,
  run: (setting) =>
    withServer(setting, id, (sdk, server) =>
      Effect.gen(function*() {
        const { seed, tally } = setting
        // Only how long it may be up is counted in days.
        const place = yield* makePlace(sdk, sdk, { resources: { runTimeMs: 0 } })
        for (const index of trials(setting)) {
          const random = randomOf(seed, id, index)
          const workload = random.pick(all)
          const jumping = yield* Effect.fork(Effect.delay(server.jump(somewhere(random)), random.below(300)))
          yield* attempt(tally, { phase: id, index, workload, place, excuses: () => false })
          yield* jumping
          tally.inject(id, "jump of the clock")
        }
        yield* count(tally, id, [place])
      }))
}
