/**
 * What is left early is stopped for certain. Closing the connection tells the server to stop, but not when it has: so it is
 * asked, and answers once everything that the request has started is gone.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { Client } from "./Client.js"
import { randomKey } from "./Key.js"

/**
 * Streams made with a key, so that whoever leaves one before its last record has stopped what it runs when that is over.
 *
 * @param isLast whether a record is the last of its stream.
 */
export const stoppable =
  <A>(client: Client, operation: string, isLast: (record: A) => boolean) =>
  (open: (key: string) => Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
    Stream.unwrap(Effect.map(randomKey, (key) => {
      let over = false
      return open(key).pipe(
        Stream.mapChunks((chunk) => {
          over ||= Option.exists(Chunk.last(chunk), isLast)
          return chunk
        }),
        // A failure is the server's word that it is over, or comes from a connection that has gone anyway.
        Stream.ensuringWith((exit) =>
          over || (Exit.isFailure(exit) && !Exit.isInterrupted(exit)) ? Effect.void : client.stop(operation, key)
        )
      )
    }))
