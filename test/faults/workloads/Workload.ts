/**
 * Something that is asked of a sandbox, of which everything that comes back is known beforehand.
 */
import type { Effect } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Service } from "../../../src/SandboxSDK.js"
import type { Channels, Witness } from "../Witness.js"

/** Where it is asked. */
export interface Place {
  /** The service, as far away as it may be. */
  readonly sdk: Service
  /** The same without anything on the way: to prepare, and to look at what has become of it. */
  readonly direct: Service
  readonly sandboxId: string
  /** A file in the sandbox, to which every run adds its mark. */
  readonly counter: string
}

export interface Workload {
  readonly name: string
  /** Whether each run leaves its mark in the file for that. */
  readonly isCounted: boolean
  /** Whether it is one request that cannot be made again: its bytes are gone once they are sent. */
  readonly isUnrepeatable?: boolean
  /** How long it says nothing, in milliseconds, when nothing disturbs it. */
  readonly quietMs?: number
  readonly said: (mark: string) => Channels
  /** Does it once. `mark` is its own alone. */
  readonly run: (place: Place, mark: string, witness: Witness) => Effect.Effect<void, AnySandboxSDKError>
}
