/**
 * What a sandbox may use where nobody says otherwise.
 */
import * as Effect from "effect/Effect"
import type { SandboxSDKError } from "../Errors.js"
import { invalidArgument } from "../internal/issue.js"
import type { Resources } from "../Resources.js"

/**
 * What one sandbox may use, each limit decided. A time of `Infinity` is no limit; so is an `outputMb` that nobody has
 * set, which then depends on how the run is asked for.
 */
export interface Limits {
  readonly memoryMb: number
  readonly cpus: number
  readonly processes: number
  readonly diskMb: number
  readonly tmpMb: number
  readonly openFiles: number
  readonly fileSizeMb: number
  readonly outputMb: number | undefined
  readonly runTimeMs: number
  readonly idleTimeMs: number
}

/**
 * The defaults: enough for a notebook with pandas, too little to disturb the neighbours.
 */
export const defaults: Limits = {
  memoryMb: 1024,
  cpus: 1,
  processes: 256,
  diskMb: 4096,
  tmpMb: 256,
  openFiles: 1024,
  fileSizeMb: 1024,
  outputMb: undefined,
  runTimeMs: 24 * 60 * 60_000,
  idleTimeMs: 60 * 60_000
}

const orForEver = (ms: number): number => ms === 0 ? Infinity : ms

/**
 * The limits of a sandbox: what it was made with, else what its template says, else the defaults.
 */
export const resolve = (own: Resources = {}, template: Resources = {}): Limits => {
  const pick = <K extends keyof Resources>(key: K) => own[key] ?? template[key]
  const memoryMb = pick("memoryMb") ?? defaults.memoryMb
  return {
    memoryMb,
    tmpMb: pick("tmpMb") ?? Math.min(defaults.tmpMb, Math.floor(memoryMb / 4)),
    cpus: pick("cpus") ?? defaults.cpus,
    processes: pick("processes") ?? defaults.processes,
    diskMb: pick("diskMb") ?? defaults.diskMb,
    openFiles: pick("openFiles") ?? defaults.openFiles,
    fileSizeMb: pick("fileSizeMb") ?? defaults.fileSizeMb,
    outputMb: pick("outputMb") ?? defaults.outputMb,
    runTimeMs: orForEver(pick("runTimeMs") ?? defaults.runTimeMs),
    idleTimeMs: orForEver(pick("idleTimeMs") ?? defaults.idleTimeMs)
  }
}

/**
 * The limits as `Resources` say them: 0 for no limit of time.
 */
export const describe = ({ idleTimeMs, outputMb, runTimeMs, ...limits }: Limits): Resources => ({
  ...limits,
  ...(outputMb === undefined ? {} : { outputMb }),
  runTimeMs: Number.isFinite(runTimeMs) ? runTimeMs : 0,
  idleTimeMs: Number.isFinite(idleTimeMs) ? idleTimeMs : 0
})

/**
 * Fails with `invalid_argument` when `/tmp` could hold more than half of the memory: it is made of memory, and filling
 * it must not be a way to have everything else killed.
 */
export const check = (
  operation: string,
  own: Resources | undefined,
  template?: Resources
): Effect.Effect<void, SandboxSDKError> => {
  const { memoryMb, tmpMb } = resolve(own, template)
  const most = Math.floor(memoryMb / 2)
  return tmpMb > most
    ? Effect.fail(
      invalidArgument(
        operation,
        "resources.tmpMb",
        `resources.tmpMb is ${tmpMb}, but /tmp is made of memory and may have at most half of it (${most} of ` +
          `${memoryMb} MiB). Raise resources.memoryMb or lower resources.tmpMb.`
      )
    )
    : Effect.void
}
