/**
 * The folder that becomes `/workspace`, where sandboxes run on this machine as users of their own.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Blank from "./Blank.js"
import * as Disk from "./Disk.js"
import * as Users from "./Users.js"

/**
 * Makes it, with a disk of its own where one is wanted and this host can.
 */
export const make = (disks: Effect.Effect<Disk.Support>) => {
  const blanks = Blank.make()
  return Effect.fn("Isolation.makeWorkspace")(function*(path: string, diskMb?: number, kept: boolean = true) {
    const user = yield* Users.makeWorkspace(path)
    if (diskMb !== undefined && Either.isRight(yield* disks)) {
      yield* Disk.make(path, user, Disk.roomOf(diskMb), { blanks, kept })
    }
  })
}
