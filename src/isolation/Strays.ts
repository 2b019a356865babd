/**
 * Processes that have outlived the engine that started them.
 *
 * A sandbox ends with its engine, but for one moment: when bubblewrap is killed after it has made the first process of the
 * sandbox and before it lets that go on, the process waits for ever (bubblewrap's bubblewrap.c, `child_wait_fd`). It is in
 * no control group yet, and has a copy of every mount.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Host from "./Host.js"
import * as Users from "./Users.js"

/**
 * Ends what runs as the users of these workspaces, which nothing is to use any more. Does nothing where they have no users
 * of their own.
 */
export const end = Effect.fn("Strays.end")(function*(workspaces: ReadonlyArray<string>) {
  if (Host.userId() !== 0) return
  const owners = yield* Effect.forEach(workspaces, (path) => Effect.option(Users.ofWorkspace(path)))
  const users = new Set(owners.flatMap((owner) => Option.isSome(owner) ? [owner.value.uid] : []))
  if (users.size === 0) return
  for (const pid of (yield* Host.readFolder("/proc")).filter((name) => /^\d+$/.test(name))) {
    const stats = yield* Host.stat(`/proc/${pid}`)
    if (Option.exists(stats, ({ uid }) => users.has(uid))) {
      yield* Effect.ignore(Effect.try(() => process.kill(Number(pid), "SIGKILL")))
      yield* Effect.logDebug("Ended a process that an engine that is gone had left").pipe(Effect.annotateLogs({ pid }))
    }
  }
})
