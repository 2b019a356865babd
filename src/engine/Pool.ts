/**
 * Sandboxes that are started ahead, so that whoever asks for one need not wait.
 *
 * One that waits here belongs to nobody: it is in no list, counts for no quota and no metric, and its folder has no record,
 * so that after the death of the engine the next one removes it as it does any that was half made. It is handed out once, to
 * one user, and from there on is a sandbox like others; what was in it before is an interpreter in which nothing has run.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import type { Files } from "../agent/Files.js"
import type { Answered } from "../agent/Ping.js"
import type { SandboxError, SandboxSDKError } from "../Errors.js"
import type { SandboxTemplate } from "../Template.js"
import type { Gauge } from "./DiskWatch.js"
import { makeId } from "./Ids.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import type { Limits } from "./Resources.js"

/**
 * Who is told what happens to a sandbox.
 */
export interface Owner {
  readonly userId: string
  readonly onEnd: (error: SandboxError) => void
  readonly onExcess: (live: LiveSandbox, error: SandboxError, far: boolean) => Effect.Effect<void>
}

/**
 * What is started ahead, and how many of it.
 */
export interface Wanted {
  /** What its template is asked for by: an id or an alias. */
  readonly name: string
  readonly template: SandboxTemplate
  readonly limits: Limits
  readonly size: number
}

/** What is up. */
interface Started {
  readonly live: LiveSandbox
  readonly files: Files
  readonly gauge: Gauge
}

/**
 * The name and the scope of one that is to be started.
 */
export interface Place {
  readonly id: string
  readonly scope: Scope.CloseableScope
  readonly owner: { current: Owner }
}

/**
 * The question whether one answers, and when it was asked, in nanoseconds of a clock that does not jump.
 */
interface Asked {
  readonly at: bigint
  readonly answered: Answered
}

/**
 * One that is up. Who takes it sets its owner, and closes its scope in the end.
 */
export interface Warm extends Place, Started {
  /** Why it has ended, if it has. */
  readonly ended: SandboxError | undefined
  asked: Asked | undefined
}

/**
 * Sandboxes that wait.
 */
export interface Pool {
  /** Has so many of these started in the background, and again whenever one is taken or has ended. */
  readonly keep: (wanted: ReadonlyArray<Wanted>) => Effect.Effect<void>
  /**
   * One that was started like this and has just answered; it is nobody else's. None when there is none. Those that do not
   * answer are removed. Not to be interrupted between this and setting the owner.
   */
  readonly take: (template: SandboxTemplate, limits: Limits) => Effect.Effect<Warm | undefined>
  /** The template that has this name, if one waits that was started from it. */
  readonly named: (name: string) => SandboxTemplate | undefined
  /** Somebody is about to take one: those whose turn is next are asked already whether they answer. */
  readonly expect: Effect.Effect<void>
}

/**
 * How sandboxes are started and removed.
 */
export interface PoolOptions {
  /** All that it starts ends with the scope of the place. */
  readonly start: (wanted: Wanted, place: Place) => Effect.Effect<Started, SandboxError | SandboxSDKError>
  /** Removes the folder, once the scope has closed. */
  readonly remove: (id: string) => Effect.Effect<void>
}

/** How many start at a time: they take processor time from those who already have one. */
const STARTS = 2

/** The time that one has to answer before it is handed out, in milliseconds. */
const ANSWER_MS = 1_000

/** How long ago one may have been asked that has answered: what else an operation does before it takes one is beside that. */
const RECENT_NS = 20_000_000n

/**
 * How long is waited, as long as there are others, before the next is started after one was taken: who has taken it is about
 * to use it, and to start a process holds this one up for milliseconds.
 */
const REFILL = Duration.millis(50)

/** How long is waited after a start that has failed: at first, and at most. */
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

interface Shelf {
  readonly wanted: Wanted
  readonly waiting: Array<Warm>
  /** Has something when one has been taken or has ended since the last look. */
  readonly changed: Queue.Queue<void>
}

/** What cannot be changed any more once it is up. Times and the output of runs are counted by the engine. */
const fixed = (
  { build, config, id }: SandboxTemplate,
  { idleTimeMs: _, outputMb: __, runTimeMs: ___, ...limits }: Limits
): string => JSON.stringify([id, build?.id, config, limits])

/**
 * Makes a pool of nothing. When the scope closes, what waits is removed.
 */
