/**
 * The embedded engine: every operation of the service, over agents behind an isolation.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { assets } from "../agent/Assets.js"
import type { SandboxError, SandboxSDKError } from "../Errors.js"
import { makeRunAside } from "../internal/aside.js"
import { makeRunCodeAs } from "../internal/runCodeAs.js"
import { Isolation } from "../isolation/Isolation.js"
import type { Network } from "../Options.js"
import { Resources as ResourceOptions } from "../Resources.js"
import type { Service } from "../SandboxSDK.js"
import { SandboxSDK } from "../SandboxSDK.js"
import * as Builds from "./Builds.js"
import * as DataDirectory from "./DataDirectory.js"
import * as Egress from "./Egress.js"
import * as Executions from "./Executions.js"
import * as Launcher from "./Launcher.js"
import { makeMeter } from "./Meter.js"
import { check, type NetworkPolicy } from "./NetworkPolicy.js"
import { batchOperations } from "./operations/Batches.js"
import { contextOperations } from "./operations/Contexts.js"
import { executionOperations } from "./operations/Executions.js"
import { fileOperations } from "./operations/Files.js"
import { portOperations } from "./operations/Ports.js"
import { processOperations } from "./operations/Processes.js"
import { runOperations } from "./operations/Runs.js"
import { sandboxOperations } from "./operations/Sandboxes.js"
import { snapshotOperations } from "./operations/Snapshots.js"
import { templateOperations } from "./operations/Templates.js"
import type { Wanted } from "./Pool.js"
import * as Ports from "./Ports.js"
import * as Precompile from "./Precompile.js"
import * as Processes from "./Processes.js"
import * as Registry from "./Registry.js"
import * as Resources from "./Resources.js"
import * as Snapshots from "./Snapshots.js"
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
  /** How many MiB of events an execution keeps for those who read later, or slowly: 8 by default. */
  readonly executionLogMb?: number | undefined
  /** How long an execution that has ended can still be read: 5 minutes by default. */
  readonly executionRetention?: Duration.DurationInput | undefined
  /** What builds of templates may reach: the registries of pip and npm by default. `network` bounds it, too. */
  readonly buildNetwork?: Network | undefined
  /** Sandboxes that are started ahead: none by default. */
  readonly pool?: PoolSettings | undefined
}

const PoolSize = Schema.Int.pipe(Schema.between(1, 1_000, { description: "a whole number from 1 to 1000" }))

/**
 * Which sandboxes are started ahead: `size` for each of `templates` (`["python"]` by default), with these `resources`, else
 * the template's. An entry may have a `size` and `resources` of its own. Templates are those of the machine.
 *
 * @category models
 */
export const PoolSettings = Schema.Struct({
  size: PoolSize,
  templates: Schema.optional(
    Schema.Array(
      Schema.Union(
        Schema.NonEmptyString,
        Schema.Struct({
          templateId: Schema.NonEmptyString,
          size: Schema.optional(PoolSize),
          resources: Schema.optional(ResourceOptions)
        })
      )
    )
  ),
  resources: Schema.optional(ResourceOptions)
})

/**
 * @category models
 */
export type PoolSettings = typeof PoolSettings.Type

/** Where pip and npm find packages. */
const PACKAGE_REGISTRIES: Network = {
  allow: ["pypi.org:443", "files.pythonhosted.org:443", "registry.npmjs.org:443"]
}

const MIB = 1024 * 1024

/**
 * Makes the service. Everything that it starts ends when the scope closes.
 */
export const make = Effect.fn("Engine.make")(function*(
  options: EngineOptions = {}
): Effect.fn.Return<Service, SandboxError | SandboxSDKError, Isolation | Scope.Scope> {
  const isolation = yield* Isolation
  yield* isolation.reap
  const directory = yield* DataDirectory.make(assets, options.dataDirectory)
  const meter = yield* makeMeter
  const policy = options.network ?? "public"
  const sockets = yield* Sockets
  const executions = yield* Executions.make({
    logBytes: (options.executionLogMb ?? 8) * MIB,
    retentionMs: Duration.toMillis(options.executionRetention ?? Duration.minutes(5))
  })
  const ports = yield* Ports.make
  const launch = Launcher.make({
    agentDirectory: directory.agent,
    runAside: yield* makeRunAside,
    meter,
    egress: (network) => Egress.make(network, policy, sockets),
    precompile: yield* Precompile.make(directory.agent),
    interruptGrace: Duration.decode(options.interruptGrace ?? Duration.seconds(2))
  })
  const builds = yield* Builds.make({
    directory: directory.builds,
    executions,
    launch,
    network: options.buildNetwork ?? PACKAGE_REGISTRIES
  })
  const snapshots = yield* Snapshots.make(directory.snapshots, builds)
  const registry = yield* Registry.make({ directory, executions, meter, launch, builds, removed: ports.forget })
  yield* Effect.addFinalizer(() => executions.stopBatches)
  const templates = yield* Templates.make(
    isolation.runtimes,
    makeTemplateStore(directory.templates),
    builds,
    (image) => Effect.flatMap(isolation.forImage(image), ({ check, runtimes }) => Effect.zipRight(check, runtimes))
  )
  yield* builds.sweep
  if (options.pool !== undefined) {
    yield* registry.keep(yield* pooled(options.pool, templates))
  }
  const parts = {
    registry,
    executions,
    processes: Processes.make(),
    templates,
    builds,
    snapshots,
    isolation,
    checkNetwork: (wanted: Network | undefined, enforced: boolean) =>
      wanted === undefined
        ? Effect.void
        : Effect.flatMap(sockets.ownAddresses, (own) => check(wanted, { policy, own, enforced }))
  }

  const sandboxes = sandboxOperations(parts)
  const runs = runOperations(parts)
  const contexts = contextOperations(parts)
  const runnerOf = (batchId: string) => ({ ...sandboxes, ...contexts, runJob: runs.runJob(batchId) })
  const operations: Omit<Service, "getMetrics"> = {
    ...sandboxes,
    ...runs.operations,
    runCodeAs: makeRunCodeAs(runs.operations.runCode),
    ...batchOperations(parts, runnerOf),
    ...executionOperations(parts),
    ...processOperations(parts),
    ...fileOperations(parts),
    ...contexts,
    ...portOperations({ ...parts, ports }),
    ...templateOperations(parts),
    ...snapshotOperations(parts)
  }
  return meter.measure(operations)
})

/** What the settings of a pool mean. */
const pooled = (
  { resources, size, templates: entries = ["python"] }: PoolSettings,
  templates: Templates.Templates
): Effect.Effect<ReadonlyArray<Wanted>, SandboxError | SandboxSDKError> =>
  Effect.forEach(entries, (entry) =>
    Effect.gen(function*() {
      const own = typeof entry === "string" ? { templateId: entry } : entry
      const wanted = own.resources ?? resources
      const template = yield* templates.get("", own.templateId)
      yield* Resources.check("pool", wanted, template.config.resources)
      return {
        name: own.templateId,
        template,
        size: own.size ?? size,
        limits: Resources.resolve(wanted, template.config.resources)
      }
    }))

/**
 * The engine as a layer, over whatever isolation it is given.
 */
export const layerEngine = (
  options?: EngineOptions
): Layer.Layer<SandboxSDK, SandboxError | SandboxSDKError, Isolation> => Layer.scoped(SandboxSDK, make(options))
