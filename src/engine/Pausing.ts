/**
 * A sandbox that is up and can be paused: nothing in it runs then, its memory and its streams stay, and no limit of time
 * runs down.
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { SandboxError, SandboxSDKError } from "../Errors.js"
import { makeLock } from "../internal/lock.js"
import type { Freezing } from "../isolation/Freezing.js"

/**
 * Pauses one sandbox.
 */
export interface Pausing {
  /** Succeeds when nothing in it runs any more. Fails with `isolation_unavailable` or `unsupported`, and then it runs on. */
  readonly pause: Effect.Effect<void, SandboxError | SandboxSDKError>
  readonly resume: Effect.Effect<void>
  /** Whether nothing in it runs at the moment. */
  readonly isFrozen: () => boolean
  /**
   * Does something that needs an answer from inside, such as to stop a run: one that is paused goes on for as long as that
   * takes, and is paused again after it.
   */
  readonly awake: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Does something while nothing runs in it, whatever anybody wants of it meanwhile: who would have it go on waits. Fails as
   * `pause` does.
   */
  readonly still: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SandboxError | SandboxSDKError, R>
  /** Changes files of it from outside: waits while nothing runs in it, and is waited for before nothing does. */
  readonly changing: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Tells that there is no sandbox any more. */
  readonly end: () => void
  /** Sleeps for so many milliseconds in which it is not paused; `Infinity` for ever. */
  readonly sleep: (ms: number) => Effect.Effect<void>
}

/** What changes pass: each has a permit, and who freezes shuts it and takes all of them. */
interface Door {
  readonly changes: Effect.Semaphore
  readonly isOpen: Effect.Latch
}

/** More changes at a time than there can be. */
const ALL = 1_000_000

/**
 * Makes it for a sandbox that runs.
 */
export const make = (freezing: Freezing, clock: Clock.Clock): Pausing => {
  // What is below is made when it is needed: most sandboxes are never paused, nor changed from outside.
  const turn = makeLock()
  let door: Door | undefined
  let paused = false
  let frozen = false
  let wakers = 0
  // In milliseconds: since when it is paused, and for how long it was before that.
  let pausedAt = 0
  let pausedMs = 0
  let changed: Deferred.Deferred<void> | undefined

  const setPaused = (value: boolean): void => {
    if (paused !== value) {
      const now = clock.unsafeCurrentTimeMillis()
      if (value) pausedAt = now
      else pausedMs += now - pausedAt
      paused = value
      if (changed !== undefined) Deferred.unsafeDone(changed, Effect.void)
      changed = undefined
    }
  }

  const theDoor = (): Door =>
    door ??= { changes: Effect.unsafeMakeSemaphore(ALL), isOpen: Effect.unsafeMakeLatch(true) }

  const released = Effect.suspend(() => {
    const { changes, isOpen } = theDoor()
    return Effect.zipRight(changes.release(ALL), isOpen.open)
  })

  const freeze = Effect.suspend(() => {
    const { changes, isOpen } = theDoor()
    return Effect.zipRight(isOpen.close, changes.take(ALL)).pipe(
      Effect.zipRight(Effect.onError(freezing.freeze, () => released)),
      Effect.zipRight(Effect.sync(() => {
        frozen = true
      }))
    )
  })

  const thaw = Effect.suspend(() => {
    if (!frozen) return Effect.void
    frozen = false
    return Effect.zipRight(freezing.thaw, released)
  })

  const inTurn = <A, E, R>(evaluate: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    turn(Effect.suspend(evaluate))

  const wake = () =>
    inTurn(() => {
      wakers += 1
      return thaw
    })

  const rest = () =>
    inTurn(() => {
      wakers -= 1
      return paused && wakers === 0
        ? Effect.catchAll(freeze, ({ message }) => Effect.logError("A paused sandbox runs again", message))
        : Effect.void
    })

  /** How much time has passed in which it was not paused, counted from some moment on. */
  const runningTime = (): number => {
    const now = clock.unsafeCurrentTimeMillis()
    return now - pausedMs - (paused ? now - pausedAt : 0)
  }

  // It wakes up too early after a pause, and goes on: that is rare, and each run of code has such a sleep.
  const sleep = (ms: number) =>
    Effect.gen(function*() {
      const end = runningTime() + ms
      for (let left = ms; left > 0; left = end - runningTime()) {
        yield* Effect.sleep(Duration.millis(left))
        while (paused) yield* Deferred.await(changed ??= Deferred.unsafeMake(FiberId.none))
      }
    })

  return {
    pause: Effect.suspend(() =>
      Effect.uninterruptible(inTurn(() => {
        if (paused) return Effect.void
        setPaused(true)
        return wakers > 0
          ? Effect.void
          : Effect.onError(freeze, () => Effect.sync(() => setPaused(false)))
      }))
    ),
    resume: Effect.suspend(() =>
      Effect.uninterruptible(inTurn(() => {
        setPaused(false)
        return thaw
      }))
    ),
    isFrozen: () => frozen,
    still: (effect) =>
      inTurn(() => {
        const wasPaused = paused
        const hold = Effect.suspend(() => {
          setPaused(true)
          return frozen ? Effect.void : freeze
        })
        const letGo = Effect.suspend(() => {
          setPaused(wasPaused && paused)
          return paused && wakers === 0 ? Effect.void : thaw
        })
        return Effect.acquireUseRelease(Effect.onError(hold, () => letGo), () => effect, () => letGo)
      }),
    end: () => {
      frozen = false
      setPaused(false)
    },
    changing: (effect) =>
      Effect.suspend(() => {
        const { changes, isOpen } = theDoor()
        return isOpen.whenOpen(changes.withPermits(1)(effect))
      }),
    awake: (effect) => Effect.acquireUseRelease(wake(), () => effect, rest),
    sleep: (ms) => ms === Infinity ? Effect.never : sleep(ms)
  }
}
