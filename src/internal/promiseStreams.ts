/**
 * What the promise facade does by streams: loaded with the first of them, because Effect's streams are a fifth of all that
 * an import would have to read.
 */
import type * as Chunk from "effect/Chunk"
import type * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

export { bytesOf } from "./byteSource.js"

/** Runs the stream that an effect gives, and passes its chunks on, one after the other. */
export const forEachChunk = <A, E, R>(
  stream: Effect.Effect<Stream.Stream<A, E, R>, E, R>,
  deliver: (chunk: Chunk.Chunk<A>) => Effect.Effect<void>
): Effect.Effect<void, E, R> => Stream.runForEachChunk(Stream.unwrap(stream), deliver)
