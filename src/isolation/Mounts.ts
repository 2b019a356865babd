/**
 * What is mounted on this host, and the end of it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Path from "node:path"
import * as Host from "./Host.js"
import * as Spawn from "./Spawn.js"

/**
 * A mount as this process sees it. `root` is the folder of the file system that is shown at `path`.
 */
export interface Mount {
  readonly root: string
  readonly path: string
  readonly type: string
  readonly options: ReadonlyArray<string>
}

/** Spaces and the like are octal in mountinfo (proc(5)). */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/**
 * The mounts that a `/proc/<pid>/mountinfo` tells, in the order in which they were made. `options` are those of the file
 * system.
 */
export const parse = (mountinfo: string): ReadonlyArray<Mount> =>
  mountinfo.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ")
    const [, , , root, path] = before?.split(" ") ?? []
    const [type, , options] = after?.split(" ") ?? []
    return root === undefined || path === undefined || type === undefined
      ? []
      : [{ root: unescape(root), path: unescape(path), type, options: options?.split(",") ?? [] }]
  })

const here: Effect.Effect<ReadonlyArray<Mount>> = Effect.map(
  Host.readText("/proc/self/mountinfo"),
  Option.match({ onNone: () => [], onSome: parse })
)

/** The folders of administration, which the search path of an ordinary service does not have. */
const SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

const TIMEOUT = 60_000

/**
 * Runs a tool of the system and gives what it printed. Fails with what it complained of, unless its status is one of those
 * that are fine.
 */
export const tool = Effect.fnUntraced(function*(
  command: string,
  args: ReadonlyArray<string>,
  fine: ReadonlyArray<number> = [0],
  timeoutMs: number = TIMEOUT
) {
  const { exitCode, signal, stderr, stdout } = yield* Effect.mapError(
    Spawn.output({ command, args, env: { PATH: SEARCH_PATH, LC_ALL: "C" }, timeoutMs, trusted: true }),
    ({ message }) => message
  )
  if (exitCode === null || !fine.includes(exitCode)) {
    const how = signal ?? `status ${exitCode ?? "unknown"}`
    return yield* Effect.fail(`${command}: ${stderr.trim().replace(/\s+/g, " ") || `it ended with ${how}`}`)
  }
  return stdout
})

/** How long a tool may take that copies, or goes through, everything in a workspace. */
const SLOW_TIMEOUT = 30 * 60_000

/**
 * The same for a tool that copies, or goes through, everything in a workspace.
 */
export const slowTool = (command: string, args: ReadonlyArray<string>, fine?: ReadonlyArray<number>) =>
  tool(command, args, fine, SLOW_TIMEOUT)

/**
 * Where a tool of the system is.
 */
export const findTool = (name: string): Effect.Effect<Option.Option<string>> =>
  Effect.findFirst(SEARCH_PATH.split(":").map((folder) => `${folder}/${name}`), Host.exists)

/**
 * Unmounts what is mounted at a path. Something may hold it open for a moment (a sandbox that is being started copies all
 * mounts, and then lets go of them): then it is tried again, and at last it is only taken out of sight, and goes when
 * nothing holds it any more. What cannot be unmounted is logged: there is nobody to fail for.
 */
export const unmount = (path: string): Effect.Effect<void> =>
  Effect.asVoid(tool("umount", [path])).pipe(
    Effect.retry({
      schedule: Schedule.intersect(Schedule.exponential(5, 2), Schedule.recurs(7)),
      while: (complaint) => complaint.includes("busy")
    }),
    Effect.catchAll(() => Effect.asVoid(tool("umount", ["--lazy", path]))),
    Effect.either,
    Effect.flatMap((outcome) =>
      Either.isRight(outcome)
        ? Effect.void
        : Effect.logWarning("A file system could not be unmounted").pipe(
          Effect.annotateLogs({ path, cause: outcome.left })
        )
    )
  )

/**
 * Whether some loop device still shows a file, for whatever is mounted of it: here, or in a mount namespace that has copied
 * a mount from here and outlives it.
 */
export const isAttached = (file: string): Effect.Effect<boolean, string> =>
  Effect.map(tool("losetup", ["--associated", file]), (devices) => devices.trim() !== "")

/**
 * Unmounts all that is mounted below a folder, which nobody uses any more.
 */
export const unmountBelow = Effect.fn("Mounts.unmountBelow")(function*(folder: string) {
  const real = yield* Host.realPath(folder)
  if (Option.isNone(real)) return
  const below = (yield* here).filter(({ path }) => path.startsWith(`${real.value}/`))
  yield* Effect.forEach([...below].reverse(), ({ path }) => unmount(path), { discard: true })
})

/**
 * Whether a file system is mounted at a folder: it is on another device than the folder around it.
 */
export const isMountPoint = (path: string): Effect.Effect<boolean> =>
  Effect.zipWith(
    Host.lstat(path),
    Host.lstat(Path.dirname(path)),
    (inner, outer) => Option.isSome(inner) && Option.isSome(outer) && inner.value.dev !== outer.value.dev
  )
