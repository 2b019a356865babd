/**
 * Requests that are made again. A client that has no answer cannot know whether its request was carried out; so it makes
 * it again with the same `Idempotency-Key`, and gets the answer to the first, whether that is still being carried out or
 * has ended, also from the next server over the same data folder. Nothing is carried out twice.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { SandboxError, SandboxSDKError } from "../Errors.js"
import { replays } from "../Metrics.js"
import { type IdempotencyJournal, type JournalRecord, open } from "./IdempotencyJournal.js"
import {
  type Answer,
  type Entry,
  type IdempotencyLimits,
  isOver,
  type Keyed,
  makeStore,
  recordOf,
  type Running,
  type State,
  stateOf
} from "./IdempotencyStore.js"

export type { Answer, IdempotencyLimits, Keyed } from "./IdempotencyStore.js"

/**
 * The key of the request that is being answered, if it has one and can have an effect.
 */
export class CurrentKey extends Context.Reference<CurrentKey>()("sandbox-sdk/server/CurrentKey", {
  defaultValue: (): Keyed | undefined => undefined
}) {}

/**
 * How carrying out a request has ended: with an answer to keep (`Kept`), with one that says that nothing was done
 * (`Released`), or in the middle of it (`Unknown`).
 */
export interface Outcome {
  readonly _tag: "Kept" | "Released" | "Unknown"
  readonly answer: Answer
}

/**
 * The answer to a request, and whether it is the answer to an earlier one.
 */
export interface Answered {
  readonly answer: Answer
  readonly replayed: boolean
}

/**
 * What became of a run whose answer is a stream: another request has made it (`Known`), or this one is to (`Fresh`).
 */
export type RunClaim =
  | { readonly _tag: "Known"; readonly executionId: string }
  | {
    readonly _tag: "Fresh"
    /** The run is there, and this is its id. */
    readonly begun: (executionId: string) => void
    /** It has ended: from now on it is known for a while only. */
    readonly ended: () => void
    /** It was refused, and nothing has been done. Does nothing once it has begun. */
    readonly release: Effect.Effect<void>
  }

/**
 * How a request is carried out once.
 */
export interface OnceOptions {
  /** How long it goes on when nobody waits for its answer, in milliseconds. */
  readonly graceMs: number
  /** Whether carrying it out twice does no harm, so that it need not be noted at any price. */
  readonly repeatable: boolean
  /** Whether it can only be carried out by who came last: the others cannot give it a body any more. */
  readonly newest: boolean
}

/**
 * What is known of requests.
 */
export interface IdempotencyService {
  /**
   * Carries a request out, unless one with its key was or is being: then its answer is waited for. It is carried out in a
   * fiber of its own, and goes on when who waits for it leaves; it is interrupted when nobody has come back for `graceMs`.
   *
   * Fails with `SandboxSDKError` `invalid_argument` when another request had the key, with `SandboxError`
   * `outcome_unknown` when it is not known what became of the first, and with `disk_full` or `start_failed`, before
   * anything is done, when the request cannot be noted; one that is `repeatable` is carried out all the same then.
   */
  readonly once: <R>(
    keyed: Keyed,
    options: OnceOptions,
    carryOut: Effect.Effect<Outcome, never, R>
  ) => Effect.Effect<Answered, SandboxSDKError | SandboxError, R>
  /** Claims a key for a run. Fails as `once` does. */
  readonly run: (keyed: Keyed) => Effect.Effect<RunClaim, SandboxSDKError | SandboxError>
  /** The run that a request of this user with this key has made. */
  readonly executionOf: (user: string, key: string) => string | undefined
}

/**
 * The tag.
 */
export class Idempotency extends Context.Tag("sandbox-sdk/server/Idempotency")<Idempotency, IdempotencyService>() {}

/** The largest answer that is kept. */
const MAX_ANSWER_BYTES = 1024 * 1024

const anotherRequest = new SandboxSDKError({
  code: "invalid_argument",
  field: "idempotency-key",
  message:
    "This Idempotency-Key was used for another request: each request needs a key of its own, and keeps it when it " +
    "is made again."
})

/**
 * What a request is told whose first did not come to its end.
 */
export const outcomeUnknown = new SandboxError({
  code: "outcome_unknown",
  message:
    "This request was begun before and did not come to its end: the server ended, or stopped it because nobody " +
    "waited for it any more. How far it had come nobody knows, so it is not carried out again: look at what is there, and " +
    "make it with another Idempotency-Key if it is still to be done."
})

