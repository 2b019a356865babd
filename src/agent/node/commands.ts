/**
 * Commands and programs: each a session of its own.
 */
import type { StdioOptions } from "node:child_process"
import * as Fs from "node:fs"
import { constants } from "node:os"
import type { EngineMessage } from "../Protocol.js"
import type { Agent, Job } from "./agent.js"
import type { Source } from "./fifos.js"
import { Input } from "./inputs.js"
import { type Exit, exitOf, killAll, killGroup } from "./processes.js"
import { argumentsProgram, isProgram, type Program, SCRIPT_FD, shellProgram } from "./programs.js"
import { Run, type StartFailure, startFailure, type StreamNumber } from "./runs.js"

type CommandMessage = Extract<EngineMessage, { readonly op: "command" }>
type Env = Readonly<Record<string, string>>

/** What leads to a program, and what the program gets. */
interface Streams {
  readonly sources: Map<StreamNumber, Source>
  /** The writing end of its input. */
  input?: number
  /** The program's descriptors from 0, as far as they are open. */
  readonly theirs: Array<number>
}

const isSignal = (name: string): name is NodeJS.Signals => Object.hasOwn(constants.signals, name)

export class Command implements Job {
  readonly #number: number
  readonly #mark: number
  #pid: number | undefined
  #run: Run | undefined
  #input: Input | undefined
  #interrupted = false

  constructor(private readonly agent: Agent, message: CommandMessage, blob: Buffer) {
    this.#number = message.run
    this.#mark = agent.marks.next()
    try {
      const failure = this.#start(message, blob)
      if (failure !== undefined) {
        this.#refuse(failure)
      }
    } catch (error) {
      this.#refuse(startFailure(error, "The command"))
    }
  }

  #refuse(failure: StartFailure): void {
    this.agent.link.send({ ...failure, ev: "refused", run: this.#number })
  }

  /** Starts it; gives the failure when that does not work. */
  #start(message: CommandMessage, blob: Buffer): StartFailure | undefined {
    const { agent } = this
    const { cwd, env: own, process: spoken } = message
    const env = { ...agent.env, ...own }
    if (spoken?.pty !== undefined) {
      return {
        code: "start_failed",
        field: "pty",
        message: "There are no terminals in this sandbox, as it has no Python, which makes them."
      }
    }
    const program = spoken?.args === undefined
      ? shellProgram(agent, blob, env)
      : argumentsProgram(spoken.args, env, agent.real(cwd))
    if (!isProgram(program)) {
      return program
    }
    try {
      return agent.checkDirectory(cwd) ?? this.#launch(message, program, env)
    } finally {
      if (program.script !== undefined) {
        Fs.closeSync(program.script)
      }
    }
  }

  #launch(message: CommandMessage, program: Program, env: Env): undefined {
    const { credit, cwd, merge, process: spoken } = message
    const { agent } = this
    const streams: Streams = { sources: new Map(), theirs: [] }
    const abandon = (): void => {
      streams.sources.forEach((source) => source.close())
      if (streams.input !== undefined) {
        Fs.closeSync(streams.input)
      }
    }
    try {
      const stdio = this.#open(streams, { stdin: spoken?.stdin === true, merge })
      if (program.script !== undefined) {
        while (stdio.length < SCRIPT_FD) {
          stdio.push("ignore")
        }
        stdio.push(program.script)
      }
      const start = { arguments: program.arguments, env, cwd, stdio: [...stdio], mark: this.#mark }
      const child = agent.start(start, (error) => {
        abandon()
        this.#refuse(startFailure(error, "The command"))
      })
      if (child?.pid === undefined) {
        return
      }
      this.#pid = child.pid
      child.once("exit", (exitCode, signal) => this.#exited(exitOf(exitCode, signal)))
      agent.jobs.set(this.#number, this)
      this.#run = new Run(agent, this.#number, credit, streams.sources)
      if (streams.input !== undefined) {
        this.#input = new Input(agent, this.#number, streams.input)
      }
      if (spoken !== undefined) {
        agent.link.send({ ev: "started", run: this.#number, pid: child.pid })
      }
    } catch (error) {
      abandon()
      throw error
    } finally {
      streams.theirs.forEach((fd) => Fs.closeSync(fd))
    }
  }

  /** Makes the pipes, and gives the program's ends of them. */
  #open(
    streams: Streams,
    options: { readonly stdin: boolean; readonly merge: boolean }
  ): Array<Extract<StdioOptions, ReadonlyArray<unknown>>[number]> {
    const { fifos } = this.agent
    const output = (stream: StreamNumber): number => {
      const { source, writer } = fifos.pipe()
      streams.sources.set(stream, source)
      streams.theirs.push(writer)
      return writer
    }
    const stdout = output(1)
    const stderr = options.merge ? stdout : output(2)
    if (!options.stdin) {
      return ["ignore", stdout, stderr]
    }
    const { reader, writer } = fifos.input()
    streams.input = writer
    streams.theirs.push(reader)
    return [reader, stdout, stderr]
  }

  interrupt(): void {
    if (this.#pid !== undefined) {
      this.#interrupted = true
      killGroup(this.#pid, "SIGINT")
    }
  }

  kill(): void {
    this.#killEverything()
    this.#run?.abandon()
  }

  #killEverything(): void {
    if (this.#pid !== undefined) {
      killGroup(this.#pid, "SIGKILL")
    }
    killAll((mark) => mark === this.#mark, this.#pid === undefined ? [] : [this.#pid])
  }

  signal(name: string): void {
    if (name === "SIGKILL") {
      this.#killEverything()
    } else if (this.#pid !== undefined && isSignal(name)) {
      killGroup(this.#pid, name)
    }
  }

  /** Input for it; without data, there is no more. */
  give(data: Buffer | undefined): void {
    if (data === undefined) {
      this.#input?.finish()
    } else {
      this.#input?.put(data)
    }
  }

  creditWaiting(): void {
    // It does not wait.
  }

  #exited(exit: Exit): void {
    this.#pid = undefined
    this.#input?.close()
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
