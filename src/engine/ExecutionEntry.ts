/**
 * What is known of one execution.
 */
import type * as Fiber from "effect/Fiber"
import type { BatchEvent } from "../Batch.js"
import type { Language } from "../CodeContext.js"
import type { RequestError, SandboxError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import type { ExecutionInfo, ExecutionKind } from "../ExecutionInfo.js"
import type { EventLog } from "../internal/eventLog.js"

/**
 * What is run, for whom, and what becomes of it when nobody reads its events.
 */
export interface About {
  readonly userId: string
  readonly sandboxId: string
  readonly kind: ExecutionKind
  readonly language?: Language | undefined
  readonly batchId?: string | undefined
  readonly detached?: boolean | undefined
  readonly detachGraceMs?: number | undefined
  readonly hold?: string | undefined
}

/**
 * The log of an execution: a batch has events of its own.
 */
export type Events =
  | { readonly _tag: "Run"; readonly log: EventLog<ExecutionEvent, RequestError> }
  | { readonly _tag: "Batch"; readonly log: EventLog<BatchEvent, RequestError> }

/**
 * One execution: what it was started with, what it is doing, and how it ended.
 */
export interface Entry {
  readonly id: string
  readonly about: About
  readonly events: Events
  readonly graceMs: number
  readonly dropped: { stdout: number; stderr: number; results?: number }
  /** What runs it, until that is over. */
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  contextId: string | undefined
  language: Language | undefined
  queued: boolean
  startedAt: number
  endedAt: number | undefined
  exitCode: number | undefined
  error: RequestError | undefined
  /** Why it was stopped. */
  why: SandboxError | undefined
  /** Since when nobody reads it, in milliseconds since the epoch. */
  unreadSince: number
  /** Whether it has ended, and somebody has had all of it. */
  read: boolean
  /** What it counts for, once it has ended. */
  cost: number
  /** Told when it has ended. */
  readonly onEnded: (() => void) | undefined
}

/**
 * Whether it has ended.
 */
export const hasEnded = ({ endedAt }: Entry): boolean => endedAt !== undefined

/**
 * The execution as the service describes it.
 */
export const describe = (entry: Entry): ExecutionInfo => {
  const { about, dropped, endedAt, error, events: { log } } = entry
  const anyDropped = dropped.stdout + dropped.stderr + (dropped.results ?? 0) > 0
  return {
    id: entry.id,
    sandboxId: about.sandboxId,
    kind: about.kind,
    ...(entry.language === undefined ? {} : { language: entry.language }),
    ...(entry.contextId === undefined ? {} : { contextId: entry.contextId }),
    ...(about.batchId === undefined ? {} : { batchId: about.batchId }),
    status: endedAt === undefined ? (entry.queued ? "queued" : "running") : (error === undefined ? "ended" : "failed"),
    detached: about.detached === true,
    startedAt: entry.startedAt,
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(entry.exitCode === undefined ? {} : { exitCode: entry.exitCode }),
    ...(error === undefined ? {} : { error }),
    firstSeq: log.first(),
    lastSeq: log.next() - 1,
    ...(anyDropped ? { dropped: { ...dropped } } : {})
  }
}
