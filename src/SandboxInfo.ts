/**
 * A sandbox as the service describes it.
 */
import * as Schema from "effect/Schema"
import { TemplateConfig } from "./Template.js"

/**
 * `creating` until it can run code, then `ready`, and `running` while code runs in it; `paused` while all of it stands
 * still, with its memory kept; `stopped` when its files are kept and nothing runs; `error` when it ended by itself; `terminated` when it was deleted.
 *
 * @category models
 */
export const SandboxStatus = Schema.Literal("creating", "ready", "running", "paused", "stopped", "error", "terminated")

/**
 * @category models
 */
export type SandboxStatus = typeof SandboxStatus.Type

/**
 * How the `startCommand` of a template is doing: `ended` with status 0, or `failed`, with another `exitCode` or an `error`.
 * `output` is the end of what it has written, 4096 characters at most.
 *
 * @category models
 */
export const StartCommandInfo = Schema.Struct({
  status: Schema.Literal("running", "ended", "failed"),
  output: Schema.String,
  exitCode: Schema.optional(Schema.Finite),
  error: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type StartCommandInfo = typeof StartCommandInfo.Type

/**
 * A sandbox. Times are milliseconds since the epoch. `startCommand` is there while it is up, when its template has one.
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
  metadata: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  startCommand: Schema.optional(StartCommandInfo)
})

/**
 * @category models
 */
export type SandboxInfo = typeof SandboxInfo.Type
