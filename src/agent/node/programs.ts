/**
 * What a command is as a program: a shell with a command, or a program with arguments.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Agent } from "./agent.js"
import { codeOf } from "./errors.js"
import { findProgram } from "./processes.js"
import type { StartFailure } from "./runs.js"

/** One argument of a program is at most 128 KiB long (execve(2)); a longer command is given as a file. */
const LONGEST_ARGUMENT = 120 * 1024

/** The descriptor of that. */
export const SCRIPT_FD = 9

type Env = Readonly<Record<string, string>>

/**
 * What to start.
 */
export interface Program {
  readonly arguments: ReadonlyArray<string>
  /** An open file for {@link SCRIPT_FD}. */
  readonly script?: number
}

/** Whether there is something to start. */
export const isProgram = (program: Program | StartFailure): program is Program => "arguments" in program

/** A file with a content and no name. */
const namelessFile = (folders: ReadonlyArray<string>, content: Uint8Array): number => {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = Fs.constants
  const [folder, ...others] = folders
  const path = `${folder}/.command-${process.hrtime.bigint()}`
  let fd = -1
  try {
    fd = Fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    Fs.unlinkSync(path)
    Fs.writeFileSync(fd, content)
    return fd
  } catch (error) {
    if (fd >= 0) {
      Fs.closeSync(fd)
    }
    if (codeOf(error) === "ENOSPC" && others.length > 0) {
      return namelessFile(others, content)
    }
    throw error
  }
}

/** A shell that runs a command. Throws when there is no room for the command. */
export const shellProgram = (agent: Agent, command: Buffer, env: Env): Program | StartFailure => {
  const shell = findProgram("bash", env) ?? findProgram("sh", env)
  if (shell === undefined) {
    return { code: "start_failed", message: "There is neither bash nor sh in the PATH of the sandbox." }
  }
  if (command.includes(0)) {
    return { code: "start_failed", field: "command", message: "The command contains a NUL character." }
  }
  const text = command.toString("utf8")
  // An argument of Node's is text.
  return command.length <= LONGEST_ARGUMENT && Buffer.from(text).equals(command)
    ? { arguments: [shell, "-c", text] }
    : {
      arguments: [shell, `/proc/self/fd/${SCRIPT_FD}`],
      script: namelessFile([agent.privateFolder, "/tmp"], command)
    }
}

const failure = (code: StartFailure["code"], message: string): StartFailure => ({ code, field: "args", message })

/** What the kernel takes for a program by itself (execve(2)): the shell that starts it would make do with others. */
const isExecutable = (path: string): boolean => {
  const fd = Fs.openSync(path, Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)
  try {
    const head = Buffer.alloc(4)
    Fs.readSync(fd, head, 0, head.length, 0)
    return head.toString("latin1", 0, 2) === "#!" || head.toString("latin1") === "\x7fELF"
  } finally {
    Fs.closeSync(fd)
  }
}

/** A program with its arguments; the first one names it. */
export const argumentsProgram = (args: ReadonlyArray<string>, env: Env, cwd: string): Program | StartFailure => {
  const [name = "", ...rest] = args
  const path = name.includes("/") ? Path.resolve(cwd, name) : findProgram(name, env)
  if (path === undefined) {
    return failure("file_not_found", `There is no program ${name} in the PATH of the sandbox.`)
  }
  try {
    if (!Fs.statSync(path).isFile()) {
      return failure("permission_denied", `${name} is no program that this user may execute.`)
    }
    Fs.accessSync(path, Fs.constants.X_OK)
  } catch (error) {
    return codeOf(error) === "ENOENT"
      ? failure("file_not_found", `There is no program ${name}.`)
      : failure("permission_denied", `${name} is no program that this user may execute.`)
  }
  if (isReadable(path) && !isExecutable(path)) {
    return failure("start_failed", `${name} could not be started: it is neither a program nor begins with #!.`)
  }
  return { arguments: [name.startsWith("-") ? path : name, ...rest] }
}

const isReadable = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.R_OK)
    return true
  } catch {
    return false
  }
}
