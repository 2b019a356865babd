/**
 * Streams that can also be read without being interpreted as streams: by an effect that gives their next chunk. Each layer of a
 * `Stream` costs some fifty steps at its beginning and at its end, which for a run of a millisecond is most of the work.
 *
 * What is made here is a `Stream` like all others. Who knows of this module reads it by {@link toPull}, and so does each
 * function here that puts something around one; any other combinator makes a plain stream of it.
 */
import * as Cause from "effect/Cause"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * Gives the next chunk; fails with nothing (`Option.none`) at the end. For one fiber at a time.
 */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

/**
 * How reading begins, in a scope that lasts until it is over. It is given, for to provide it costs twenty steps each time.
 */
type Open<A, E> = (scope: Scope.Scope) => Effect.Effect<Pull<A, E>>

const OPEN = Symbol("sandbox-sdk/internal/pulls")

interface Pulled<A, E> {
  readonly [OPEN]: Open<A, E>
}

const isPulled = <A, E, R>(stream: Stream.Stream<A, E, R>): stream is Stream.Stream<A, E, R> & Pulled<A, E> =>
  OPEN in stream

const pulled = <A, E, R>(stream: Stream.Stream<A, E, R>, open: Open<A, E>): Stream.Stream<A, E, R> =>
  Object.assign(stream, { [OPEN]: open })

/**
 * Begins to read a stream. What it holds is let go when it has come to its end, or when the scope closes.
 */
export const toPull = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<Pull<A, E>, never, Scope.Scope> =>
  isPulled(stream) ? Effect.flatMap(Effect.scope, stream[OPEN]) : Stream.toPull(stream)

/**
 * The same, in this scope.
 */
export const toPullIn = <A, E>(stream: Stream.Stream<A, E>, scope: Scope.Scope): Effect.Effect<Pull<A, E>> =>
  isPulled(stream) ? stream[OPEN](scope) : Scope.extend(Stream.toPull(stream), scope)

/**
 * Reads a stream to its end.
 */
export const runForEachChunk = <A, E>(
  stream: Stream.Stream<A, E>,
  each: (chunk: Chunk.Chunk<A>) => Effect.Effect<void>
): Effect.Effect<void, E> =>
  isPulled(stream)
    ? Effect.scopedWith((scope) =>
      Effect.flatMap(stream[OPEN](scope), (pull) => {
        const rest: Effect.Effect<void, E> = Effect.matchCauseEffect(pull, {
          onFailure: (cause) => exitOf(cause),
          onSuccess: (chunk) => Effect.zipRight(each(chunk), rest)
        })
        return rest
      })
    )
    : Stream.runForEachChunk(stream, each)

/**
 * A stream of what an effect gives, again and again.
 */
export const repeat = <A, E>(pull: Pull<A, E>): Stream.Stream<A, E> =>
  pulled(Stream.repeatEffectChunkOption(pull), () => Effect.succeed(pull))

/** How a stream has ended, by what its last pull failed with. */
const exitOf = <E>(cause: Cause.Cause<Option.Option<E>>): Exit.Exit<void, E> =>
  Option.match(Cause.flipCauseOption(cause), { onNone: () => Exit.void, onSome: Exit.failCause })

/** Reads in a scope of its own, which closes at the end. */
const within =
  <A, E>(open: (scope: Scope.Scope) => Effect.Effect<Pull<A, E>, Option.Option<E>>): Open<A, E> => (outer) =>
    Effect.map(Scope.fork(outer, ExecutionStrategy.sequential), (scope) => {
      let next: Pull<A, E> = Effect.flatMap(open(scope), (pull) => {
        next = pull
        return pull
      })
      return Effect.catchAllCause(Effect.suspend(() => next), (cause) => {
        next = Effect.failCause(cause)
        return Effect.zipRight(Scope.close(scope, exitOf(cause)), next)
      })
    })

/**
 * A stream that is opened with the first chunk that is asked for, in a scope of its own: it closes when the stream ends, or
 * when who reads it leaves.
 */
export const make = <A, E>(open: Effect.Effect<Pull<A, E>, E, Scope.Scope>): Stream.Stream<A, E> =>
  makeIn((scope) => Scope.extend(open, scope))

/**
 * The same for what takes that scope from who opens it.
 */
export const makeIn = <A, E>(open: (scope: Scope.Scope) => Effect.Effect<Pull<A, E>, E>): Stream.Stream<A, E> => {
  const opening = within((scope) => Effect.mapError(open(scope), Option.some))
  return pulled(Stream.fromPull(Effect.flatMap(Effect.scope, opening)), opening)
}

/**
 * The stream that an effect gives, which begins when it is read.
 */
export const unwrap = <A, E>(effect: Effect.Effect<Stream.Stream<A, E>>): Stream.Stream<A, E> =>
  pulled(Stream.unwrap(effect), (scope) => Effect.flatMap(effect, (stream) => toPullIn(stream, scope)))

/**
 * A stream that holds something, from when it is first read to its end.
 */
export const holding = <A, E, R, E2>(
  stream: Stream.Stream<A, E, R>,
  acquire: Effect.Effect<unknown, E2, Scope.Scope>
): Stream.Stream<A, E | E2, R> =>
  isPulled(stream)
    ? makeIn<A, E | E2>((scope) => Effect.zipRight(Scope.extend(acquire, scope), stream[OPEN](scope)))
    : Stream.flatMap(Stream.scoped(acquire), () => stream)

/**
 * Passes each chunk through an effect.
 */
export const mapChunksEffect = <A, E, R, B>(
  stream: Stream.Stream<A, E, R>,
  f: (chunk: Chunk.Chunk<A>) => Effect.Effect<Chunk.Chunk<B>>
): Stream.Stream<B, E, R> =>
  isPulled(stream)
    ? pulled(Stream.mapChunksEffect(stream, f), (scope) => Effect.map(stream[OPEN](scope), Effect.flatMap(f)))
    : Stream.mapChunksEffect(stream, f)

/** Does something once at the end. What the stream holds is let go by then: it has been opened later than this begins. */
const thenOnce = <A, E>(
  open: Open<A, E>,
  finalizer: (exit: Exit.Exit<unknown, E>) => Effect.Effect<unknown>
): Open<A, E> =>
(scope) =>
  Effect.suspend(() => {
    let isOver = false
    const over = (exit: Exit.Exit<unknown, E>) =>
      Effect.suspend(() => {
        if (isOver) {
          return Effect.void
        }
        isOver = true
        return Effect.uninterruptible(finalizer(exit))
      })
    return Effect.zipRight(
      Scope.addFinalizerExit(
        scope,
        (exit) => over(Exit.isInterrupted(exit) ? Exit.interrupt(FiberId.none) : Exit.void)
      ),
      Effect.map(
        open(scope),
        Effect.catchAllCause((cause) => Effect.zipRight(over(exitOf(cause)), Effect.failCause(cause)))
      )
    )
  })

/**
 * Does something once when a stream has ended, one way or the other, and has let go what it held: what `begin` gives, which
 * is asked when it is first read. It is not interrupted.
 */
export const ensuring = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  begin: Effect.Effect<(exit: Exit.Exit<unknown, E>) => Effect.Effect<unknown>>
): Stream.Stream<A, E, R> => {
  const plain = Stream.unwrap(Effect.map(begin, (finalizer) => Stream.ensuringWith(stream, finalizer)))
  return isPulled(stream)
    ? pulled(plain, (scope) => Effect.flatMap(begin, (finalizer) => thenOnce(stream[OPEN], finalizer)(scope)))
    : plain
}
