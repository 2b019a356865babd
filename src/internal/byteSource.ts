/**
 * Bytes that a caller without Effect gives piece by piece, as a stream.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { SandboxSDKError } from "../Errors.js"
import { invalidArgument, quote } from "./issue.js"

/**
 * A web stream, such as the body of a response or `blob.stream()` (https://streams.spec.whatwg.org).
 */
export interface ReadableBytes {
  readonly getReader: () => {
    readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
    readonly cancel: (reason?: unknown) => Promise<void>
  }
}

/**
 * Where bytes can come from: a web stream, a Node stream, an async generator, an array of pieces.
 */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ReadableBytes

/** What the source threw, whatever that is. */
export class SourceFailure extends Data.TaggedError("SourceFailure")<{ readonly reason: unknown }> {}

interface Cursor {
  readonly next: () => unknown
  /** Closes it between two pieces. */
  readonly close: () => unknown
  /** Closes it while it makes a piece. */
  readonly abandon: () => unknown
}

const method = (object: unknown, name: PropertyKey): (() => unknown) | undefined => {
  const found = Predicate.hasProperty(object, name) ? object[name] : undefined
  return typeof found === "function" ? (): unknown => Reflect.apply(found, object, []) : undefined
}

/** What opens the source, or `undefined` when it is none. */
const opener = (source: unknown): (() => Cursor) | undefined => {
  if (typeof source === "string" || ArrayBuffer.isView(source)) {
    return undefined
  }
  const nothing = () => undefined
  // First, because Safari's streams have nothing else, and because a reader can be closed while it waits.
  const getReader = method(source, "getReader")
  if (getReader !== undefined) {
    return () => {
      const reader = getReader()
      const cancel = method(reader, "cancel") ?? nothing
      return { next: method(reader, "read") ?? nothing, close: cancel, abandon: cancel }
    }
  }
  const iterate = method(source, Symbol.asyncIterator) ?? method(source, Symbol.iterator)
  return iterate && (() => {
    const iterator = iterate()
    const close = method(iterator, "return") ?? nothing
    // A generator closes only when the piece has come that it waits for, which may be never; a Node stream need not wait.
    return { next: method(iterator, "next") ?? nothing, close, abandon: method(source, "destroy") ?? close }
  })
}

const thrown = (reason: unknown) => new SourceFailure({ reason })

/**
 * The pieces, each asked for when it is wanted. The source is closed when the stream ends before it does, as the end of
 * a `for await` loop does; one that is still making a piece then is told, and not waited for.
 *
 * Fails with {@link SourceFailure} when the source throws, and with `SandboxSDKError` `invalid_argument` when it is none,
 * or gives what is no `Uint8Array`.
 */
export const bytesOf = (
  operation: string,
  source: ByteSource
): Either.Either<Stream.Stream<Uint8Array, SourceFailure | SandboxSDKError>, SandboxSDKError> => {
  const open = opener(source)
  if (open === undefined) {
    const isWhole = typeof source === "string" || ArrayBuffer.isView(source)
    return Either.left(invalidArgument(
      operation,
      "content",
      `content must be a ReadableStream or an iterable of Uint8Arrays, but it is ${
        isWhole ? "a string or a typed array; writeFile takes a content as a whole" : quote(source)
      }.`
    ))
  }
  return Either.right(Stream.unwrapScoped(Effect.gen(function*() {
    const cursor = yield* Effect.try({ try: open, catch: thrown })
    let isPending = false
    let isOver = false
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        if (isOver) {
          return Effect.void
        }
        const closing = Promise.resolve().then(isPending ? cursor.abandon : cursor.close).then(() => {}, () => {})
        return isPending ? Effect.void : Effect.promise(() => closing)
      })
    )
    const ask = Effect.tryPromise({
      try: async () => {
        isPending = true
        try {
          return await cursor.next()
        } catch (reason) {
          isOver = true
          throw reason
        } finally {
          isPending = false
        }
      },
      catch: thrown
    })
    return Stream.repeatEffectOption(
      Effect.flatMap(Effect.mapError(ask, Option.some<SourceFailure | SandboxSDKError>), (result) => {
        if (!Predicate.isObject(result) || !("done" in result) || Boolean(result.done)) {
          isOver = true
          return Effect.fail(Option.none())
        }
        const value = Predicate.hasProperty(result, "value") ? result.value : undefined
        return value instanceof Uint8Array ? Effect.succeed(value) : Effect.fail(Option.some(
          invalidArgument(
            operation,
            "content",
            `content must be made of Uint8Arrays, but one of its pieces is ${quote(value)}.`
          )
        ))
      })
    )
  })))
}