export const make = Effect.fn("Pool.make")(function*(
  { remove, start }: PoolOptions
): Effect.fn.Return<Pool, never, Scope.Scope> {
  const engine = yield* Effect.scope
  const clock = yield* Effect.clock
  const shelves = new Map<string, Shelf>()
  const starts = yield* Effect.makeSemaphore(STARTS)

  const discard = ({ id, scope }: Place): Effect.Effect<void> =>
    Effect.uninterruptible(Effect.zipRight(Scope.close(scope, Exit.void), remove(id)))

  yield* Effect.addFinalizer(() => {
    const waiting = [...shelves.values()].flatMap((shelf) => shelf.waiting.splice(0))
    shelves.clear()
    return Effect.forEach(waiting, discard, { concurrency: 16, discard: true })
  })

  /** Starts one and puts it on the shelf. */
  const add = (shelf: Shelf) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        let ended: SandboxError | undefined
        const owner: Owner = {
          userId: "",
          onEnd: (error) => {
            ended = error
            Queue.unsafeOffer(shelf.changed, undefined)
          },
          onExcess: () => Effect.void
        }
        const place: Place = { id: yield* makeId("sbx"), scope: yield* Scope.make(), owner: { current: owner } }
        const started = yield* restore(Effect.tap(start(shelf.wanted, place), ({ live }) =>
          // What has no interpreter for its language still runs commands, and says so to who runs code.
          Effect.ignore(live.contexts.prepare(shelf.wanted.template.config.language)))).pipe(
            Effect.onError(() => discard(place))
          )
        shelf.waiting.push({
          ...place,
          ...started,
          asked: undefined,
          get ended() {
            return ended
          }
        })
      })
    )

  const clear = (shelf: Shelf): Effect.Effect<void> =>
    Effect.suspend(() => {
      const [dead, alive] = [
        shelf.waiting.filter(({ ended }) => ended !== undefined),
        shelf.waiting.filter(({ ended }) => ended === undefined)
      ]
      shelf.waiting.splice(0, Infinity, ...alive)
      return Effect.forEach(dead, discard, { discard: true })
    }).pipe(Effect.uninterruptible)

  const fill = Effect.fnUntraced(function*(shelf: Shelf) {
    let pause = FIRST_PAUSE_MS
    while (true) {
      yield* clear(shelf)
      if (shelf.waiting.length >= shelf.wanted.size) {
        yield* Queue.take(shelf.changed)
        if (shelf.waiting.length > 0) yield* Effect.sleep(REFILL)
        continue
      }
      pause = yield* starts.withPermits(1)(add(shelf)).pipe(
        Effect.as(FIRST_PAUSE_MS),
        Effect.catchAll((error) =>
          Effect.logWarning("A sandbox for the pool could not be started").pipe(
            Effect.annotateLogs({ templateId: shelf.wanted.template.id, error: error.message }),
            Effect.zipRight(Effect.sleep(pause)),
            Effect.as(Math.min(pause * 2, LONGEST_PAUSE_MS))
          )
        )
      )
    }
  })

  /** Asks, unless that has just been done. */
  const ask = (warm: Warm): Effect.Effect<Answered> =>
    Effect.suspend(() => {
      const at = clock.unsafeCurrentTimeNanos()
      const { asked } = warm
      return asked !== undefined && at - asked.at <= RECENT_NS
        ? Effect.succeed(asked.answered)
        : Effect.tap(warm.live.contexts.ping, (answered) => {
          warm.asked = { at, answered }
        })
    })

  const answers = (warm: Warm): Effect.Effect<boolean> =>
    warm.ended === undefined
      ? Effect.flatMap(ask(warm), (answered) => Effect.interruptible(answered(ANSWER_MS)))
      : Effect.succeed(false)

  const takeFrom = (shelf: Shelf): Effect.Effect<Warm | undefined> =>
    Effect.suspend(() => {
      const warm = shelf.waiting.shift()
      if (warm === undefined) return Effect.succeed(undefined)
      Queue.unsafeOffer(shelf.changed, undefined)
      const thrownAway = Effect.forkIn(discard(warm), engine)
      return answers(warm).pipe(
        Effect.onInterrupt(() => thrownAway),
        Effect.flatMap((well): Effect.Effect<Warm | undefined> =>
          well ? Effect.succeed(warm) : Effect.zipRight(thrownAway, takeFrom(shelf))
        )
      )
    })

  return {
    keep: (wanted) =>
      Effect.forEach(wanted, (one) =>
        Effect.gen(function*() {
          const shelf: Shelf = { wanted: one, waiting: [], changed: yield* Queue.sliding<void>(1) }
          shelves.set(fixed(one.template, one.limits), shelf)
          yield* Effect.forkIn(fill(shelf), engine)
        }), { discard: true }),
    take: (template, limits) =>
      Effect.suspend(() => {
        if (shelves.size === 0) return Effect.succeed(undefined)
        const shelf = shelves.get(fixed(template, limits))
        return shelf === undefined ? Effect.succeed(undefined) : takeFrom(shelf)
      }),
    named: (name) => {
      for (const { waiting, wanted } of shelves.values()) {
        if (wanted.name === name && waiting.length > 0) return wanted.template
      }
      return undefined
    },
    expect: Effect.suspend(() => {
      const next = [...shelves.values()].flatMap(({ waiting }) => waiting.slice(0, 1))
      return Effect.forEach(next, ask, { discard: true })
    })
  }
})
