/**
 * What the operations of the engine are made of.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import type { RequestError, SandboxSDKError } from "../../Errors.js"
import { requireId } from "../../internal/arguments.js"
import type { Service as Isolation } from "../../isolation/Isolation.js"
import type { Network } from "../../Options.js"
import type { Builds } from "../Builds.js"
import type { Executions } from "../Executions.js"
import type { Processes } from "../Processes.js"
import type { Registry, Running } from "../Registry.js"
import type { Snapshots } from "../Snapshots.js"
import type { Templates } from "../Templates.js"

/**
 * The parts of an engine.
 */
export interface Parts {
  readonly registry: Registry
  readonly executions: Executions
  readonly processes: Processes
  readonly templates: Templates
  readonly builds: Builds
  readonly snapshots: Snapshots
  /** That of sandboxes whose template names no image. */
  readonly isolation: Isolation
  /** Fails when no sandbox can be made that is limited to this; `enforced`: whether its isolation could keep it to that. */
  readonly checkNetwork: (network: Network | undefined, enforced: boolean) => Effect.Effect<void, SandboxSDKError>
}

/**
 * The sandbox of the current user, up; the id is checked first.
 */
export const runningSandbox = (
  registry: Registry,
  operation: string,
  id: unknown
): Effect.Effect<Running, RequestError> =>
  Effect.gen(function*() {
    const known = yield* requireId(operation, id)
    return yield* registry.running(yield* CurrentUser, known)
  })
