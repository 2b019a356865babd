/**
 * What has been run: each run of code, each command and each batch as an object that outlives who started it, with a log of
 * its events that can be read from anywhere, by anybody who may, and more than once.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { BatchEvent } from "../Batch.js"
import type { Language } from "../CodeContext.js"
import { type RequestError, SandboxError, SandboxSDKError } from "../Errors.js"
import type { DroppedOutput, ExecutionEvent } from "../Execution.js"
import type { ExecutionInfo } from "../ExecutionInfo.js"
import { invalidArgument } from "../internal/arguments.js"
import { EVENT_COST, type EventLog, makeEventLog, type Reader, type Reading } from "../internal/eventLog.js"
import { ExecutionHooks, noHooks } from "../internal/executionHooks.js"
import { acquireRelease, addFinalizer } from "../internal/finalizing.js"
import type { AttachOptions } from "../Options.js"
import { type About, describe, type Entry, type Events, hasEnded } from "./ExecutionEntry.js"
import { makeExecutionStore } from "./ExecutionStore.js"
import * as Expiry from "./Expiry.js"
import { makeId } from "./Ids.js"

/**
 * What an execution is given while it runs.
 */
export interface Journal<A> {
  readonly id: string
  readonly log: EventLog<A, RequestError>
  /** How many bytes the log keeps. */
  readonly limit: number
  /** What has been cut so far. */
  readonly dropped: { stdout: number; stderr: number; results?: number }
  /** Whether it goes on without a reader. */
  readonly detached: boolean
  /** Tells that it is no longer queued. */
  readonly begun: (now: number, context?: { readonly contextId: string; readonly language: Language }) => void
  /** Stops it, with this error for its readers, without waiting for that. */
  readonly stop: (error: SandboxError) => void
}

/**
 * How an execution ended that came to its end, and its last event.
 */
export interface Outcome<A> {
  readonly event: (seq: number) => A
  readonly exitCode?: number | undefined
  readonly dropped?: DroppedOutput | undefined
}

/**
 * What an execution does: writes all events but the last one into its journal. It is interrupted to be stopped, and has
 * to last until everything that belongs to it is gone. So it cannot be interrupted but where it says so
 * (`Effect.interruptible`), which is where it waits.
 */
export type Work<A> = (journal: Journal<A>) => Effect.Effect<Outcome<A>, RequestError>

/**
 * An execution that was started, and its events for who has started it.
 */
export interface Started<A> {
  readonly id: string
  readonly stream: Stream.Stream<A, RequestError>
}

/**
 * The executions of an engine. Each belongs to a user, and does not exist for any other.
 */
export interface Executions {
  /** Starts a run of code or of a command. Closing the scope stops it, unless it may go on without a reader. */
  readonly run: (about: About, work: Work<ExecutionEvent>) => Effect.Effect<Started<ExecutionEvent>, never, Scope.Scope>
  /**
   * Starts one and reads its events, without a scope and without a stream: for who wants all of them and nothing else. It is
   * stopped when that ends before it has, unless it may go on without a reader. `started` is told its id first.
   */
  readonly through: (
    about: About,
    work: Work<ExecutionEvent>,
    started?: (id: string) => Effect.Effect<void>
  ) => Reading<ExecutionEvent, RequestError>
  /** The same as `run` for a batch. */
  readonly batch: (about: About, work: Work<BatchEvent>) => Effect.Effect<Started<BatchEvent>, never, Scope.Scope>
  /** Its events, from a number on. Fails with `execution_not_found`, `events_lost`, `invalid_argument`. */
  readonly attach: (
    userId: string,
    id: string,
    options: AttachOptions
  ) => Effect.Effect<Stream.Stream<ExecutionEvent, RequestError>, RequestError, Scope.Scope>
  readonly attachBatch: (
    userId: string,
    id: string,
    options: AttachOptions
  ) => Effect.Effect<Stream.Stream<BatchEvent, RequestError>, RequestError, Scope.Scope>
  /** Those of a sandbox, oldest first. */
  readonly list: (userId: string, sandboxId: string) => Effect.Effect<ReadonlyArray<ExecutionInfo>>
  readonly get: (userId: string, id: string) => Effect.Effect<ExecutionInfo, SandboxError>
  /** Stops it, and waits until it has stopped. */
  readonly cancel: (userId: string, id: string) => Effect.Effect<ExecutionInfo, SandboxError>
  /** Waits until no code and no command of a sandbox runs any more. */
  readonly over: (sandboxId: string) => Effect.Effect<void>
  /** Begins to stop all batches, so that they start nothing more. */
  readonly stopBatches: Effect.Effect<void>
}

