/**
 * The embedded engine: every operation of the service, over agents behind an isolation.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { assets } from "../agent/Assets.js"
import type { SandboxError } from "../Errors.js"
import { executeBatch, executeBatchStream } from "../internal/batch.js"
import { makeRunCodeAs } from "../internal/runCodeAs.js"
import { Isolation } from "../isolation/Isolation.js"
import type { Network } from "../Options.js"
import type { Service } from "../SandboxSDK.js"
import { SandboxSDK } from "../SandboxSDK.js"
import * as DataDirectory from "./DataDirectory.js"
import * as Egress from "./Egress.js"
import { makeMeter } from "./Meter.js"
import { check, type NetworkPolicy } from "./NetworkPolicy.js"
import { contextOperations } from "./operations/Contexts.js"
import { fileOperations } from "./operations/Files.js"
import { runOperations } from "./operations/Runs.js"
import { sandboxOperations } from "./operations/Sandboxes.js"
import { templateOperations } from "./operations/Templates.js"
import * as Registry from "./Registry.js"
import { Sockets } from "./Sockets.js"
import * as Templates from "./Templates.js"
import { makeTemplateStore } from "./TemplateStore.js"

/**
 * Settings of an engine.
 */
export interface EngineOptions {
  /** A folder in which sandboxes outlive the engine; without it they end with it. */
  readonly dataDirectory?: string | undefined
  /** How long an interrupted program may take to end before it is killed: 2 seconds by default. */
  readonly interruptGrace?: Duration.DurationInput | undefined
  /** What sandboxes may be given of the network, at most: any host of the public Internet by default. */
  readonly network?: NetworkPolicy | undefined
}

/**
 * Makes the service. Everything that it starts ends when the scope closes.
 */
export const make = Effect.fn("Engine.make")(function*(
  options: EngineOptions = {}
): Effect.fn.Return<Service, SandboxError, Isolation | Scope.Scope> {
  const isolation = yield* Isolation
  yield* isolation.reap
  const directory = yield* DataDirectory.make(assets, options.dataDirectory)
  const meter = yield* makeMeter
  const policy = options.network ?? "public"
  const sockets = yield* Sockets
  const registry = yield* Registry.make({
    directory,
    meter,
    egress: (network) => Egress.make(network, policy, sockets),
    interruptGrace: Duration.decode(options.interruptGrace ?? Duration.seconds(2))
  })
  const templates = yield* Templates.make(
    isolation.runtimes,
    makeTemplateStore(directory.templates),
    (image) => Effect.flatMap(isolation.forImage(image), ({ check, runtimes }) => Effect.zipRight(check, runtimes))
  )
  const parts = {
    registry,
    templates,
    isolation,
    checkNetwork: (wanted: Network | undefined, enforced: boolean) =>
      Effect.flatMap(sockets.ownAddresses, (own) => check(wanted, { policy, own, enforced }))
  }

  const sandboxes = sandboxOperations(parts)
  const runs = runOperations(parts)
  const contexts = contextOperations(parts)
  const runner = { ...sandboxes, ...runs, ...contexts }
  const operations: Omit<Service, "getMetrics"> = {
    ...sandboxes,
    ...runs,
    runCodeAs: makeRunCodeAs(runs.runCode),
    executeBatch: (id, jobs, batchOptions) => executeBatch(runner, id, jobs, batchOptions),
    executeBatchStream: (id, jobs, batchOptions) => executeBatchStream(runner, id, jobs, batchOptions),
    ...fileOperations(parts),
    ...contexts,
    ...templateOperations(parts)
  }
  return meter.measure(operations)
})

/**
 * The engine as a layer, over whatever isolation it is given.
 */
export const layerEngine = (options?: EngineOptions): Layer.Layer<SandboxSDK, SandboxError, Isolation> =>
  Layer.scoped(SandboxSDK, make(options))
