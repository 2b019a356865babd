/**
 * What a sandbox uses at the moment.
 */
import * as Schema from "effect/Schema"

/**
 * What one sandbox uses, measured at `timestamp` (milliseconds since the epoch).
 *
 * - `cpuCount`: processor time that it may have, in cores (`resources.cpus`).
 * - `cpuUsedPercent`: of that, how much it took during the measurement, a fifth of a second. More than 100 only where the
 *   isolation cannot limit it.
 * - `cpuTimeMicros`: processor time that it has taken since it was started, in microseconds. Not told by a server of E2B's
 *   protocol.
 * - `memoryUsedBytes` of `memoryLimitBytes` (`resources.memoryMb`): its processes and what is in `/tmp`. Without control
 *   groups its processes alone, pages that several of them share counted once.
 * - `memoryCacheBytes`: beside that, the parts of files that the kernel keeps in memory for it, and gives up when it needs
 *   the room. 0 without control groups.
 * - `diskUsedBytes` of `diskLimitBytes` (`resources.diskMb`): the files in `/workspace`.
 *
 * One that is not up takes no processor time and no memory.
 *
 * @category models
 */
export const SandboxMetrics = Schema.Struct({
  sandboxId: Schema.String,
  timestamp: Schema.Finite,
  cpuCount: Schema.Finite,
  cpuUsedPercent: Schema.Finite,
  cpuTimeMicros: Schema.optional(Schema.Finite),
  memoryUsedBytes: Schema.Finite,
  memoryCacheBytes: Schema.Finite,
  memoryLimitBytes: Schema.Finite,
  diskUsedBytes: Schema.Finite,
  diskLimitBytes: Schema.Finite
})

/**
 * @category models
 */
export type SandboxMetrics = typeof SandboxMetrics.Type
