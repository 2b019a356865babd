/**
 * What the phases have in common: clients, sandboxes, and who works on what.
 */
import { Effect, Layer, Queue, Redacted, type Scope } from "effect"
import type { CreateSandboxOptions } from "../../src/Options.js"
import * as Retry from "../../src/Retry.js"
import { SandboxConfig } from "../../src/SandboxConfig.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import { makeRandom, type Random } from "../support/random.js"
import * as Proxy from "./Proxy.js"
import * as ServerProcess from "./ServerProcess.js"
import type { Tally } from "./Tally.js"
import type { Place } from "./workloads/Workload.js"

/** What a phase gets. */
export interface Setting {
  readonly seed: number
  /** How many faults it is to inject, about. */
  readonly faults: number
  readonly tally: Tally
  readonly programs: ServerProcess.Programs
  /** Makes this trial alone. */
  readonly only?: number | undefined
}

export interface Phase {
  readonly id: string
  readonly title: string
  /** Its part of all faults. */
  readonly share: number
  /** Why it cannot be made here. */
  readonly without?: () => string | undefined
  readonly run: (setting: Setting) => Effect.Effect<void>
}

export const isRoot = process.geteuid?.() === 0

/** Spreads numbers that lie side by side (the finalizer of MurmurHash3). */
const mix = (number: number): number => {
  let h = number | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The same numbers for the same trial of the same phase, whatever else is made. */
export const randomOf = (seed: number, phase: string, index: number): Random =>
  makeRandom([...phase, index].reduce<number>(
    (sum, part) => mix(sum ^ (typeof part === "number" ? part : part.charCodeAt(0))),
    mix(seed)
  ))

/** The trials of a phase by number. */
export const trials = ({ faults, only }: Setting, perTrial = 1): ReadonlyArray<number> =>
  only === undefined ? Array.from({ length: Math.max(1, Math.ceil(faults / perTrial)) }, (_, n) => n) : [only]

/** More patient than a person would be, and more quickly so. */
const policy = Retry.policy({ maxRetries: 60, retryDelay: 15, maxDelay: 200 })

/** The service of the server at this address, until the scope closes. */
export const connect = (url: string) =>
  Effect.orDie(Effect.flatMap(
    Layer.build(
      SandboxSDK.layerFetch.pipe(
        Layer.provide(
          SandboxConfig.layer({ apiKey: Redacted.make(ServerProcess.KEY), serverUrl: url, timeout: 30_000 })
        ),
        Layer.provide(Retry.layer(policy))
      )
    ),
    (services) => Effect.provide(SandboxSDK, services)
  ))

/** Where runs leave their marks; it stays when everything in the sandbox is killed. */
export const COUNTER = "/workspace/.runs"

/** A sandbox to work in. */
export const makePlace = (
  sdk: Service,
  direct: Service,
  options: Partial<CreateSandboxOptions> = {},
  counter = COUNTER
): Effect.Effect<Place> =>
  Effect.orDie(Effect.map(
    direct.createSandbox({ templateId: "python", ...options }),
    ({ sandbox }) => ({ sdk, direct, sandboxId: sandbox.id, counter })
  ))

/** Tells the tally what the sandboxes have counted. */
export const count = (tally: Tally, phase: string, places: ReadonlyArray<Place>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const lines = yield* Effect.forEach(
      places,
      ({ counter, direct, sandboxId }) =>
        direct.runTerminal(sandboxId, `cat ${counter} 2>/dev/null || true`).pipe(
          Effect.map((text) => text.split("\n")),
          Effect.catchAll((error) =>
            Effect.sync(() => {
              tally.violations.push({
                phase,
                index: 0,
                what: `The marks of a sandbox cannot be read: ${error.message}`
              })
              return []
            })
          )
        )
    )
    tally.counted(phase, lines.flat())
  })

/** Works with a server of its own, ends it in order, and looks at what it has left. */
export const withServer = (
  { programs, tally }: Setting,
  phase: string,
  work: (sdk: Service, server: ServerProcess.ServerProcess) => Effect.Effect<void, never, Scope.Scope>,
  options: ServerProcess.Options = {}
): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    const server = yield* ServerProcess.make(programs, options)
    yield* work(yield* connect(`http://127.0.0.1:${server.port}`), server)
    yield* server.stop
    tally.leave(phase, yield* server.left)
  }))

/** Somebody who makes one trial at a time. */
export interface Worker {
  readonly proxy: Proxy.Proxy
  readonly place: Place
}

/** How many trials are made at a time where they do not disturb each other. */
export const WORKERS = 6

/** Workers before one server, each with a proxy and a sandbox of its own. */
export const workers = (server: ServerProcess.ServerProcess, direct: Service, number: number) =>
  Effect.gen(function*() {
    const all = yield* Effect.forEach(Array.from({ length: number }), () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.make(server.port)
        return { proxy, place: yield* makePlace(yield* connect(proxy.url), direct) }
      }))
    const free = yield* Queue.unbounded<Worker>()
    yield* Queue.offerAll(free, all)
    return {
      places: all.map(({ place }) => place),
      each: <A>(items: ReadonlyArray<A>, work: (item: A, worker: Worker) => Effect.Effect<void>) =>
        Effect.forEach(
          items,
          (item) =>
            Effect.acquireUseRelease(
              Queue.take(free),
              (worker) => work(item, worker),
              (worker) => Queue.offer(free, worker)
            ),
          { concurrency: number, discard: true }
        )
    }
  })