const gone = (status: number) =>
  new SandboxError({
    code: "outcome_unknown",
    message:
      `This request was carried out before, and answered with status ${status}; the rest of that answer is not kept ` +
      "any more."
  })

/**
 * Makes the service.
 *
 * @param directory where a journal is kept, so that the next server knows the requests of this one.
 */
export const make = (
  limits: IdempotencyLimits,
  directory?: string
): Effect.Effect<IdempotencyService, SandboxSDKError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    const store = makeStore(limits)
    const current = function*(): Iterable<JournalRecord> {
      for (const entry of store.all()) {
        const record = recordOf(entry)
        if (record !== undefined) {
          yield record
        }
      }
    }
    const journal: IdempotencyJournal | undefined = directory === undefined
      ? undefined
      : yield* open(directory, current)
    for (const record of journal?.records ?? []) {
      const { key, user } = record
      const found = store.find(user, key)
      if (record._tag === "Released") {
        if (found !== undefined) {
          store.remove(found)
        }
      } else {
        const { at, fingerprint } = record
        store.put(found ?? { user, key, fingerprint, at, state: { _tag: "Unknown" } }, stateOf(record), at)
      }
    }

    const note = (record: JournalRecord) => journal === undefined ? Effect.void : journal.append(record)

    /** What can be noted no more is not the client's business: the next server says `outcome_unknown`, and that is true. */
    const noteIfPossible = (record: JournalRecord | undefined) =>
      record === undefined ? Effect.void : Effect.catchAll(note(record), ({ message }) => Effect.logWarning(message))

    const begin = (keyed: Keyed, state: State, repeatable: boolean): Effect.Effect<Entry, SandboxError> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const entry: Entry = { ...keyed, at: now, state }
        store.put(entry, state, now)
        return journal === undefined ? Effect.succeed(entry) : Effect.matchEffect(
          journal.append({ _tag: "Begun", ...keyed, at: now }),
          {
            onFailure: (error) => {
              if (repeatable) {
                return Effect.succeed(entry)
              }
              store.remove(entry)
              return Effect.fail(error)
            },
            onSuccess: () => Effect.succeed(entry)
          }
        )
      })

    const release = (entry: Entry) =>
      Effect.zipRight(
        Effect.sync(() => store.remove(entry)),
        noteIfPossible({ _tag: "Released", user: entry.user, key: entry.key })
      )

    const conclude = (entry: Entry, { outcome }: Running, { _tag, answer }: Outcome) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        if (_tag === "Released") {
          yield* release(entry)
        } else if (_tag === "Unknown") {
          store.put(entry, { _tag: "Unknown" }, now)
        } else {
          store.put(
            entry,
            answer.body.length > Math.min(MAX_ANSWER_BYTES, limits.maxBytes)
              ? { _tag: "Gone", status: answer.status }
              : { _tag: "Done", answer },
            now
          )
          yield* noteIfPossible(recordOf(entry))
        }
        yield* Deferred.succeed(outcome, _tag === "Released" ? undefined : answer)
        return answer
      })

    /** Nobody waits any more: unless somebody comes back in time, it is not for anybody. */
    const abandon = (state: Running, graceMs: number) =>
      Effect.sleep(graceMs).pipe(
        Effect.zipRight(
          Effect.suspend(() =>
            state.waiting === 0 && state.fiber !== undefined ? Fiber.interruptFork(state.fiber) : Effect.void
          )
        ),
        Effect.interruptible,
        Effect.forkIn(scope)
      )

    /** Where nothing else can be interrupted. */
    const waitFor = <A>(state: Running, graceMs: number, result: Effect.Effect<A>): Effect.Effect<A> =>
      Effect.suspend(() => {
        state.waiting += 1
        return Effect.matchCauseEffect(Effect.interruptible(result), {
          onFailure: (cause) => {
            state.waiting -= 1
            return Effect.zipRight(state.waiting === 0 ? abandon(state, graceMs) : Effect.void, Effect.failCause(cause))
          },
          onSuccess: (value) => {
            state.waiting -= 1
            return Effect.succeed(value)
          }
        })
      })

    /** What is known of a request; `undefined` when nothing is. */
    const lookUp = (keyed: Keyed) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now): Effect.Effect<Entry | undefined, SandboxSDKError | SandboxError> => {
          const entry = store.find(keyed.user, keyed.key)
          if (entry === undefined || (isOver(entry) && entry.at + limits.maxAgeMs <= now)) {
            return Effect.succeed(undefined)
          }
          if (entry.fingerprint !== keyed.fingerprint) {
            return Effect.fail(anotherRequest)
          }
          switch (entry.state._tag) {
            case "Unknown":
              return Effect.fail(outcomeUnknown)
            case "Gone":
              return Effect.fail(gone(entry.state.status))
            default:
              return Effect.succeed(entry)
          }
        }
      )

    const replayed = (answer: Answer) => Effect.as(Metric.increment(replays), { answer, replayed: true })

    const once: IdempotencyService["once"] = (keyed, options, carryOut) =>
      Effect.gen(function*() {
        const entry = yield* lookUp(keyed)
        if (entry === undefined) {
          const state: Running = {
            _tag: "Running",
            outcome: Deferred.unsafeMake<Answer | undefined>(FiberId.none),
            fiber: undefined,
            waiting: 0
          }
          const fresh = yield* Effect.tapError(
            begin(keyed, state, options.repeatable),
            () => Deferred.succeed(state.outcome, undefined)
          )
          const fiber = yield* carryOut.pipe(
            Effect.flatMap((outcome) => conclude(fresh, state, outcome)),
            Effect.uninterruptible,
            Effect.forkIn(scope)
          )
          state.fiber = fiber
          return { answer: yield* waitFor(state, options.graceMs, Fiber.join(fiber)), replayed: false }
        }
        const { state } = entry
        switch (state._tag) {
          case "Done":
            return yield* replayed(state.answer)
          case "Running": {
            if (options.newest && state.fiber !== undefined) {
              yield* Fiber.interrupt(state.fiber)
            }
            const answer = yield* waitFor(state, options.graceMs, Deferred.await(state.outcome))
            return yield* answer === undefined ? once(keyed, options, carryOut) : replayed(answer)
          }
          default:
            return yield* anotherRequest
        }
      }).pipe(Effect.uninterruptible)

    const run: IdempotencyService["run"] = (keyed) =>
      Effect.gen(function*() {
        const entry = yield* lookUp(keyed)
        if (entry === undefined) {
          const executionId = Deferred.unsafeMake<string | undefined>(FiberId.none)
          const fresh = yield* Effect.tapError(
            begin(keyed, { _tag: "Starting", executionId }, false),
            () => Deferred.succeed(executionId, undefined)
          )
          let isReleased = false
          const claim: RunClaim = {
            _tag: "Fresh",
            begun: (id) => {
              store.put(fresh, { _tag: "Run", executionId: id, hasEnded: false }, fresh.at)
              Deferred.unsafeDone(executionId, Effect.succeed(id))
            },
            ended: () => {
              if (fresh.state._tag === "Run") {
                store.put(fresh, { ...fresh.state, hasEnded: true }, clock.unsafeCurrentTimeMillis())
              }
            },
            release: Effect.suspend(() => {
              if (fresh.state._tag !== "Starting" || isReleased) {
                return Effect.void
              }
              isReleased = true
              return Effect.zipRight(release(fresh), Deferred.succeed(executionId, undefined))
            })
          }
          return claim
        }
        const { state } = entry
        switch (state._tag) {
          case "Run":
            return yield* Effect.as(
              Metric.increment(replays),
              { _tag: "Known", executionId: state.executionId } as const
            )
          case "Starting": {
            const executionId = yield* Effect.interruptible(Deferred.await(state.executionId))
            return yield* executionId === undefined
              ? run(keyed)
              : Effect.as(Metric.increment(replays), { _tag: "Known", executionId } as const)
          }
          default:
            return yield* anotherRequest
        }
      }).pipe(Effect.uninterruptible)

    return {
      once,
      run,
      executionOf: (user, key) => {
        const state = store.find(user, key)?.state
        return state?._tag === "Run" ? state.executionId : undefined
      }
    }
  })

/**
 * The service as a layer.
 */
export const layer = (limits: IdempotencyLimits, directory?: string): Layer.Layer<Idempotency, SandboxSDKError> =>
  Layer.scoped(Idempotency, make(limits, directory))
