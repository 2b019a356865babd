/**
 * The memory of this process, closed to the sandbox: code of the same user could otherwise read and write it by way of
 * `/proc`, and so speak for the agent.
 */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { constants } from "node:os"
import { sharedObject } from "./elf.js"
import { messageOf } from "./errors.js"

/** What Node says of an object that was loaded and is no module of its own. */
const LOADED = "self-register"

/** Of a process that is closed, these files belong to root (proc(5)), which tells those that are not root themselves. */
const isClosed = (said: string): boolean => {
  const user = process.getuid?.()
  return user === 0 ? said.includes(LOADED) : Fs.statSync("/proc/self/environ").uid !== user
}

/** Loads an object from a file that has its name for a moment only. */
const load = (folder: string, object: Uint8Array): void => {
  const path = `${folder}/.${randomBytes(9).toString("hex")}`
  Fs.writeFileSync(path, object, { mode: 0o500, flag: "wx" })
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW)
  } finally {
    Fs.unlinkSync(path)
  }
}

/**
 * Closes it, by way of the first of these folders that files may be executed in. Nothing else may run in the sandbox yet.
 * Gives why that did not work.
 */
export const closeMemory = (folders: ReadonlyArray<string>): string | undefined => {
  const object = sharedObject(process.arch)
  if (object === undefined) {
    return `there is no system call for ${process.arch} here`
  }
  let reason = ""
  for (const folder of folders) {
    try {
      load(folder, object)
    } catch (error) {
      // Node expects a module of its own, and says that this is none: after it has been loaded.
      reason = messageOf(error)
    }
    if (isClosed(reason)) {
      return undefined
    }
  }
  return reason
}
