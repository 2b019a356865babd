/**
 * The requests that are being answered, so that a server can end without cutting them off.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SandboxSDKError } from "../Errors.js"

/**
 * The requests of one server.
 */
export interface ActiveService {
  /** Runs the answer to a request, known as active until it ends. Refuses to begin one once the server is ending. */
  readonly during: <A, E, R>(answer: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SandboxSDKError, R>
  /** Says that the request of this fiber has no end of its own, so that nobody waits for it. */
  readonly endless: Effect.Effect<void>
  /** Gives the request of this fiber a name by which it can be stopped. */
  readonly name: (name: string) => Effect.Effect<void>
  /** Stops the request with that name and waits until all of it has ended; `false` when there is none. */
  readonly stop: (name: string) => Effect.Effect<boolean>
  /** Whether the server is ending: what is interrupted now was interrupted by that. */
  readonly isEnding: () => boolean
  /** Begins no more; waits for those that are active, but not longer than this; then interrupts those that are left. */
  readonly end: (graceMs: number) => Effect.Effect<void>
}

/**
 * The tag.
 */
export class Active extends Context.Tag("sandbox-sdk/server/Active")<Active, ActiveService>() {}

/**
 * What a request is told that the end of the server cuts off.
 */
export const serverEnds = new SandboxSDKError({
  code: "disconnected",
  message: "The server is being shut down."
})

/** How long an interrupted request may take to say so. */
const FAREWELL_MS = 2_000

/**
 * Makes it.
 */
export const make = Effect.sync((): ActiveService => {
  const fibers = new Map<Fiber.RuntimeFiber<unknown, unknown>, { endless: boolean; name?: string }>()
  let ending = false
  let idle: Deferred.Deferred<void> | undefined

  const left = (counted: (request: { readonly endless: boolean }) => boolean) => [...fibers.values()].some(counted)

  let counts: (request: { readonly endless: boolean }) => boolean = () => true

  const settle = () => {
    if (idle !== undefined && !left(counts)) {
      Deferred.unsafeDone(idle, Effect.void)
    }
  }

  const wait = (what: typeof counts, ms: number) =>
    Effect.suspend(() => {
      counts = what
      idle = Deferred.unsafeMake(FiberId.none)
      settle()
      // The end of a server cannot be interrupted, but this wait must be.
      return Effect.asVoid(Effect.timeoutOption(Effect.interruptible(Deferred.await(idle)), ms))
    })

  return {
    during: (answer) =>
      Effect.withFiberRuntime((fiber) => {
        if (ending) {
          return Effect.fail(serverEnds)
        }
        fibers.set(fiber, { endless: false })
        // The fiber goes on to send the answer.
        fiber.addObserver(() => {
          fibers.delete(fiber)
          settle()
        })
        return answer
      }),
    endless: Effect.withFiberRuntime((fiber) => {
      const request = fibers.get(fiber)
      if (request !== undefined) {
        request.endless = true
        settle()
      }
      return Effect.void
    }),
    name: (name) =>
      Effect.withFiberRuntime((fiber) => {
        const request = fibers.get(fiber)
        if (request !== undefined) {
          request.name = name
        }
        return Effect.void
      }),
    stop: (name) =>
      Effect.suspend(() => {
        const found = [...fibers].find(([, request]) => request.name === name)
        return found === undefined ? Effect.succeed(false) : Effect.as(Fiber.interrupt(found[0]), true)
      }),
    isEnding: () => ending,
    end: (graceMs) =>
      Effect.gen(function*() {
        ending = true
        yield* wait((request) => !request.endless, graceMs)
        for (const fiber of fibers.keys()) {
          fiber.unsafeInterruptAsFork(FiberId.none)
        }
        yield* wait(() => true, FAREWELL_MS)
      })
  }
})
