/**
 * What a build has left, as a layer: a tree of plain files, owned by nobody who runs in a sandbox, that everybody can read
 * and nobody can write to.
 *
 * The tree is whatever a program left that nobody has read. Nothing runs in it any more, so that nothing changes while it
 * is looked at, and no link in it is ever followed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as Disk from "../isolation/Disk.js"
import * as Host from "../isolation/Host.js"
import * as Mounts from "../isolation/Mounts.js"
import { walk } from "./DiskUsage.js"
import { TEMPORARY } from "./Install.js"
import { hostFailure } from "./JsonFile.js"
import { removeTree } from "./RemoveTree.js"

const failed = (complaint: string): SandboxError =>
  new SandboxError({
    code: /no space left|enospc/i.test(complaint) ? "disk_full" : "build_failed",
    message: `What the build has installed could not be kept: ${complaint}`
  })

const tool = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.mapError(Mounts.slowTool(command, args), failed)

/**
 * Makes the folder that the build is to fill, in its open workspace, and owned by the same user.
 */
export const prepare = (source: string): Effect.Effect<void, SandboxError> =>
  Effect.gen(function*() {
    const owner = yield* Host.lstat(Path.dirname(source))
    yield* Host.untilDone({
      try: async () => {
        for (const folder of [source, Path.join(source, TEMPORARY)]) {
          await Fs.mkdir(folder, { mode: 0o755 })
          if (Host.userId() === 0 && Option.isSome(owner)) await Fs.chown(folder, owner.value.uid, owner.value.gid)
        }
      },
      catch: hostFailure("make", source)
    })
  })

/**
 * Keeps what is in `source` as `target`, which is not there yet, and gives how many bytes it takes.
 *
 * Fails with `disk_full` when the host has no room for it, and with `build_failed`.
 */
export const capture = Effect.fn("Layers.capture")(function*(source: string, target: string) {
  const found = yield* Host.lstat(source)
  if (!Option.exists(found, (stats) => stats.isDirectory())) {
    return yield* failed("the build has put something else in the place of its folder.")
  }
  yield* removeTree(Path.join(source, TEMPORARY))
  // An engine of an ordinary user can only read what its owner may.
  yield* tool("chmod", "-R", "u+rwX", "--", source)
  const { bytes } = yield* walk(source)
  yield* Disk.requireHostRoom(Path.dirname(target), bytes)
  // `-a` keeps links as links, and `--sparse` does not write what is not there.
  yield* tool("cp", "-aT", "--reflink=auto", "--sparse=auto", "--", source, target)
  // Pipes and sockets would be a way from one sandbox to another.
  yield* tool("find", target, "!", "-type", "f", "!", "-type", "d", "!", "-type", "l", "-delete")
  if (Host.userId() === 0) yield* tool("chown", "-hR", "0:0", "--", target)
  yield* tool("chmod", "-R", "u=rwX,go=rX,a-st", "--", target)
  return bytes
})
