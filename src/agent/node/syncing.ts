/**
 * A file system written out. Node has no syncfs(2): the program `sync` (coreutils) does it for a path.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { findProgram } from "./processes.js"

/** Writes out the file system that an open folder is on, as far as that can be had here; then goes on. */
export const syncFileSystem = (folder: number, then: () => void): void => {
  const sync = findProgram("sync", { PATH: process.env["PATH"] ?? "" })
  if (sync === undefined) {
    then()
    return
  }
  const copy = Fs.openSync(`/proc/self/fd/${folder}/.`, Fs.constants.O_RDONLY | Fs.constants.O_DIRECTORY)
  const child = spawn(sync, ["-f", "/proc/self/fd/3"], { stdio: ["ignore", "ignore", "ignore", copy], env: {} })
  Fs.closeSync(copy)
  let over = false
  const finish = (): void => {
    if (!over) {
      over = true
      then()
    }
  }
  child.once("error", finish)
  child.once("exit", finish)
}
