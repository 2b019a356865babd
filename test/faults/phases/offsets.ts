/**
 * Breaks an exchange at each of its bytes.
 */
import { Effect } from "effect"
import type { Direction } from "../Faults.js"
import { count, type Phase, randomOf, withServer, WORKERS, workers } from "../Setting.js"
import { small } from "../workloads/index.js"
import type { Workload } from "../workloads/Workload.js"
import { disturb, record } from "./network.js"

const id = "offsets"

const breaks = ["cut", "reset", "half-close"] as const

interface Point {
  readonly index: number
  readonly workload: Workload
  readonly direction: Direction
  readonly at: number
}

/** Every so many of them, from one on that the seed decides, so that other seeds find others. */
const some = (points: ReadonlyArray<Point>, faults: number, seed: number): ReadonlyArray<Point> => {
  if (faults <= 0) return []
  const stride = Math.max(1, Math.floor(points.length / faults))
  const from = randomOf(seed, id, -1).below(stride)
  return points.filter((_, position) => position % stride === from)
}

/** All bytes of the smallest exchange, where there are faults enough for that, and of the others as many as are left. */
const choose = (points: ReadonlyArray<Point>, faults: number, seed: number): ReadonlyArray<Point> => {
  const isFirst = ({ workload }: Point) => workload === small[0]
  const first = some(points.filter(isFirst), faults, seed)
  return [...first, ...some(points.filter((point) => !isFirst(point)), faults - first.length, seed)]
}

export const offsets: Phase = {
  id,
  title: "a break at each byte of an exchange",
  share: 0.55,
  run: (setting) =>
    withServer(setting, id, (direct, server) =>
      Effect.gen(function*() {
        const { faults, only, seed, tally } = setting
        const { each, places } = yield* workers(server, direct, WORKERS)
        const recorded = yield* record(tally, id, each, small)
        const points = small.flatMap((workload) =>
          (["answer", "request"] as const).flatMap((direction) =>
            Array.from({ length: (recorded.get(workload)?.[direction] ?? 0) + 1 }, (_, at) => ({
              workload,
              direction,
              at
            }))
          )
        ).map((point, index): Point => ({ index, ...point }))
        const chosen = only === undefined ? choose(points, faults, seed) : points.filter(({ index }) => index === only)
        yield* each(chosen, ({ at, direction, index, workload }, worker) =>
          disturb(tally, id, index, workload, worker, [
            { kind: randomOf(seed, id, index).pick(breaks), direction, at }
          ]))
        yield* count(tally, id, places)
      }))
}
