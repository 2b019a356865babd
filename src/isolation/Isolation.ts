/**
 * Isolation: how a sandbox's agent is started behind a wall, and what that wall guarantees on this host.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import { SandboxError } from "../Errors.js"
import type { Measure } from "./Consumption.js"
import type { Freezing } from "./Freezing.js"
import type { Guarantee } from "./Guarantee.js"
import type { Lending } from "./Lending.js"
import type { Runtimes } from "./Runtimes.js"

/**
 * What to start.
 */
export interface LaunchOptions {
  readonly sandboxId: string
  /** Host path of the folder that becomes `/workspace`, made by {@link Service.makeWorkspace}. */
  readonly workspace: string
  /** Host path of the folder with the agent and the kernels; it becomes `/opt/sandbox`, read-only. */
  readonly agentDirectory: string
  /** The version of Python that is wanted (`3.11`), for the agent and so for code in Python; by default the newest. */
  readonly pythonVersion?: string | undefined
  readonly resources: LaunchResources
  /** What its template has installed, if anything. */
  readonly layer?: Layer | undefined
  /**
   * Opens the workspace ({@link Service.openWorkspace}), if that has not been done: beside whatever does not need it, and
   * before anything inside may look at it.
   */
  readonly opening?: Effect.Effect<unknown, SandboxError> | undefined
}

/**
 * Host path of a folder that sandboxes find at {@link Service.layerPath}. Only the sandbox that fills it may write to it.
 */
export interface Layer {
  readonly source: string
  readonly writable: boolean
}

/**
 * What all processes of a sandbox may use together, and each of them (`openFiles`, `fileSizeMb`); see `Resources`.
 */
export interface LaunchResources {
  readonly memoryMb: number
  readonly cpus: number
  readonly processes: number
  readonly tmpMb: number
  readonly openFiles: number
  readonly fileSizeMb: number
}

/**
 * How an agent ended.
 */
export interface ExitStatus {
  readonly exitCode: number | null
  readonly signal: string | null
}

/**
 * A running agent. Closing its scope kills everything in the sandbox and waits until all of it is gone.
 */
export interface AgentProcess {
  /** The framed stream of `agent/Protocol`. */
  readonly stream: Duplex
  /** Waits for the end of the sandbox's first process. */
  readonly exited: Effect.Effect<ExitStatus>
  /** How many processes of this sandbox the kernel has killed so far because memory ran out; 0 where it cannot tell. */
  readonly outOfMemoryKills: Effect.Effect<number>
  /** Whether memory is limited for all processes together; where not, the agent limits each by itself. */
  readonly memoryLimited: boolean
  /**
   * Whether it runs as a user that has other processes too, so that a limit on the processes of a user would count these.
   * Then the group of its processes is limited, and nothing else.
   */
  readonly sharesUser?: boolean
  /** Stops all of it where it is; closing the scope ends it then as well. */
  readonly freezing: Freezing
  /** Opens what the agent has open; absent where its descriptors cannot be seen. */
  readonly lending?: Lending
  /** What all of it takes of processor and memory. Fails with `unsupported` where nobody can tell. */
  readonly consumption: Measure
  /** The end of what the agent and the isolation wrote to standard error: for the message of a failed start. */
  readonly diagnostics: Effect.Effect<string>
}

/**
 * One way to isolate.
 */
export interface Service {
  readonly name: "bubblewrap" | "docker" | "none"
  /**
   * Whether a sandbox has a network of its own, with nothing in it but its loopback: only then can be limited what it
   * reaches.
   */
  readonly ownNetwork: boolean
  /** Where sandboxes find a layer that is in this folder of the host. */
  readonly layerPath: (source: string) => string
  /** The interpreters that a sandbox will find inside. */
  readonly runtimes: Effect.Effect<Runtimes>
  /** The environment that its image sets for a sandbox; without an image it is empty. */
  readonly variables: Effect.Effect<Readonly<Record<string, string>>>
  /**
   * The isolation of sandboxes whose template names an image of containers; everything it gives and does is for that image.
   * Fails with `isolation_unavailable` where there is none for images.
   */
  readonly forImage: (image: string) => Effect.Effect<Service, SandboxError>
  /**
   * Tries each guarantee on this host by a real sandbox. Succeeds with what enforces each when all hold.
   * Fails with `isolation_unavailable` and the command that would help, when one does not. A success is remembered.
   */
  readonly check: Effect.Effect<ReadonlyArray<Guarantee>, SandboxError>
  /**
   * Tries each guarantee likewise, and tells of each whether it holds, never failing: for a report.
   */
  readonly inspect: Effect.Effect<ReadonlyArray<Guarantee>>
  /**
   * Makes the folder that will be `/workspace`, owned by the user that the sandbox runs as. With `diskMb` it gets a disk
   * of that size where this host can: then, and only then, the kernel limits what its files take together. With `kept`,
   * the default, the host may go down right after, and it is there.
   */
  readonly makeWorkspace: (path: string, diskMb?: number, kept?: boolean) => Effect.Effect<void, SandboxError>
  /**
   * Makes a workspace, likewise, with all that is in another, in which nothing runs. Fails with `disk_full` and
   * `snapshot_failed`.
   */
  readonly copyWorkspace: (from: string, to: string) => Effect.Effect<void, SandboxError>
  /**
   * Makes a workspace ready for {@link launch} until the scope closes, by when the sandbox must have ended. Gives whether
   * the kernel limits it. Fails with `start_failed`.
   */
  readonly openWorkspace: (path: string) => Effect.Effect<boolean, SandboxError, Scope.Scope>
  /**
   * Starts an agent. It has said nothing yet when this succeeds. Fails with `start_failed` or `isolation_unavailable`.
   */
  readonly launch: (options: LaunchOptions) => Effect.Effect<AgentProcess, SandboxError, Scope.Scope>
  /**
   * Removes what engines that are dead have left outside their folders (cgroups, processes).
   */
  readonly reap: Effect.Effect<void>
}

/**
 * {@link Service.forImage} of an isolation that knows nothing of images.
 */
export const noImages: Service["forImage"] = (image) =>
  Effect.fail(
    new SandboxError({
      code: "isolation_unavailable",
      field: "dockerImage",
      message:
        `This engine has no isolation for images of containers, and cannot start one of "${image}". Use layerLocal, ` +
        "or put Docker.withImages around the layer of its isolation."
    })
  )

/**
 * The isolation of sandboxes of a template: where it names an image, that of the image.
 */
export const ofTemplate = (
  isolation: Service,
  { config }: { readonly config: { readonly dockerImage?: string | undefined } }
): Effect.Effect<Service, SandboxError> =>
  config.dockerImage === undefined ? Effect.succeed(isolation) : isolation.forImage(config.dockerImage)

/**
 * The tag; layers are in `Bubblewrap`, `Docker` and `None`.
 */
export class Isolation extends Context.Tag("sandbox-sdk/Isolation")<Isolation, Service>() {}
