/**
 * Waiting for what comes, for a time: who stops waiting leaves it on its way, and finds it when it asks again. One fiber does
 * the work of all that is asked for; a race for each of them would need two more, and the work would be interrupted with it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/**
 * Something that is had again and again, as long as it succeeds.
 */
export interface TimedPull<A, E> {
  /** The next one. */
  readonly next: Effect.Effect<A, E>
  /** The next one; `undefined` when it has not come within so many milliseconds. */
  readonly within: (milliseconds: number) => Effect.Effect<A | undefined, E>
  /** Says that nothing more will be asked for: the fiber ends by itself, which is less work than to be interrupted. */
  readonly finish: () => void
}

/**
 * The longest time that a timer takes, in milliseconds; at a longer one it would go off at once.
 */
export const LONGEST_MS = 2 ** 31 - 1

/**
 * Makes it. Nothing is pulled before it is asked for, and only one is at a time. A failure is the last that comes, however
 * often it is asked for. What is under way is interrupted when the scope closes.
 */
export const makeTimedPull = <A, E, R>(
  pull: Effect.Effect<A, E, R>
): Effect.Effect<TimedPull<A, E>, never, R | Scope.Scope> =>
  Effect.suspend(() => {
    let isAsked = false
    let begin: (() => void) | undefined
    let ready: Exit.Exit<A, E> | undefined
    let wake: (() => void) | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    let isFinished = false

    const asked = Effect.async<void>((resume) => {
      if (isAsked) {
        resume(Effect.void)
      } else {
        begin = () => resume(Effect.void)
      }
    })

    const settle = (exit: Exit.Exit<A, E>): void => {
      isAsked = false
      ready = exit
      clearTimeout(timer)
      wake?.()
    }

    const loop: Effect.Effect<void, never, R> = Effect.flatMap(asked, () =>
      isFinished ? Effect.void : Effect.matchCauseEffect(pull, {
        onFailure: (cause) =>
          Effect.sync(() => {
            isFinished = true
            settle(Exit.failCause(cause))
          }),
        onSuccess: (value) => {
          settle(Exit.succeed(value))
          return loop
        }
      }))

    const ask = (): void => {
      isAsked = true
      const go = begin
      begin = undefined
      go?.()
    }

    const finish = (): void => {
      // What is under way is not finished: that is interrupted.
      if (!isAsked) {
        isFinished = true
        ask()
      }
    }

    /** By who waits itself: one that has been interrupted by then leaves it. */
    const taken: Effect.Effect<A, E> = Effect.suspend(() => {
      const exit = ready
      if (exit === undefined) {
        return Effect.never
      }
      ready = Exit.isFailure(exit) ? exit : undefined
      return exit
    })

    // Nothing is done when the wait is interrupted, for that would be most of its work: who asks next takes its place.
    const wait = <B>(milliseconds: number | undefined, late: Effect.Effect<B>): Effect.Effect<A | B, E> =>
      Effect.async((resume) => {
        clearTimeout(timer)
        if (ready !== undefined) {
          return resume(taken)
        }
        timer = milliseconds === undefined ? undefined : setTimeout(() => {
          wake = undefined
          resume(late)
        }, Math.min(milliseconds, LONGEST_MS))
        wake = () =>
          resume(taken)
        ask()
      })

    return Effect.flatMap(Effect.scope, (scope) =>
      Effect.uninterruptible(Effect.flatMap(Effect.forkDaemon(Effect.interruptible(loop)), (fiber) => {
        const over = Effect.suspend(() => {
          clearTimeout(timer)
          return isFinished ? Effect.void : Fiber.interrupt(fiber)
        })
        return Effect.as(Scope.addFinalizer(scope, over), {
          next: wait<never>(undefined, Effect.never),
          within: (milliseconds: number) =>
            wait(milliseconds, Effect.succeed(undefined)),
          finish
        })
      })))
  })
