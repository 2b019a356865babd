/**
 * The processes of an engine that run and can be spoken to.
 */
import type { RunHandle } from "../agent/Client.js"
import type { ProcessInfo, TerminalSize } from "../Process.js"
import { makeOwned } from "./Owned.js"

/**
 * A process that runs.
 */
export interface Process {
  readonly handle: RunHandle
  info: ProcessInfo
}

/**
 * The processes of an engine, by the ids of their executions. Each belongs to a user, and does not exist for any other.
 */
export interface Processes {
  readonly add: (userId: string, process: Process) => void
  readonly remove: (userId: string, executionId: string) => void
  readonly get: (userId: string, executionId: string) => Process | undefined
  /** Those of a sandbox, oldest first. */
  readonly list: (userId: string, sandboxId: string) => ReadonlyArray<ProcessInfo>
  readonly resized: (process: Process, size: TerminalSize) => void
}

/**
 * Makes it, empty.
 */
export const make = (): Processes => {
  const owned = makeOwned<Process>()
  return {
    add: (userId, process) => owned.set(userId, process.info.executionId, process),
    remove: owned.delete,
    get: owned.get,
    list: (userId, sandboxId) =>
      owned.of(userId).map(({ info }) => info).filter((info) => info.sandboxId === sandboxId),
    resized: (process, pty) => {
      process.info = { ...process.info, pty }
    }
  }
}