/**
 * How executions are kept.
 */
export interface ExecutionsOptions {
  /** How many bytes of events one keeps. */
  readonly logBytes: number
  /** How long those that have ended are kept, in milliseconds. */
  readonly retentionMs: number
}

/** How long something is held for a name that has no reader, in milliseconds; longer where the grace is. */
const HOLD_MS = 30_000

const cancelled = (sandboxId: string, why: string) => new SandboxError({ code: "cancelled", message: why, sandboxId })

const notFound = (id: string) =>
  new SandboxError({
    code: "execution_not_found",
    message: `There is no execution "${id}". It was never started, or it ended some time ago and has been forgotten.`
  })

const lost = (after: number, log: Pick<EventLog<never, never>, "first" | "next">) =>
  new SandboxError({
    code: "events_lost",
    field: "after",
    message: log.first() === log.next()
      ? `The events after number ${after} are no longer kept; the last one was number ${log.next() - 1}.`
      : `The events after number ${after} are no longer all kept: there are some from number ${log.first()} on ` +
        `(after: ${log.first() - 1}).`
  })

/**
 * Makes it. When the scope closes, all executions have ended.
 */
export const make = Effect.fn("Executions.make")(function*(
  options: ExecutionsOptions
): Effect.fn.Return<Executions, never, Scope.Scope> {
  const clock = yield* Effect.clock
  const store = makeExecutionStore()
  /** Those that run and of which something has to be looked at some time. */
  const watched = new Set<Entry>()

  const now = (): number => clock.unsafeCurrentTimeMillis()

  // ---- what ends at a time ------------------------------------------------------------------------------------------

  const graceEnds = ({ about, events, graceMs, unreadSince }: Entry): number =>
    about.detached === true || events.log.readers() > 0 ? Infinity : unreadSince + graceMs

  const holdMs = (entry: Entry): number => Math.max(entry.graceMs, HOLD_MS)

  const holdEnds = (entry: Entry): number => {
    const since = entry.events.log.heldSince()
    return since === undefined ? Infinity : since + holdMs(entry)
  }

  /** Begins to stop it. Interrupting its fiber is the one way in which an execution is stopped. */
  const interrupt = (entry: Entry, why: SandboxError): void => {
    if (!hasEnded(entry)) {
      entry.why ??= why
      entry.fiber?.unsafeInterruptAsFork(FiberId.none)
    }
  }

  const stop = (entry: Entry, why: SandboxError): Effect.Effect<void> =>
    Effect.suspend(() => {
      interrupt(entry, why)
      return waitFor(entry)
    })

  const unread = (entry: Entry) =>
    cancelled(
      entry.about.sandboxId,
      entry.graceMs === 0
        ? "The run was stopped because whoever had started it left."
        : `The run was stopped because nobody had read its output for ${entry.graceMs} ms (detachGraceMs).`
    )

  const next = (): number => {
    let earliest = Infinity
    for (const entry of watched) earliest = Math.min(earliest, graceEnds(entry), holdEnds(entry))
    return Math.min(earliest, (store.firstEnd() ?? Infinity) + options.retentionMs)
  }

  const expire = (at: number): Effect.Effect<void> =>
    Effect.sync(() => {
      store.forgetUntil(at - options.retentionMs)
      for (const entry of watched) {
        if (holdEnds(entry) <= at) entry.events.log.release(at - holdMs(entry))
        if (graceEnds(entry) <= at) {
          watched.delete(entry)
          interrupt(entry, unread(entry))
        } else if (graceEnds(entry) === Infinity && holdEnds(entry) === Infinity) {
          watched.delete(entry)
        }
      }
    })

  const soonest = yield* Expiry.make(next, expire)

  // ---- from beginning to end ----------------------------------------------------------------------------------------

  const errorOf = (entry: Entry, cause: Cause.Cause<RequestError>): RequestError =>
    entry.why ?? Option.getOrElse(Cause.failureOption(cause), () =>
      Cause.isInterruptedOnly(cause)
        ? cancelled(entry.about.sandboxId, "The run was stopped.")
        : new SandboxSDKError({ code: "internal", message: "The engine failed at this run; its log says why." }))

  const conclude = <A extends object>(
    entry: Entry,
    log: EventLog<A, RequestError>,
    exit: Exit.Exit<Outcome<A>, RequestError>
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const endedAt = now()
      entry.endedAt = endedAt
      entry.queued = false
      watched.delete(entry)
      if (Exit.isSuccess(exit)) {
        entry.exitCode = exit.value.exitCode
        log.append(exit.value.event(log.next()), EVENT_COST)
        log.end(Exit.void)
      } else {
        entry.error = errorOf(entry, exit.cause)
        log.end(Exit.fail(entry.error))
      }
      store.ended(entry)
      entry.onEnded?.()
      const died = Exit.isFailure(exit) && Option.isSome(Cause.dieOption(exit.cause))
      return Effect.zipRight(
        died ? Effect.logError("An execution died.", exit.cause) : Effect.void,
        soonest(endedAt + options.retentionMs)
      )
    })

  const leave = (entry: Entry, reader: Reader, isStarter: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { log } = entry.events
      const at = now()
      log.close(reader, at)
      if (hasEnded(entry)) {
        // What is held for a name may still be asked for.
        const hadAll = log.ended() && reader.hold === undefined && reader.done === log.next()
        if (hadAll && log.isIdle()) store.read(entry)
        return Effect.void
      }
      if (isStarter && entry.about.detached !== true && entry.graceMs === 0) return stop(entry, unread(entry))
      entry.unreadSince = at
      watched.add(entry)
      return soonest(Math.min(graceEnds(entry), holdEnds(entry)))
    })

  /** Only where nothing can be interrupted. */
  const begin = <A extends object>(
    about: About,
    wrap: (log: EventLog<A, RequestError>) => Events,
    work: Work<A>
  ) =>
    Effect.flatMap(ExecutionHooks, (hooks) =>
      Effect.flatMap(makeId("exe"), (id) => {
        const log = makeEventLog<A, RequestError>(options.logBytes)
        const entry: Entry = {
          id,
          about,
          events: wrap(log),
          graceMs: about.detachGraceMs ?? 0,
          dropped: { stdout: 0, stderr: 0 },
          fiber: undefined,
          contextId: undefined,
          language: about.language,
          queued: true,
          startedAt: now(),
          endedAt: undefined,
          exitCode: undefined,
          error: undefined,
          why: undefined,
          unreadSince: Infinity,
          read: false,
          cost: 0,
          onEnded: hooks.ended
        }
        const journal: Journal<A> = {
          id: entry.id,
          log,
          limit: options.logBytes,
          dropped: entry.dropped,
          detached: about.detached === true,
          begun: (at, context) => {
            entry.queued = false
            entry.startedAt = at
            entry.contextId = context?.contextId
            entry.language = context?.language
          },
          stop: (error) => interrupt(entry, error)
        }
        const reader = log.open(-1, about.hold)
        store.add(entry)
        hooks.created?.(entry.id)
        // What it runs in its turn (the jobs of a batch) is not what was asked for.
        const own = hooks === noHooks ? work(journal) : Effect.provideService(work(journal), ExecutionHooks, noHooks)
        // Not the caller's to interrupt, and not before it can conclude: this cannot be interrupted, and hands that on.
        return Effect.map(
          Effect.forkDaemon(Effect.flatMap(Effect.exit(own), (exit) => conclude(entry, log, exit))),
          (fiber) => {
            entry.fiber = fiber
            // What has ended is kept for a while, and its fiber, with all that this has had, is a third of it.
            fiber.addObserver(() => {
              entry.fiber = undefined
            })
            return { entry, reader, log }
          }
        )
      }))

  const start = <A extends object>(
    about: About,
    wrap: (log: EventLog<A, RequestError>) => Events,
    work: Work<A>
  ): Effect.Effect<Started<A>, never, Scope.Scope> =>
    acquireRelease(begin(about, wrap, work), ({ entry, reader }) => leave(entry, reader, true)).pipe(
      Effect.map(({ entry: { id }, log, reader }) => ({ id, stream: log.stream(reader) }))
    )

  const ofRun = (log: EventLog<ExecutionEvent, RequestError>): Events => ({ _tag: "Run", log })

  const through: Executions["through"] = (about, work, started) => (each, atLeast) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(begin(about, ofRun, work), ({ entry, log, reader }) => {
        const reading = log.read(reader)(each, atLeast)
        return Effect.flatMap(
          Effect.exit(restore(started === undefined ? reading : Effect.zipRight(started(entry.id), reading))),
          (exit) => Effect.zipRight(leave(entry, reader, true), exit)
        )
      })
    )

  // ---- operations ---------------------------------------------------------------------------------------------------

  const find = (userId: string, id: string): Effect.Effect<Entry, SandboxError> =>
    Effect.suspend(() => {
      const entry = store.get(userId, id)
      return entry === undefined ? Effect.fail(notFound(id)) : Effect.succeed(entry)
    })

  const read = <A extends object>(
    operation: string,
    entry: Entry,
    log: EventLog<A, RequestError>,
    { after = -1, hold }: AttachOptions
  ): Effect.Effect<Stream.Stream<A, RequestError>, RequestError, Scope.Scope> =>
    acquireRelease(
      Effect.suspend((): Effect.Effect<Reader, RequestError> => {
        if (after >= log.next()) {
          return Effect.fail(invalidArgument(
            operation,
            "after",
            `after is ${after}, but this execution has no event with that number yet; the last one is ${
              log.next() - 1
            }.`
          ))
        }
        return after + 1 < log.first() ? Effect.fail(lost(after, log)) : Effect.succeed(log.open(after, hold))
      }),
      (reader) => leave(entry, reader, false)
    ).pipe(Effect.map(log.stream))

  const notOf = (operation: string, entry: Entry, other: string) =>
    invalidArgument(
      operation,
      "executionId",
      `the execution "${entry.id}" is ${entry.events._tag === "Batch" ? "a batch" : "no batch"}; use ${other}.`
    )

  yield* addFinalizer(() => Effect.forEach(store.running(), waitFor, { discard: true }))

  return {
    run: (about, work) => start(about, ofRun, work),
    through,
    batch: (about, work) => start(about, (log) => ({ _tag: "Batch", log }), work),
    attach: Effect.fnUntraced(function*(userId, id, attachOptions) {
      const entry = yield* find(userId, id)
      return entry.events._tag === "Run"
        ? yield* read("attach", entry, entry.events.log, attachOptions)
        : yield* notOf("attach", entry, "attachBatch")
    }),
    attachBatch: Effect.fnUntraced(function*(userId, id, attachOptions) {
      const entry = yield* find(userId, id)
      return entry.events._tag === "Batch"
        ? yield* read("attachBatch", entry, entry.events.log, attachOptions)
        : yield* notOf("attachBatch", entry, "attach")
    }),
    list: (userId, sandboxId) =>
      Effect.sync(() => store.of(sandboxId).filter(({ about }) => about.userId === userId).map(describe)),
    get: (userId, id) => Effect.map(find(userId, id), describe),
    cancel: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* stop(entry, cancelled(entry.about.sandboxId, "The run was stopped by cancelExecution."))
      return describe(entry)
    }),
    over: (sandboxId) =>
      Effect.suspend(() =>
        Effect.forEach(
          store.running().filter(({ about, events }) => about.sandboxId === sandboxId && events._tag === "Run"),
          waitFor,
          { discard: true }
        )
      ),
    stopBatches: Effect.sync(() => {
      for (const entry of store.running()) {
        if (entry.events._tag === "Batch") {
          const { sandboxId } = entry.about
          const message = "The batch was stopped because the engine ended."
          interrupt(entry, new SandboxError({ code: "terminated", message, sandboxId }))
        }
      }
    })
  }
})

const waitFor = ({ fiber }: Entry): Effect.Effect<void> =>
  fiber === undefined ? Effect.void : Effect.asVoid(Fiber.await(fiber))
