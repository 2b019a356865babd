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

const limit = (number: typeof Schema.Number | typeof Schema.Int, min: number, max: number, unit: string) =>
  Schema.optional(number.pipe(Schema.between(min, max, { description: `${unit} from ${min} to ${max}` })))

/**
 * What a sandbox may use. Each has a default that is safe for code that nobody has read.
 *
 * - `memoryMb`: memory of all its processes together, in MiB.
 * - `cpus`: processor time, in cores; 0.5 is half of one.
 * - `processes`: processes and threads at one time.
 * - `tmpMb`: size of `/tmp`, in MiB; it counts as memory.
 * - `openFiles`: open files of one process.
 * - `fileSizeMb`: size of one file, in MiB.
 *
 * @category models
 */
export const Resources = Schema.Struct({
  memoryMb: limit(Schema.Int, 64, 1_048_576, "a whole number of MiB"),
  cpus: limit(Schema.Number, 0.05, 1024, "a number of cores"),
  processes: limit(Schema.Int, 8, 1_000_000, "a whole number"),
  tmpMb: limit(Schema.Int, 1, 1_048_576, "a whole number of MiB"),
  openFiles: limit(Schema.Int, 64, 1_048_576, "a whole number"),
  fileSizeMb: limit(Schema.Int, 1, 1_048_576, "a whole number of MiB")
})

/**
 * @category models
 */
export type Resources = typeof Resources.Type

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
