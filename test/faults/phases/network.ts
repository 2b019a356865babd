/**
 * Everything that can happen on the way between a client and a server, to all kinds of calls.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import { describe, type Fault, type Size, someFault } from "../Faults.js"
import { count, type Phase, randomOf, trials, withServer, type Worker, WORKERS, workers } from "../Setting.js"
import type { Tally } from "../Tally.js"
import { attempt } from "../Trial.js"
import { all } from "../workloads/index.js"
import type { Workload } from "../workloads/Workload.js"

const id = "network"

/**
 * A network that fails for a moment is no reason to fail, unless what was sent cannot be sent again, or the request did not
 * get through in the time that the caller gave.
 */
const excusable = (workload: Workload, faults: ReadonlyArray<Fault>) => (error: AnySandboxSDKError): boolean =>
  workload.isUnrepeatable === true && error._tag === "ConnectionError" ||
  faults.some(({ kind }) => kind === "stall") && error._tag === "TimeoutError" && error.operation === "request"

/** Lets each pass by once undisturbed, and gives how many bytes it took. */
export const record = (
  tally: Tally,
  phase: string,
  each: (
    items: ReadonlyArray<Workload>,
    work: (workload: Workload, worker: Worker) => Effect.Effect<void>
  ) => Effect.Effect<void>,
  workloads: ReadonlyArray<Workload>
): Effect.Effect<ReadonlyMap<Workload, Size>> =>
  Effect.gen(function*() {
    const sizes = new Map<Workload, Size>()
    yield* each(workloads, (workload, { place, proxy }) =>
      Effect.gen(function*() {
        const exchange = proxy.arm([])
        const index = -1 - workloads.indexOf(workload)
        yield* attempt(tally, { phase, index, workload, place, excuses: () => false })
        sizes.set(workload, exchange.size())
      }))
    return sizes
  })

/** Makes a run with these faults on the way. */
export const disturb = (
  tally: Tally,
  phase: string,
  index: number,
  workload: Workload,
  { place, proxy }: Worker,
  faults: ReadonlyArray<Fault>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const exchange = proxy.arm(faults)
    yield* attempt(tally, {
      phase,
      index,
      workload,
      place,
      excuses: excusable(workload, faults),
      lastFault: exchange.lastFault,
      faults: () => exchange.fired.map(describe)
    })
    yield* exchange.settle
    exchange.fired.forEach(({ kind }) => tally.inject(phase, kind))
  })

export const network: Phase = {
  id,
  title: "faults of the network, in all kinds of calls",
  share: 0.3,
  run: (setting) =>
    withServer(setting, id, (direct, server) =>
      Effect.gen(function*() {
        const { seed, tally } = setting
        const { each, places } = yield* workers(server, direct, WORKERS)
        const recorded = yield* record(tally, id, each, all)
        yield* each(trials(setting, 2), (index, worker) => {
          const random = randomOf(seed, id, index)
          const workload = random.pick(all)
          const size = recorded.get(workload) ?? { request: 0, answer: 0 }
          const faults = Array.from({ length: 1 + random.below(4) }, () => someFault(random, size))
          return disturb(tally, id, index, workload, worker, faults)
        })
        yield* count(tally, id, places)
      }))
}
