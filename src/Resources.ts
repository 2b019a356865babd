/**
 * What a sandbox may use.
 */
import * as Schema from "effect/Schema"

const limit = (number: typeof Schema.Number | typeof Schema.Int, min: number, max: number, unit: string) =>
  Schema.optional(number.pipe(Schema.between(min, max, { description: `${unit} from ${min} to ${max}` })))

/** The longest that a timer takes is 24.8 days. */
const millis = Schema.optional(
  Schema.Int.pipe(
    Schema.between(0, 2_147_483_647, {
      description: "a whole number of milliseconds from 1 to 2147483647, or 0 for no limit"
    })
  )
)

/**
 * What a sandbox may use. Each has a default that is safe for code that nobody has read.
 *
 * - `memoryMb`: memory of all its processes together, in MiB.
 * - `cpus`: processor time, in cores; 0.5 is half of one.
 * - `processes`: processes and threads at one time.
 * - `diskMb`: what the files in `/workspace` may take together, in MiB; and a file, directory or link for each 16 KiB of it.
 * - `tmpMb`: size of `/tmp`, in MiB; it counts as memory.
 * - `openFiles`: open files of one process.
 * - `fileSizeMb`: size of one file, in MiB.
 * - `outputMb`: output of one run that is delivered, where the run has no `maxOutputSize`, in MiB; the rest is dropped and
 *   counted in `dropped` of its end.
 * - `runTimeMs`: how long it may be up from each start, in milliseconds; 0 for no limit. Then everything in it is ended
 *   (`quota_exceeded`), and it is stopped and keeps its files.
 * - `idleTimeMs`: how long it may be up without a run, a read or write of its files, or another call that uses it, in
 *   milliseconds; 0 for no limit. Then it is stopped and keeps its files. What goes on in it by itself does not count.
 *
 * A stopped sandbox is started again by the next call that uses it, unless it was made with `autoStart: false`.
 *
 * @category models
 */
export const Resources = Schema.Struct({
  memoryMb: limit(Schema.Int, 64, 1_048_576, "a whole number of MiB"),
  cpus: limit(Schema.Number, 0.05, 1024, "a number of cores"),
  processes: limit(Schema.Int, 8, 1_000_000, "a whole number"),
  diskMb: limit(Schema.Int, 8, 16_777_216, "a whole number of MiB"),
  tmpMb: limit(Schema.Int, 1, 1_048_576, "a whole number of MiB"),
  openFiles: limit(Schema.Int, 64, 1_048_576, "a whole number"),
  fileSizeMb: limit(Schema.Int, 1, 1_048_576, "a whole number of MiB"),
  outputMb: limit(Schema.Int, 1, 1_048_576, "a whole number of MiB"),
  runTimeMs: millis,
  idleTimeMs: millis
})

/**
 * @category models
 */
export type Resources = typeof Resources.Type
