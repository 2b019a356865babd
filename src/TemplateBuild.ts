/**
 * Builds of templates: what installs their dependencies, once for all sandboxes.
 */
import * as Schema from "effect/Schema"
import { SandboxErrorCode } from "./Errors.js"

/**
 * `building` until it has ended; sandboxes can be made from a template whose build is `ready`, and from none whose build
 * has `failed`.
 *
 * @category models
 */
export const BuildStatus = Schema.Literal("building", "ready", "failed")

/**
 * @category models
 */
export type BuildStatus = typeof BuildStatus.Type

/**
 * Why a build failed: `code` is that of the `SandboxError` that `createTemplate` fails with, `message` has the end of the
 * log, and `field` is the part of the template's configuration that is at fault, where one is.
 *
 * @category models
 */
export const BuildError = Schema.Struct({
  code: SandboxErrorCode,
  message: Schema.String,
  field: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type BuildError = typeof BuildError.Type

/**
 * A build. Times are milliseconds since the epoch, `sizeBytes` is what the files that it has installed take on disk, and
 * `error` says why it failed. Templates of one user that ask for the same share one build.
 *
 * @category models
 */
export const TemplateBuild = Schema.Struct({
  id: Schema.String,
  status: BuildStatus,
  startedAt: Schema.Finite,
  endedAt: Schema.optional(Schema.Finite),
  sizeBytes: Schema.optional(Schema.Finite),
  error: Schema.optional(BuildError)
})

/**
 * @category models
 */
export type TemplateBuild = typeof TemplateBuild.Type

const numbered = { seq: Schema.Finite, timestamp: Schema.Finite }

/**
 * The first event. `timestamp` is in milliseconds since the epoch in each of them.
 *
 * @category events
 */
export const BuildStarted = Schema.TaggedStruct("BuildStarted", { ...numbered, buildId: Schema.String })

/**
 * A command begins.
 *
 * @category events
 */
export const BuildStep = Schema.TaggedStruct("BuildStep", { ...numbered, command: Schema.String })

/**
 * What the command writes: as much as had arrived, cut between characters but not at lines.
 *
 * @category events
 */
export const BuildOutput = Schema.TaggedStruct("BuildOutput", {
  ...numbered,
  stream: Schema.Literal("stdout", "stderr"),
  text: Schema.String
})

/**
 * The last event. `duration` is in milliseconds, and `error` says why it failed. `dropped` counts the bytes of output that
 * the log had no room for.
 *
 * @category events
 */
export const BuildEnded = Schema.TaggedStruct("BuildEnded", {
  ...numbered,
  status: Schema.Literal("ready", "failed"),
  duration: Schema.Finite,
  sizeBytes: Schema.optional(Schema.Finite),
  error: Schema.optional(BuildError),
  dropped: Schema.optional(Schema.Finite)
})

/**
 * What happens in a build, in order; `seq` counts from 0 without gaps.
 *
 * @category events
 */
export const BuildEvent = Schema.Union(BuildStarted, BuildStep, BuildOutput, BuildEnded)

/**
 * @category events
 */
export type BuildEvent = typeof BuildEvent.Type
