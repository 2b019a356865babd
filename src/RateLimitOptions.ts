/**
 * What a client may allow itself.
 */
import * as Schema from "effect/Schema"

const count = Schema.Int.pipe(Schema.between(1, 1_000_000, { description: "a whole number from 1 to 1000000" }))

/**
 * What a client allows itself: `maxRequestsPerMinute` requests in any 60 seconds, `maxConcurrent` at a time. What is
 * beyond that waits for its turn (`onLimit: "wait"`, the default), or fails at once (`"fail"`).
 *
 * @category models
 */
export const RateLimitOptions = Schema.Struct({
  maxRequestsPerMinute: Schema.optional(count),
  maxConcurrent: Schema.optional(count),
  onLimit: Schema.optional(Schema.Literal("fail", "wait"))
}).annotations({ description: "an object with maxRequestsPerMinute, maxConcurrent or onLimit" })

/**
 * @category models
 */
export type RateLimitOptions = typeof RateLimitOptions.Type
