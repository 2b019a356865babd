/**
 * `sandbox-sdk/local`: the engine in this process. No account, no server: sandboxes are processes of this machine behind
 * an isolation that is tried before the first one is made.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { EngineOptions } from "./engine/Engine.js"
import { layerEngine, PoolSettings } from "./engine/Engine.js"
import { NetworkPolicy } from "./engine/NetworkPolicy.js"
import type { SandboxError } from "./Errors.js"
import { type SandboxSDKError } from "./Errors.js"
import { decodeArguments } from "./internal/arguments.js"
import * as Bubblewrap from "./isolation/Bubblewrap.js"
import * as Docker from "./isolation/Docker.js"
import { Isolation } from "./isolation/Isolation.js"
import * as None from "./isolation/None.js"
import { requiring } from "./isolation/Require.js"
import { Network } from "./Options.js"
import type { SandboxSDK } from "./SandboxSDK.js"

export { doctor, inspect } from "./isolation/Doctor.js"
export { Guarantee } from "./isolation/Guarantee.js"
export { Bubblewrap, Docker, Isolation, layerEngine, NetworkPolicy, None, PoolSettings }
export type { EngineOptions }

const IsolationName = Schema.Literal("auto", "bubblewrap", "docker", "none")

const ContainerOptions = Schema.Struct({
  address: Schema.optional(Schema.NonEmptyString),
  image: Schema.optional(Schema.NonEmptyString),
  runtime: Schema.optional(Schema.NonEmptyString)
})

const Options = Schema.Struct({
  isolation: Schema.optional(IsolationName),
  docker: Schema.optional(ContainerOptions),
  dataDirectory: Schema.optional(Schema.NonEmptyString),
  interruptGraceMs: Schema.optional(Schema.Int.pipe(Schema.between(0, 600_000))),
  require: Schema.optional(Schema.Array(Schema.NonEmptyString)),
  network: Schema.optional(NetworkPolicy),
  executionLogMb: Schema.optional(
    Schema.Int.pipe(Schema.between(1, 1_024, { description: "a whole number of MiB from 1 to 1024" }))
  ),
  executionRetentionMs: Schema.optional(
    Schema.Int.pipe(Schema.between(0, 86_400_000, { description: "a whole number of milliseconds up to 86400000" }))
  ),
  buildNetwork: Schema.optional(Network),
  pool: Schema.optional(PoolSettings)
})

/**
 * Settings of {@link layerLocal}.
 *
 * @category models
 */
export interface LocalOptions {
  /**
   * What separates sandboxes from this machine. `"auto"` (the default) is the strongest that this host proves to have;
   * where there is none, `createSandbox` fails with `isolation_unavailable` and says what to install. `"docker"`: each
   * sandbox is a container of a Docker Engine. `"none"` separates
   * nothing: the code can do whatever this process can. It is only ever used when it is asked for by this name, and
   * says so in a warning.
   */
  readonly isolation?: typeof IsolationName.Type | undefined
  /**
   * The Docker Engine, or Podman's imitation of one, for sandboxes in containers: those of a template with a `dockerImage`,
   * and with `isolation: "docker"` all of them. `address` is where it listens (`unix:///var/run/docker.sock`,
   * `tcp://host:2375`; by default what `DOCKER_HOST` names), `image` the one of templates that name none
   * (`python:3-slim`), `runtime` its container runtime (`runsc`). It is asked for nothing before a sandbox needs it.
   */
  readonly docker?: typeof ContainerOptions.Type | undefined
  /**
   * A folder in which sandboxes, with their files, outlive the engine: the next one finds them there, stopped. It belongs
   * to one engine at a time. Without it everything is removed when the engine ends.
   */
  readonly dataDirectory?: string | undefined
  /** How long interrupted code may take to end by itself before it is killed, in milliseconds: 2000 by default. */
  readonly interruptGraceMs?: number | undefined
  /**
   * Guarantees that must be enforced here, by the ids of `sandbox doctor --json`: `["memory", "processor-time"]`. Where
   * one is only watched (`soft`), `createSandbox` fails with `isolation_unavailable` and says what would help. Those that
   * can be had on every host are always required.
   */
  readonly require?: ReadonlyArray<string> | undefined
  /**
   * What sandboxes may be given of the network, at most; each gets what its own `network.allow` names, and nothing without
   * it. `"public"` (the default): any host of the public Internet. `"any"`: also an address of this machine or of a
   * private network, where `allow` names this very address (`"127.0.0.1:5432"`, `"10.0.0.5:80"`); a name never leads
   * there. `{ allow: ["pypi.org:443"] }`: what is listed, which may be such addresses too. `"none"`: nothing. Where users
   * of a server say what they want, these are the bounds of it.
   */
  readonly network?: NetworkPolicy | undefined
  /**
   * How many MiB of its events an execution keeps, for those who read it slowly, late or again: 8 by default. The memory
   * that its output takes here is bounded by this, whatever it prints.
   */
  readonly executionLogMb?: number | undefined
  /** How long an execution that has ended can still be listed and read, in milliseconds: 300000 by default. */
  readonly executionRetentionMs?: number | undefined
  /**
   * What may be reached while a template's `dependencies` and `installCommand` are installed; `network` bounds it, too. By
   * default where pip and npm find packages: `{ allow: ["pypi.org:443", "files.pythonhosted.org:443",
   * "registry.npmjs.org:443"] }`. With isolation `"none"` nothing is limited.
   */
  readonly buildNetwork?: Network | undefined
  /**
   * Sandboxes that are started ahead, in the background, so that `createSandbox` hands one out in place of starting it:
   * `{ size: 4 }` keeps four of the template `python`, `{ size: 4, templates: ["python", { templateId: "node", size: 2,
   * resources: { memoryMb: 512 } }] }` also two of Node with other limits. One is used when template and limits are those
   * that it was started with; a sandbox with a network, from a snapshot or with `autoStart: false` is made as without. Each
   * takes the memory of an idle interpreter. None by default.
   */
  readonly pool?: PoolSettings | undefined
}

const decodeOptions = decodeArguments(Options, "layerLocal")

/**
 * The service {@link SandboxSDK} over the engine in this process. Closing the layer's scope ends every sandbox and
 * removes its files; what an engine that was killed left behind is removed when the next one starts.
 *
 * Fails with `SandboxSDKError` `invalid_argument` for a malformed setting, and with `SandboxError` `start_failed` when
 * the engine cannot make its folder.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Sandbox } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   const { execution } = yield* sandbox.runCode("sum(range(10))")
 *   return execution.text // "45"
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
 * ```
 *
 * @category layers
 */
export const layerLocal = (options?: LocalOptions): Layer.Layer<SandboxSDK, SandboxSDKError | SandboxError> =>
  Layer.unwrapEffect(
    Effect.map(
      decodeOptions(options),
      ({
        buildNetwork,
        dataDirectory,
        docker,
        executionLogMb,
        executionRetentionMs,
        interruptGraceMs,
        isolation = "auto",
        network,
        pool,
        require: required = []
      }) => {
        const interruptGrace: Duration.DurationInput | undefined = interruptGraceMs
        const executionRetention: Duration.DurationInput | undefined = executionRetentionMs
        return Layer.provide(
          layerEngine({
            ...{ buildNetwork, dataDirectory, executionLogMb, executionRetention, interruptGrace, network, pool }
          }),
          requiring(required)(
            isolation === "docker"
              ? Docker.layer(docker)
              : Docker.withImages(docker)(isolation === "none" ? None.layer : Bubblewrap.layer())
          )
        )
      }
    )
  )
