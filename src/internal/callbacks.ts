/**
 * Calls the callbacks of a run: in order, one at a time, the next one when the effect of the last one is done.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ExecutionEvent, OutputMessage } from "../Execution.js"
import type { Callback, RunCodeCallbacks } from "../Options.js"
import { makeMessageAssembler } from "./lines.js"

/** How long a rest without a newline waits for one, in milliseconds. */
const MAX_WAIT = 100

/**
 * Calls callbacks for events.
 */
export interface Delivery {
  /** Calls what is to be called for these events. */
  readonly deliver: (events: Iterable<ExecutionEvent>) => Effect.Effect<void>
  /** Hands over what has no newline yet. */
  readonly flush: Effect.Effect<void>
}

/** What is done with something that happens, if anything, as an argument. */
export const callback = <A>() =>
  Schema.optional(
    Schema.declare((u: unknown): u is Callback<A> => typeof u === "function", { description: "a function" })
  )

/** Calls a callback for values, one after the other. */
export const call = <A>(callback: Callback<A> | undefined, values: ReadonlyArray<A>): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const value of values) {
      const effect = callback?.(value)
      if (Effect.isEffect(effect)) {
        yield* effect
      }
    }
  })

/**
 * The lines of one stream on the way to its callback. `inTurn` keeps an effect apart from all other calls; `fork` runs
 * one beside the events.
 */
const makeLane = (
  callback: Callback<OutputMessage> | undefined,
  error: boolean,
  inTurn: (effect: Effect.Effect<void>) => Effect.Effect<void>,
  fork: (effect: Effect.Effect<void>) => Effect.Effect<void>
) => {
  const assembler = makeMessageAssembler(error)
  let due = 0
  let isTimed = false

  const flush = Effect.suspend(() => call(callback, assembler.flush()))

  const flushIfDue = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (now >= due) {
      yield* flush
    }
    isTimed = assembler.isPending()
  })

  const timer = Effect.repeat(
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* Effect.sleep(Math.max(0, due - now))
      yield* inTurn(flushIfDue)
    }),
    { while: () => isTimed }
  )

  const push = (text: string, timestamp: number) =>
    Effect.gen(function*() {
      const wasPending = assembler.isPending()
      const messages = assembler.push(text, timestamp)
      if (assembler.isPending() && (messages.length > 0 || !wasPending)) {
        due = (yield* Clock.currentTimeMillis) + MAX_WAIT
      }
      yield* call(callback, messages)
      if (assembler.isPending() && !isTimed) {
        isTimed = true
        yield* fork(timer)
      }
    })

  return callback === undefined
    ? { push: () => Effect.void, flush: Effect.void }
    : { push, flush }
}

/**
 * Calls `callbacks`. A line is handed over when it is complete, and a rest without a newline when it has waited for
 * 100 ms, when something was displayed or raised after it, or at the end; so the parts of a run come in their order,
 * and each stream's lines joined are its output.
 *
 * `onDeath` is told when a callback dies that was called because time had passed; what dies while events are delivered
 * dies there.
 */
export const makeDelivery = (
  callbacks: RunCodeCallbacks,
  onDeath: (cause: Cause.Cause<never>) => Effect.Effect<unknown>
): Effect.Effect<Delivery, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const turn = yield* Effect.makeSemaphore(1)
    const inTurn = turn.withPermits(1)
    const fork = (effect: Effect.Effect<void>) =>
      effect.pipe(
        Effect.catchAllCause(onDeath),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    const stdout = makeLane(callbacks.onStdout, false, inTurn, fork)
    const stderr = makeLane(callbacks.onStderr, true, inTurn, fork)
    const flush = Effect.zipRight(stdout.flush, stderr.flush)

    const deliverOne = (event: ExecutionEvent): Effect.Effect<void> => {
      switch (event._tag) {
        case "Stdout":
          return stdout.push(event.text, event.timestamp)
        case "Stderr":
          return stderr.push(event.text, event.timestamp)
        case "Result":
          return Effect.zipRight(flush, call(callbacks.onResult, [event.result]))
        case "Error":
          return Effect.zipRight(flush, call(callbacks.onError, [event.error]))
        default:
          return Effect.void
      }
    }

    return {
      deliver: (events) => inTurn(Effect.forEach(events, deliverOne, { discard: true })),
      flush: inTurn(flush)
    }
  })
