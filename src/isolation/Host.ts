/**
 * Small looks at the host that cannot fail: what is not there, or not readable, is nothing.
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"

/** The text of a file. */
export const readText = (path: string): Effect.Effect<Option.Option<string>> =>
  Effect.option(Effect.tryPromise(() => Fs.readFile(path, "utf8")))

/** The names in a folder, sorted. */
export const readFolder = (path: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.tryPromise(() => Fs.readdir(path)).pipe(
    Effect.map((names) => names.sort()),
    Effect.orElseSucceed(() => Array.empty<string>())
  )

/** What a path is, symbolic links followed. */
export const stat = (path: string): Effect.Effect<Option.Option<Stats>> =>
  Effect.option(Effect.tryPromise(() => Fs.stat(path)))

/** What a path is, a symbolic link at its end not followed. */
export const lstat = (path: string): Effect.Effect<Option.Option<Stats>> =>
  Effect.option(Effect.tryPromise(() => Fs.lstat(path)))

/** Where a symbolic link points. */
export const readLink = (path: string): Effect.Effect<Option.Option<string>> =>
  Effect.option(Effect.tryPromise(() => Fs.readlink(path)))

/** A path without symbolic links in it. */
export const realPath = (path: string): Effect.Effect<Option.Option<string>> =>
  Effect.option(Effect.tryPromise(() => Fs.realpath(path)))

/** Whether something is there. */
export const exists = (path: string): Effect.Effect<boolean> => Effect.map(stat(path), Option.isSome)

/**
 * Changes files, to the end: Node goes on with what was asked of it, so that who is interrupted and removes what was made
 * would be too early, and something would stay behind.
 */
export const untilDone = <A, E>(options: {
  readonly try: () => Promise<A>
  readonly catch: (cause: unknown) => E
}): Effect.Effect<A, E> => Effect.uninterruptible(Effect.tryPromise(options))

/** The effective user of this process: 0 is root. */
export const userId = (): number => process.geteuid?.() ?? -1

/** The effective group of this process. */
export const groupId = (): number => process.getegid?.() ?? -1

/** Whether a call failed because the disk, or the share of it that this user may have, is full. */
export const isNoSpace = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOSPC" || cause.code === "EDQUOT")
