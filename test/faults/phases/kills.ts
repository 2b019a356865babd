/**
 * Interpreters and sandboxes that are killed while they work, on any layer of the service.
 */
import { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import { layerLocal } from "../../../src/local.js"
import { SandboxSDK, type Service } from "../../../src/SandboxSDK.js"
import { findFirst, kill } from "../Host.js"
import { count, makePlace, type Phase, randomOf, trials, withServer } from "../Setting.js"
import type { Tally } from "../Tally.js"
import { attempt, markOf } from "../Trial.js"
import { slow } from "../workloads/index.js"
import type { Place } from "../workloads/Workload.js"

/** A layer of the service, and what its trials are called. */
export interface Target {
  readonly phase: string
  readonly sdk: Service
  readonly seed: number
  readonly tally: Tally
}

const isOneOf = (codes: ReadonlyArray<string>) => (error: AnySandboxSDKError): boolean =>
  error._tag === "SandboxError" && codes.includes(error.code)

/** How a run may end whose sandbox is killed. */
const excuses = isOneOf(["kernel_died", "terminated", "stopped"])

/** Which runs are disturbed, and after how long. */
const plan = ({ phase, seed }: Target, index: number) => {
  const random = randomOf(seed, phase, index)
  return { workload: random.pick(slow), afterMs: random.below(450), random }
}

/** Kills something in each of these trials. */
export type Kill = (target: Target, indices: ReadonlyArray<number>) => Effect.Effect<void>

/** Works in a sandbox, and looks at what it has counted. */
const inSandbox = ({ phase, sdk, tally }: Target, work: (place: Place) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const place = yield* makePlace(sdk, sdk)
    yield* work(place)
    yield* Effect.ignore(sdk.startSandbox(place.sandboxId))
    yield* count(tally, phase, [place])
    yield* Effect.ignore(sdk.deleteSandbox(place.sandboxId))
  })

/** Kills what a run has said to be its process, by a command in its sandbox, so that it is the same wherever that is. */
const killInterpreter = ({ direct, sandboxId }: Place, mark: string) =>
  Effect.map(
    Effect.option(direct.runTerminal(sandboxId, `kill -KILL "$(cat /tmp/pid-${mark})" && echo killed`)),
    (said) => said._tag === "Some" && said.value.endsWith("killed\n")
  )

/**
 * Kills the interpreter of a run in the middle of it. What it had said comes to its caller, then `kernel_died`; a command
 * ends as one that a signal ended. The next run has another interpreter.
 */
export const killInterpreters: Kill = (target, indices) =>
  inSandbox(target, (place) =>
    Effect.forEach(indices, (index) =>
      Effect.gen(function*() {
        const { phase, tally } = target
        const { afterMs, workload } = plan(target, index)
        const killing = yield* Effect.fork(
          Effect.delay(killInterpreter(place, markOf(phase, index)), afterMs)
        )
        yield* attempt(tally, { phase, index, workload, place, excuses: isOneOf(["kernel_died"]) })
        if (yield* killing) tally.inject(phase, "kill of an interpreter")
      }), { discard: true }))

/**
 * Kills a sandbox as a whole, from the host, while two runs go on in it. What they had said comes to their callers, then
 * the end. It can be started again, and has its files.
 */
export const killSandboxes: Kill = (target, indices) =>
  inSandbox(target, (place) =>
    Effect.forEach(indices, (index) =>
      Effect.gen(function*() {
        const { phase, sdk, tally } = target
        const { sandboxId } = place
        const { afterMs, random, workload } = plan(target, index)
        const pid = yield* sdk.startSandbox(sandboxId).pipe(
          Effect.zipRight(findFirst(sdk, sandboxId, `fault-${process.pid}-${phase}-${index}`)),
          // A moment ago it was killed, after all that ran in it had come to its end: that may not be known yet.
          Effect.retry({ times: 5, while: excuses })
        )
        if (pid === undefined) {
          tally.skipped.push(`${phase}: this layer's sandboxes have no process namespace on this host`)
          return
        }
        const killing = yield* Effect.fork(Effect.delay(kill(pid), afterMs))
        yield* Effect.forEach(
          [workload, random.pick(slow)],
          (each, part) => attempt(tally, { phase, index, workload: each, place, excuses }, part),
          { concurrency: 2 }
        )
        yield* killing
        tally.inject(phase, "kill of a sandbox")
      }).pipe(
        Effect.catchAll((error) =>
          Effect.sync(() =>
            target.tally.violations.push({
              phase: target.phase,
              index,
              what: `It cannot be used any more: ${error.message}`
            })
          )
        )
      ), { discard: true }))

const withLocal = (work: (sdk: Service) => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.orDie(Effect.provide(Effect.flatMap(SandboxSDK, work), layerLocal()))

const local = (id: string, title: string, share: number, kill: Kill): Phase => ({
  id,
  title,
  share,
  run: (setting) =>
    withLocal((sdk) => kill({ phase: id, sdk, seed: setting.seed, tally: setting.tally }, trials(setting)))
})

const remote = (id: string, title: string, share: number, kill: Kill): Phase => ({
  id,
  title,
  share,
  run: (setting) =>
    withServer(
      setting,
      id,
      (sdk) => kill({ phase: id, sdk, seed: setting.seed, tally: setting.tally }, trials(setting))
    )
})

export const kills: ReadonlyArray<Phase> = [
  local("interpreters", "interpreters killed", 0.03, killInterpreters),
  remote("interpreters-http", "interpreters killed, over HTTP", 0.02, killInterpreters),
  local("sandboxes", "sandboxes killed", 0.02, killSandboxes),
  remote("sandboxes-http", "sandboxes killed, over HTTP", 0.01, killSandboxes)
]
