/**
 * A sandbox as the service describes it.
 */
import * as Schema from "effect/Schema"
import { TemplateConfig } from "./Template.js"

/**
 * `creating` until it can run code, then `ready`, and `running` while code runs in it; `stopped` when its files are
 * kept and nothing runs; `error` when it ended by itself; `terminated` when it was deleted.
 *
 * @category models
 */
export const SandboxStatus = Schema.Literal("creating", "ready", "running", "stopped", "error", "terminated")

/**
 * @category models
 */
export type SandboxStatus = typeof SandboxStatus.Type

/**
 * A sandbox. Times are milliseconds since the epoch.
 *
 * @category models
 */
export const SandboxInfo = Schema.Struct({
  id: Schema.String,
  userId: Schema.String,
  name: Schema.optional(Schema.String),
  templateId: Schema.String,
  templateConfig: TemplateConfig,
  status: SandboxStatus,
  containerId: Schema.optional(Schema.String),
  port: Schema.optional(Schema.Finite),
  exposedUrl: Schema.optional(Schema.String),
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite,
  expiresAt: Schema.optional(Schema.Finite),
  metadata: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

/**
 * @category models
 */
export type SandboxInfo = typeof SandboxInfo.Type
