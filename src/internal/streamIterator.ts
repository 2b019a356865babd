/**
 * A stream as an async iterator: pulled, one chunk at a time, as elements are asked for.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { Running } from "./runner.js"

/**
 * The elements of a stream. It can be iterated once; `break` ends what makes them, and so does `await using`.
 */
export interface StreamIterator<A> extends AsyncIterableIterator<A, undefined> {
  readonly next: () => Promise<IteratorResult<A, undefined>>
  /** Ends the iteration and waits until what makes the elements has ended. */
  readonly return: () => Promise<IteratorResult<A, undefined>>
  readonly [Symbol.asyncIterator]: () => StreamIterator<A>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

interface Waiting<A> {
  readonly resolve: (result: IteratorResult<A, undefined>) => void
  readonly reject: (reason: unknown) => void
}

const over = { done: true, value: undefined } as const

/**
 * `start` begins the stream, giving its chunks to the effect that it is passed, one after the other. Elements that wait
 * to be asked for are dropped once `isStopped` says so.
 */
export const makeIterator = <A>(
  start: (deliver: (chunk: Chunk.Chunk<A>) => Effect.Effect<void>) => Running<void>,
  isStopped: () => boolean
): StreamIterator<A> => {
  const demand = Effect.unsafeMakeLatch(false)
  let elements: Iterator<A> | undefined
  let waiting: Waiting<A> | undefined
  let running: Running<void> | undefined
  let failure: { readonly reason: unknown } | undefined
  let isOver = false
  let isClosed = false
  let turn: Promise<unknown> = Promise.resolve()

  // The stream goes on when this effect ends, which is when the next element is asked for and there is none left.
  const deliver = (chunk: Chunk.Chunk<A>) =>
    Effect.suspend(() => {
      elements = chunk[Symbol.iterator]()
      demand.unsafeClose()
      answer()
      return demand.await
    })

  const begin = () => {
    running = start(deliver)
    running.result.then(
      () => end(undefined),
      (reason: unknown) => end(isClosed ? undefined : { reason })
    )
  }

  const end = (how: typeof failure) => {
    failure = how
    isOver = true
    answer()
  }

  const settle = (how: (call: Waiting<A>) => void) => {
    if (waiting !== undefined) {
      const call = waiting
      waiting = undefined
      how(call)
    }
  }

  /** Answers the call that waits, or sees to it that there will be an answer. */
  const answer = () => {
    if (waiting === undefined) {
      return
    }
    const element = isStopped() || isClosed ? undefined : elements?.next()
    if (element !== undefined && element.done !== true) {
      settle(({ resolve }) => resolve({ done: false, value: element.value }))
    } else if (failure !== undefined) {
      const { reason } = failure
      failure = undefined
      settle(({ reject }) => reject(reason))
    } else if (isOver) {
      settle(({ resolve }) => resolve(over))
    } else if (running === undefined) {
      begin()
    } else {
      demand.unsafeOpen()
    }
  }

  const close = async () => {
    isClosed = true
    await running?.stop()
    end(undefined)
    return over
  }

  const iterator: StreamIterator<A> = {
    next: () => {
      const result = turn.then(() =>
        new Promise<IteratorResult<A, undefined>>((resolve, reject) => {
          waiting = { resolve, reject }
          answer()
        })
      )
      turn = result.catch(() => {})
      return result
    },
    return: close,
    [Symbol.asyncIterator]: () => iterator,
    [Symbol.asyncDispose]: async () => {
      await close()
    }
  }
  return iterator
}
