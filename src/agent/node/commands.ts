/**
 * Shell commands: each a session of its own.
 */
import type { StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import type { EngineMessage } from "../Protocol.js"
import type { Agent, Job } from "./agent.js"
import { codeOf } from "./errors.js"
import type { Pipe, Source } from "./fifos.js"
import { type Exit, exitOf, findProgram, killAll, killGroup } from "./processes.js"
import { Run, type StartFailure, startFailure, type StreamNumber } from "./runs.js"

/** One argument of a program is at most 128 KiB long (execve(2)); a longer command is given as a file. */
const LONGEST_ARGUMENT = 120 * 1024
const SCRIPT_FD = 9

type CommandMessage = Extract<EngineMessage, { readonly op: "command" }>

/** A file with a content and no name. */
const namelessFile = (folders: ReadonlyArray<string>, content: Uint8Array): number => {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = Fs.constants
  const [folder, ...others] = folders
  const path = `${folder}/command-${process.hrtime.bigint()}`
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

export class Command implements Job {
  readonly #number: number
  readonly #mark: number
  #pid: number | undefined
  #run: Run | undefined
  #interrupted = false

  constructor(private readonly agent: Agent, message: CommandMessage, blob: Buffer) {
    this.#number = message.run
    this.#mark = agent.marks.next()
    const failure = this.#start(message, blob)
    if (failure !== undefined) {
      this.#refuse(failure)
    }
  }

  #refuse(failure: StartFailure): void {
    this.agent.link.send({ ...failure, ev: "refused", run: this.#number })
  }

  /** Starts it; gives the failure when that does not work. */
  #start({ credit, cwd, env: own, merge }: CommandMessage, blob: Buffer): StartFailure | undefined {
    const { agent } = this
    const env = { ...agent.env, ...own }
    const shell = findProgram("bash", env) ?? findProgram("sh", env)
    if (shell === undefined) {
      return { code: "start_failed", message: "There is neither bash nor sh in the PATH of the sandbox." }
    }
    if (blob.includes(0)) {
      return { code: "start_failed", field: "command", message: "The command contains a NUL character." }
    }
    const wrong = agent.checkDirectory(cwd)
    if (wrong !== undefined) {
      return wrong
    }
    const pipes: Array<Pipe> = []
    const given: Array<number> = []
    const close = (): void => pipes.forEach(({ source }) => source.close())
    try {
      const stdout = agent.fifos.pipe()
      pipes.push(stdout)
      const stderr = merge ? stdout : agent.fifos.pipe()
      if (!merge) {
        pipes.push(stderr)
      }
      const stdio: StdioOptions = ["ignore", stdout.writer, stderr.writer]
      const text = blob.toString("utf8")
      let args = [shell, "-c", text]
      // An argument of Node's is text.
      if (blob.length > LONGEST_ARGUMENT || !Buffer.from(text).equals(blob)) {
        const script = namelessFile([agent.privateFolder, "/tmp"], blob)
        given.push(script)
        while (stdio.length < SCRIPT_FD) {
          stdio.push("ignore")
        }
        stdio.push(script)
        args = [shell, `/proc/self/fd/${SCRIPT_FD}`]
      }
      const child = agent.start({ arguments: args, env, cwd, stdio, mark: this.#mark }, (error) => {
        close()
        this.#refuse(startFailure(error, "The command"))
      })
      if (child?.pid === undefined) {
        return undefined
      }
      this.#pid = child.pid
      child.once("exit", (exitCode, signal) => this.#exited(exitOf(exitCode, signal)))
      agent.jobs.set(this.#number, this)
      const sources = new Map<StreamNumber, Source>([[1, stdout.source]])
      if (!merge) {
        sources.set(2, stderr.source)
      }
      this.#run = new Run(agent, this.#number, credit, sources)
      return undefined
    } catch (error) {
      close()
      return startFailure(error, "The command")
    } finally {
      for (const { writer } of pipes) {
        Fs.closeSync(writer)
      }
      given.forEach((fd) => Fs.closeSync(fd))
    }
  }

  interrupt(): void {
    if (this.#pid !== undefined) {
      this.#interrupted = true
      killGroup(this.#pid, "SIGINT")
    }
  }

  kill(): void {
    if (this.#pid !== undefined) {
      killGroup(this.#pid, "SIGKILL")
    }
    killAll((mark) => mark === this.#mark, this.#pid === undefined ? [] : [this.#pid])
    this.#run?.abandon()
  }

  creditWaiting(): void {
    // It does not wait.
  }

  #exited(exit: Exit): void {
    this.#pid = undefined
    const run = this.#run
    if (run === undefined) {
      return
    }
    const duration = run.duration()
    if (this.#interrupted) {
      // What it started in the background ignores SIGINT, but was meant to be stopped with it.
      killAll((mark) => mark === this.#mark)
    }
    run.afterOutput(() => {
      this.agent.jobs.delete(this.#number)
      run.end(
        exit.exitCode === null ? { ev: "died", ...exit } : { ev: "done", duration, exitCode: exit.exitCode }
      )
    })
  }
}
