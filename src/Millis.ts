/**
 * Limits of time.
 */
import * as Schema from "effect/Schema"

/**
 * A time limit in milliseconds: a whole number from 1 to 2,147,483,647 (24.8 days), the longest that a timer takes.
 *
 * @category models
 */
export const Millis = Schema.Int.pipe(
  Schema.between(1, 2_147_483_647, { description: "a whole number of milliseconds from 1 to 2147483647" })
)
