/**
 * What a sandbox may use where nobody says otherwise.
 */
import * as Effect from "effect/Effect"
import type { SandboxSDKError } from "../Errors.js"
import { invalidArgument } from "../internal/issue.js"
import type { LaunchOptions } from "../isolation/Isolation.js"
import type { Resources } from "../SandboxInfo.js"

/**
 * The defaults: enough for a notebook with pandas, too little to disturb the neighbours.
 */
export const defaults: LaunchOptions["resources"] = {
  memoryMb: 1024,
  cpus: 1,
  processes: 256,
  tmpMb: 256,
  openFiles: 1024,
  fileSizeMb: 1024
}

/**
 * The resources with the defaults for what is not given.
 */
export const withDefaults = (given: Resources = {}): LaunchOptions["resources"] => {
  const memoryMb = given.memoryMb ?? defaults.memoryMb
  return {
    memoryMb,
    tmpMb: given.tmpMb ?? Math.min(defaults.tmpMb, Math.floor(memoryMb / 4)),
    cpus: given.cpus ?? defaults.cpus,
    processes: given.processes ?? defaults.processes,
    openFiles: given.openFiles ?? defaults.openFiles,
    fileSizeMb: given.fileSizeMb ?? defaults.fileSizeMb
  }
}

/**
 * Fails with `invalid_argument` when `/tmp` could hold more than half of the memory: it is made of memory, and filling
 * it must not be a way to have everything else killed.
 */
export const check = (given: Resources | undefined): Effect.Effect<void, SandboxSDKError> => {
  const { memoryMb, tmpMb } = withDefaults(given)
  const most = Math.floor(memoryMb / 2)
  return tmpMb > most
    ? Effect.fail(
      invalidArgument(
        "createSandbox",
        "resources.tmpMb",
        `resources.tmpMb is ${tmpMb}, but /tmp is made of memory and may have at most half of it (${most} of ` +
          `${memoryMb} MiB). Raise resources.memoryMb or lower resources.tmpMb.`
      )
    )
    : Effect.void
}
