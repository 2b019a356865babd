/**
 * What is left early is stopped for certain. Closing the connection tells the server to stop, but not when it has: so it is
 * asked, and answers once everything that the request has started is gone.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import * as Pulls from "../internal/pulls.js"
import type { Client } from "./Client.js"
import { randomKey } from "./Key.js"

/** The server has not said that it is over: it goes on until nobody has come back for a while. */
const isOurs = (error: RequestError): boolean =>
  error._tag === "ConnectionError" || (error._tag === "SandboxSDKError" && error.code === "decode_error") ||
  (error._tag === "TimeoutError" && error.operation === "request")

/**
 * Streams made with a key, so that whoever leaves one before its last record has stopped what it runs when that is over;
 * unless it may go on (`outlives`).
 *
 * @param isLast whether a record is the last of its stream.
 */
export const stoppable = <A>(
  client: Client,
  operation: string,
  isLast: (record: A) => boolean,
  outlives: { readonly detached?: boolean | undefined; readonly detachGraceMs?: number | undefined } = {}
) =>
(open: (key: string) => Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
  Pulls.unwrap(Effect.map(randomKey, (key) => {
    const stop = client.stop(operation, key)
    let over = outlives.detached === true || (outlives.detachGraceMs ?? 0) > 0
    const watched = Pulls.mapChunksEffect(open(key), (chunk) => {
      over ||= Option.exists(Chunk.last(chunk), isLast)
      return Effect.succeed(chunk)
    })
    return Pulls.ensuring(
      watched,
      Effect.succeed((exit) => {
        if (over) {
          return Effect.void
        }
        if (Exit.isSuccess(exit) || Exit.isInterrupted(exit)) {
          return stop
        }
        // Who gives up is not kept waiting for a server that may not answer.
        return Option.exists(Cause.failureOption(exit.cause), isOurs) ? client.soon(stop) : Effect.void
      })
    )
  }))
