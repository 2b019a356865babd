/**
 * Uploads against the storage that a user is granted: as the bytes come, for not every request says how many there will be,
 * and what is packed becomes more.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { Service as Quotas } from "../Quotas.js"

/**
 * Gives what lets the bytes of one request through: all streams of it together. They fail with `quota_exceeded` at the first
 * byte that is too many. `used` is asked once.
 */
export const metered = Effect.fnUntraced(function*(
  quotas: Quotas,
  user: string,
  used: Effect.Effect<number, RequestError>
) {
  const before = yield* Effect.cached(used)
  let size = 0
  return <E>(content: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E | RequestError> =>
    Stream.mapChunksEffect(content, (pieces) => {
      for (const piece of pieces) size += piece.length
      return Effect.as(quotas.storage(user, before, size), pieces)
    })
})
