/**
 * Descriptors that this process was started with.
 */
import * as Fs from "node:fs"

/** asm-generic/fcntl.h: O_CLOEXEC, in the octal digits that `/proc` tells (proc(5), `fdinfo`). */
const CLOSED_ON_EXEC = /^flags:\s*\d*[2367]\d{6}$/m

/**
 * Closes every descriptor above the first three that a program started from here would have: those that were inherited.
 * What Node has opened itself is not passed on.
 */
export const closeInherited = (kept: ReadonlyArray<number>): void => {
  for (const name of Fs.readdirSync("/proc/self/fd")) {
    const fd = Number(name)
    if (fd > 2 && !kept.includes(fd) && isPassedOn(fd)) {
      Fs.closeSync(fd)
    }
  }
}

const isPassedOn = (fd: number): boolean => {
  try {
    return !CLOSED_ON_EXEC.test(Fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))
  } catch {
    // The one by which this was read.
    return false
  }
}
