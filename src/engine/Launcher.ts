/**
 * Starts what a registry or a build needs: an agent behind the isolation, its way out, and the watch over its disk.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Language } from "../CodeContext.js"
import { SandboxError } from "../Errors.js"
import type { RunAside } from "../internal/aside.js"
import { Isolation, type Layer, type Service } from "../isolation/Isolation.js"
import { choose } from "../isolation/Runtimes.js"
import type { EnvVars, Network } from "../Options.js"
import type { DiskWatch, Gauge } from "./DiskWatch.js"
import type { Egress } from "./Egress.js"
import { environmentWith, proxyEnvironment, WORKSPACE } from "./Environment.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import * as Live from "./LiveSandbox.js"
import type { Meter } from "./Meter.js"
import type { Precompile } from "./Precompile.js"
import type { Limits } from "./Resources.js"

/**
 * What is to be started.
 */
export interface Launching {
  readonly isolation: Service
  readonly sandboxId: string
  /** Whom it belongs to, which may become known only when it is up. */
  readonly userId: () => string
  readonly workspace: string
  /** Opens the workspace until after the scope has closed, once, and gives whether the kernel limits it. */
  readonly opening: Effect.Effect<boolean, SandboxError>
  readonly language: Language
  readonly version: string
  readonly network: Network | undefined
  readonly layer: Layer | undefined
  readonly env: EnvVars
  readonly limits: Limits
  readonly disks: DiskWatch
  /** Called when it has ended by itself. */
  readonly onEnd: (error: SandboxError) => void
  /** Called when its files are too much, with what is up; see `DiskWatch`. */
  readonly onExcess: (live: LiveSandbox, error: SandboxError, far: boolean) => Effect.Effect<void>
}

/**
 * What is up, until the scope closes.
 */
export interface Launched {
  readonly live: LiveSandbox
  readonly gauge: Gauge
}

/**
 * Starts it. Fails with `start_failed` and `isolation_unavailable`.
 */
export type Launcher = (launching: Launching) => Effect.Effect<Launched, SandboxError, Scope.Scope>

/**
 * What all that an engine starts have in common.
 */
export interface LauncherOptions {
  readonly agentDirectory: string
  readonly interruptGrace: Duration.Duration
  readonly meter: Meter
  /** The way out of what may have this network; none when there is none. */
  readonly egress: (network: Network | undefined) => Effect.Effect<Option.Option<Egress>>
  readonly precompile: Precompile
  readonly runAside: RunAside
}

/**
 * Makes a launcher.
 */
export const make = (options: LauncherOptions): Launcher =>
  Effect.fnUntraced(function*(launching) {
    const { isolation, language, layer, limits, network, opening, sandboxId, version, workspace } = launching
    if (network !== undefined && !isolation.ownNetwork) {
      return yield* new SandboxError({
        code: "isolation_unavailable",
        message:
          "The sandbox was made with a limited network, which isolation \"none\" cannot enforce. Start the engine " +
          "with isolation \"auto\".",
        sandboxId
      })
    }
    const runtimes = yield* isolation.runtimes
    const node = choose(
      runtimes.node,
      language === "javascript" || language === "typescript" ? version : undefined
    )
    const python = choose(runtimes.python, language === "python" ? version : undefined)
    const egress = yield* options.egress(network)
    const live = yield* Live.launch({
      sandboxId,
      workspace,
      agentDirectory: options.agentDirectory,
      pythonVersion: language === "python" ? version : undefined,
      resources: limits,
      layer,
      env: {
        ...environmentWith(
          node?.path,
          yield* isolation.variables,
          layer && { path: isolation.layerPath(layer.source), pythonVersion: python?.version }
        ),
        ...(Option.isSome(egress) ? proxyEnvironment(network) : {}),
        ...launching.env
      },
      cwd: WORKSPACE,
      opening,
      egress,
      interruptGrace: options.interruptGrace,
      recorder: Effect.suspend(() => options.meter.of(launching.userId())),
      onEnd: launching.onEnd,
      runAside: options.runAside
    }).pipe(Effect.provideService(Isolation, isolation))
    // After the first one, so that it need not wait. The Python of an image is not on this host.
    if (python !== undefined && isolation.name !== "docker") yield* options.precompile(python.path)
    const gauge = yield* launching.disks.watch({
      sandboxId,
      workspace,
      diskMb: limits.diskMb,
      limitedByKernel: yield* opening,
      onExcess: (error, far) => launching.onExcess(live, error, far)
    })
    return { live, gauge }
  })
