/**
 * What a registry knows of one sandbox.
 */
import type * as Scope from "effect/Scope"
import type { Files } from "../agent/Files.js"
import type { SandboxError } from "../Errors.js"
import type { Lock } from "../internal/lock.js"
import type { ListSandboxesOptions } from "../Options.js"
import type { SandboxInfo, SandboxStatus, StartCommandInfo } from "../SandboxInfo.js"
import type { Gauge } from "./DiskWatch.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import type * as Resources from "./Resources.js"
import type { SandboxRecord } from "./SandboxRecord.js"

/**
 * What is up.
 */
export interface Up {
  readonly live: LiveSandbox
  readonly files: Files
  readonly gauge: Gauge
  readonly startedAt: number
  /** How the start command of its template is doing, if it has one. */
  readonly startCommand: (() => StartCommandInfo) | undefined
}

/**
 * `scope` is that of what is up: closing it stops the sandbox. `since` is in milliseconds since the epoch.
 */
export type State =
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Starting" }
  | { readonly _tag: "Up"; readonly up: Up; readonly scope: Scope.CloseableScope }
  | { readonly _tag: "Paused"; readonly up: Up; readonly scope: Scope.CloseableScope; readonly since: number }
  | { readonly _tag: "Failed"; readonly error: SandboxError; readonly scope: Scope.CloseableScope }
  | { readonly _tag: "Stopping"; readonly scope: Scope.CloseableScope }

/**
 * One sandbox: what it was made from, and what it is doing.
 */
export interface Entry {
  record: SandboxRecord
  readonly limits: Resources.Limits
  state: State
  activeRuns: number
  /** How many are using it, and when the last of them began or ended, in milliseconds since the epoch. */
  uses: number
  lastUse: number
  /** Whether it is about to be removed, because its time is over. */
  ending: boolean
  removed: boolean
  /** Held while it starts, stops or is removed. */
  readonly transition: Lock
  /** Held while its record is written or removed. */
  readonly saving: Lock
}

const statusOf = ({ activeRuns, state }: Entry): SandboxStatus => {
  switch (state._tag) {
    case "Stopped":
    case "Stopping":
      return "stopped"
    case "Starting":
      return "creating"
    case "Failed":
      return "error"
    case "Up":
      return activeRuns > 0 ? "running" : "ready"
    case "Paused":
      return "paused"
  }
}

/**
 * The sandbox as the service describes it.
 */
export const describe = (entry: Entry): SandboxInfo => {
  const { createdAt, expiresAt, id, options, template, updatedAt, userId } = entry.record
  const startCommand = entry.state._tag === "Up" ? entry.state.up.startCommand?.() : undefined
  return {
    id,
    userId,
    ...(options.name === undefined ? {} : { name: options.name }),
    templateId: template.id,
    templateConfig: template.config,
    status: statusOf(entry),
    createdAt,
    updatedAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
    ...(startCommand === undefined ? {} : { startCommand })
  }
}

/**
 * Whether it is one of those that are asked for; pages apart.
 */
export const matches = (entry: Entry, options: ListSandboxesOptions): boolean =>
  (options.status === undefined || options.status === statusOf(entry)) &&
  Object.entries(options.metadata ?? {}).every(([key, value]) => entry.record.options.metadata?.[key] === value)

/**
 * What is up in it, also while that is paused.
 */
export const upIn = ({ state }: Entry): Up | undefined =>
  state._tag === "Up" || state._tag === "Paused" ? state.up : undefined

/**
 * When its time is over, one way or another, in milliseconds since the epoch; `Infinity` for never. While it is paused only
 * its expiry comes nearer.
 */
export const deadlineOf = ({ ending, lastUse, limits, record, state, uses }: Entry): number => {
  if (ending) return Infinity
  const expires = record.expiresAt ?? Infinity
  if (state._tag !== "Up") return expires
  return Math.min(expires, state.up.startedAt + limits.runTimeMs, uses > 0 ? Infinity : lastUse + limits.idleTimeMs)
}
