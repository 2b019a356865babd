/**
 * Signals to this program. By default the first one interrupts the program, which then cleans up, and a second one ends
 * it at once; a command may take them for itself.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { constants } from "node:os"

/**
 * The signals that ask a program to end (signal(7)).
 */
export const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/**
 * One of them.
 */
export type Signal = typeof signals[number]

/**
 * The exit status of a program that a signal ended, as a shell has it.
 */
export const statusOf = (signal: Signal): number => 128 + constants.signals[signal]

/** Tells whether it has seen to the signal. */
type Handler = (signal: Signal) => boolean

const handlers: Array<Handler> = []

/**
 * Offers a signal to the command that runs: to who asked last, first. Tells whether it was taken.
 */
export const offer = (signal: Signal): boolean => [...handlers].reverse().some((handler) => handler(signal))

/**
 * Handles signals until the scope closes.
 */
export const handle = (handler: Handler): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void handlers.push(handler)),
    () => Effect.sync(() => void handlers.splice(handlers.lastIndexOf(handler), 1))
  )

/**
 * An effect that waits for the first signal, which then interrupts nothing; a second one ends the program at once. Until
 * the scope closes.
 */
export const first: Effect.Effect<Effect.Effect<Signal>, never, Scope.Scope> = Effect.gen(function*() {
  const received = yield* Deferred.make<Signal>()
  let isFirst = true
  yield* handle((signal) => {
    if (!isFirst) {
      process.exit(statusOf(signal))
    }
    isFirst = false
    Deferred.unsafeDone(received, Effect.succeed(signal))
    return true
  })
  return Deferred.await(received)
})

/**
 * An effect that waits for the next `SIGHUP`, as it is sent to a program that has no terminal, so that it reads its files
 * again. On a terminal the signal says that this has been closed, and ends the program. Until the scope closes.
 */
export const hangUp: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.gen(function*() {
  const received = yield* Queue.sliding<void>(1)
  if (!process.stdin.isTTY) {
    yield* handle((signal) => signal === "SIGHUP" && Queue.unsafeOffer(received, undefined))
  }
  return Queue.take(received)
})
