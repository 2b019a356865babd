/**
 * Copies of workspaces: by clone of their blocks where the file system can, without what is not there (holes) in any case.
 *
 * Nothing may run in the one that is copied, or all of it must be stopped: what is in it is hostile, and a link that takes
 * the place of a folder meanwhile would lead out.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as Disk from "./Disk.js"
import * as Host from "./Host.js"
import * as Mounts from "./Mounts.js"
import * as Users from "./Users.js"

const failed = (complaint: string): SandboxError =>
  new SandboxError({
    code: /no space left|enospc/i.test(complaint) ? "disk_full" : "snapshot_failed",
    message: `The files of the sandbox could not be copied: ${complaint}`
  })

const tool = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.mapError(Mounts.slowTool(command, args), failed)

/** Links stay links, holes stay holes, names for one file stay that; pipes and sockets are made anew and never opened. */
const copyFolder = (from: string, to: string) => tool("cp", "-aT", "--reflink=auto", "--sparse=auto", "--", from, to)

/**
 * Makes the workspace `to` by `make`, and copies all files of the folder `from` into it. Their owner stays.
 *
 * Fails with `disk_full` and `snapshot_failed`.
 */
export const copyWith = Effect.fnUntraced(function*<E>(make: Effect.Effect<unknown, E>, from: string, to: string) {
  yield* make
  yield* copyFolder(from, to)
  yield* Effect.tryPromise({ try: () => Fs.chmod(to, 0o700), catch: (cause) => failed(String(cause)) })
})

/**
 * Makes the workspace `to`, which is not there yet, with a user of its own and all that is in `from`.
 *
 * Fails with `disk_full`, `snapshot_failed`, and as `makeWorkspace` does.
 */
export const copy = Effect.fn("WorkspaceCopy.copy")(function*(from: string, to: string) {
  const used = yield* Disk.used(from)
  const user = yield* Users.makeWorkspace(to)
  if (Option.isSome(used)) {
    yield* Disk.requireHostRoom(Path.dirname(to), used.value.bytes)
    return yield* Effect.mapError(Disk.clone(from, to), failed)
  }
  yield* copyWith(Effect.void, from, to)
  if (Host.userId() === 0) yield* tool("chown", "-hR", `${user.uid}:${user.gid}`, "--", to)
})
