/**
 * Snapshots: the files of a sandbox as they were, and what it was made with.
 */
import * as Schema from "effect/Schema"
import { TemplateConfig } from "./Template.js"

/**
 * A snapshot. `createdAt` is in milliseconds since the epoch, `sizeBytes` is what its files take. `metadata` are the labels
 * that the sandbox had.
 *
 * @category models
 */
export const Snapshot = Schema.Struct({
  id: Schema.String,
  name: Schema.optional(Schema.String),
  sandboxId: Schema.String,
  templateId: Schema.String,
  templateConfig: TemplateConfig,
  createdAt: Schema.Finite,
  sizeBytes: Schema.Finite,
  metadata: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

/**
 * @category models
 */
export type Snapshot = typeof Snapshot.Type
