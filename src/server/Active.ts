/**
 * The requests that are being answered, so that a server can end without cutting them off.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { SandboxSDKError } from "../Errors.js"
import { undisturbed } from "../internal/undisturbed.js"

/**
 * The requests of one server.
 */
export interface ActiveService {
  /** Runs the answer to a request, known as active until it ends. Refuses to begin one once the server is ending. */
  readonly during: <A, E, R>(answer: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SandboxSDKError, R>
  /** Says that the request of this fiber has no end of its own, so that nobody waits for it. */
  readonly endless: Effect.Effect<void>
  /** Gives the request of this fiber a name by which it can be stopped. Fails when that has happened already. */
  readonly name: (name: string) => Effect.Effect<void, SandboxSDKError>
  /**
   * Stops the requests with that name, and waits until all of them have ended; `false` when there are none. One that comes
   * later is refused: it has been overtaken on its way.
   */
  readonly stop: (name: string) => Effect.Effect<boolean>
  /** Gives the means to end the request of this fiber, whose client is told why; it has ended when that succeeds. */
  readonly cutOff: Effect.Effect<(why: SandboxSDKError) => Effect.Effect<void>>
  /** Whether the server is ending. */
  readonly isEnding: () => boolean
  /** Tells, at any time, why the request of this fiber was interrupted; `undefined` when its client did that, by leaving. */
  readonly reason: Effect.Effect<() => SandboxSDKError | undefined>
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

/**
 * What a request is told that another one has stopped.
 */
const wasStopped = new SandboxSDKError({
  code: "disconnected",
  message: "This request was stopped by another one."
})

/** How long the name of a request that was stopped before it came is remembered. */
const REMEMBERED_MS = 60_000

/** How many of those are remembered. */
const REMEMBERED = 10_000

/** What is known of a request. */
interface Known {
  endless: boolean
  stopped: boolean
  why?: SandboxSDKError
  name?: string
}

type RequestFiber = Fiber.RuntimeFiber<unknown, unknown>

/** How long an interrupted request may take to say so. */
const FAREWELL_MS = 2_000

/**
 * Makes it.
 */
export const make = Effect.sync((): ActiveService => {
  const fibers = new Map<RequestFiber, Known>()
  const named = new Map<string, Set<RequestFiber>>()
  const refused = new Map<string, number>()
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
      return Effect.asVoid(undisturbed(Effect.timeoutOption(Effect.interruptible(Deferred.await(idle)), ms)))
    })

  const forget = (fiber: RequestFiber): void => {
    const name = fibers.get(fiber)?.name
    fibers.delete(fiber)
    if (name !== undefined) {
      const others = named.get(name)
      others?.delete(fiber)
      if (others?.size === 0) {
        named.delete(name)
      }
    }
    settle()
  }

  /** Those that are refused, oldest first, are as many as may be, and none for longer than need be. */
  const refuse = (name: string, now: number): void => {
    refused.delete(name)
    refused.set(name, now + REMEMBERED_MS)
    for (const [oldest, until] of refused) {
      if (until > now && refused.size <= REMEMBERED) {
        break
      }
      refused.delete(oldest)
    }
  }

  return {
    during: (answer) =>
      Effect.withFiberRuntime((fiber) => {
        if (ending) {
          return Effect.fail(serverEnds)
        }
        fibers.set(fiber, { endless: false, stopped: false })
        // The fiber goes on to send the answer.
        fiber.addObserver(() => forget(fiber))
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
      Effect.withFiberRuntime((fiber) =>
        Effect.clockWith((clock) => {
          if ((refused.get(name) ?? 0) > clock.unsafeCurrentTimeMillis()) {
            return Effect.fail(wasStopped)
          }
          const request = fibers.get(fiber)
          if (request !== undefined) {
            request.name = name
            named.set(name, (named.get(name) ?? new Set()).add(fiber))
          }
          return Effect.void
        })
      ),
    stop: (name) =>
      Effect.gen(function*() {
        const found = [...named.get(name) ?? []]
        if (found.length === 0) {
          refuse(name, yield* Clock.currentTimeMillis)
        }
        for (const fiber of found) {
          const request = fibers.get(fiber)
          if (request !== undefined) {
            request.stopped = true
          }
        }
        yield* Fiber.interruptAll(found)
        return found.length > 0
      }),
    cutOff: Effect.withFiberRuntime((fiber) => {
      const request = fibers.get(fiber)
      return Effect.succeed((why) =>
        Effect.suspend(() => {
          if (request !== undefined) {
            request.why = why
          }
          return Effect.asVoid(Fiber.interrupt(fiber))
        })
      )
    }),
    reason: Effect.withFiberRuntime((fiber) => {
      const request = fibers.get(fiber)
      return Effect.succeed(() =>
        request?.why ?? (request?.stopped === true ? wasStopped : ending ? serverEnds : undefined)
      )
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
