/**
 * How much the files of a sandbox take on disk.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Disk from "../isolation/Disk.js"

/** Of each block that `stat` counts (stat(2)). */
const BLOCK_BYTES = 512

const OPEN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/**
 * What all entries below an open directory take. The sandbox may rename and replace what is here at any moment, so each
 * directory is opened first, links refused, and then only looked at through its descriptor: nothing leads out.
 */
const measure = async (path: string, seen: Set<string>): Promise<Disk.Room> => {
  const directory = await Fs.open(path, OPEN_DIRECTORY).catch(() => undefined)
  if (directory === undefined) {
    return { bytes: 0, files: 0 }
  }
  try {
    const here = `/proc/self/fd/${directory.fd}`
    let bytes = 0
    let files = 0
    for (const name of await Fs.readdir(here).catch(() => [])) {
      const entry = `${here}/${name}`
      const stat = await Fs.lstat(entry).catch(() => undefined)
      if (stat === undefined) {
        continue
      }
      const identity = `${stat.dev}:${stat.ino}`
      // A file with several names takes its room once.
      if (stat.nlink === 1 || stat.isDirectory() || !seen.has(identity)) {
        seen.add(identity)
        bytes += stat.blocks * BLOCK_BYTES
        files += 1
      }
      if (stat.isDirectory()) {
        const below = await measure(entry, seen)
        bytes += below.bytes
        files += below.files
      }
    }
    return { bytes, files }
  } finally {
    await directory.close()
  }
}

/**
 * What the files below a directory take. What cannot be looked at counts nothing.
 */
export const walk = (path: string): Effect.Effect<Disk.Room> => Effect.promise(() => measure(path, new Set()))

/**
 * What the files of a workspace take: told by its disk, where it has one, else found out by looking at each of them.
 */
export const diskUsage = (workspace: string): Effect.Effect<Disk.Room> =>
  Effect.flatMap(Disk.used(workspace), Option.match({ onNone: () => walk(workspace), onSome: Effect.succeed }))
