/**
 * Folders deleted with all that is in them.
 */
import * as Fs from "node:fs"
import { codeOf, Errno } from "./errors.js"
import { bytesOf, namesIn, O_PATH, type Raw, within } from "./paths.js"
import type { Steps } from "./steps.js"

const FLAGS = Fs.constants.O_RDONLY | Fs.constants.O_DIRECTORY | Fs.constants.O_NOFOLLOW

interface Level {
  readonly name: Raw
  /** The folder that it is in. */
  readonly above: Identity
  /** What is still to be deleted there. */
  readonly entries: Array<Raw>
}

interface Identity {
  readonly dev: bigint
  readonly ino: bigint
}

const identityOf = (fd: number): Identity => Fs.fstatSync(fd, { bigint: true })

/** Deletes what is no directory; false for a directory. */
const removeEntry = (here: number, name: Raw): boolean => {
  try {
    Fs.unlinkSync(bytesOf(within(here, name)))
  } catch (error) {
    const code = codeOf(error)
    if (code === "EISDIR") {
      return false
    }
    if (code !== "ENOENT") {
      throw error
    }
  }
  return true
}

/** Opens a folder below; one that its owner cannot change is made changeable, as it is to be deleted anyway. */
const below = (here: number, name: Raw): number => {
  const found = Fs.openSync(bytesOf(within(here, name)), O_PATH | FLAGS)
  try {
    try {
      // By the open one: the name may be a link by now.
      Fs.chmodSync(`/proc/self/fd/${found}`, 0o700)
    } catch {
      // Then what follows fails, if it matters.
    }
    return Fs.openSync(`/proc/self/fd/${found}/.`, FLAGS)
  } finally {
    Fs.closeSync(found)
  }
}

/**
 * Deletes a directory, and all in it, from an open one, which is closed at the end. One entry a step, without following
 * links and however deep it is: it stands in one directory at a time, so that the depth costs no descriptors and no stack.
 */
export function* removeTree(top: number, tree: Raw): Steps {
  let here = top
  const enter = (name: Raw): void => {
    const next = below(here, name)
    Fs.closeSync(here)
    here = next
  }
  try {
    const levels: Array<Level> = [{ name: tree, above: identityOf(here), entries: [] }]
    enter(tree)
    let entries = namesIn(within(here, "."))
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = entries.pop()
      if (entry !== undefined) {
        if (removeEntry(here, entry)) {
          yield
        } else {
          levels.push({ name: entry, above: identityOf(here), entries })
          enter(entry)
          entries = namesIn(within(here, "."))
        }
        continue
      }
      levels.pop()
      const up = Fs.openSync(bytesOf(within(here, "..")), O_PATH | FLAGS)
      Fs.closeSync(here)
      here = up
      const { dev, ino } = identityOf(here)
      if (dev !== level.above.dev || ino !== level.above.ino) {
        // Somebody moved it meanwhile.
        throw new Errno("ENOENT")
      }
      try {
        Fs.rmdirSync(bytesOf(within(here, level.name)))
      } catch (error) {
        if (codeOf(error) !== "ENOENT") {
          throw error
        }
      }
      entries = level.entries
      yield
    }
  } finally {
    Fs.closeSync(here)
  }
}
