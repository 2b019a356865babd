/**
 * What a user holds at the moment.
 */
import * as Schema from "effect/Schema"

/**
 * `sandboxes` are all that are there, stopped ones included. `storageBytes` is what the files of all of them take on
 * disk, in bytes.
 *
 * @category models
 */
export const UsageData = Schema.Struct({
  sandboxes: Schema.Finite,
  storageBytes: Schema.Finite
})

/**
 * @category models
 */
export type UsageData = typeof UsageData.Type
