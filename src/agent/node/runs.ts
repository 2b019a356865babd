/**
 * Runs: the two pipes of each, read under credit, and the order of what is said about it.
 */
import type { AgentMessage } from "../Protocol.js"
import type { Agent } from "./agent.js"
import { codeOf, messageOf } from "./errors.js"
import type { Source } from "./fifos.js"

const CHUNK = 256 * 1024
const TAIL = 8192

export type StreamNumber = 1 | 2

type Saying = Extract<AgentMessage, { readonly ev: "output" | "result" | "error" | "done" | "died" }>
type WithoutRun<T> = T extends unknown ? Omit<T, "run"> : never

/** The last bytes of two pieces. */
export const tailOf = (before: Buffer, data: Buffer, most: number): Buffer =>
  Buffer.from(Buffer.concat([before, data]).subarray(-most))

/** What is held back until the output before it has been sent. */
interface Barrier {
  /** How many bytes of each stream are still to be sent. */
  readonly remaining: Map<StreamNumber, number>
  readonly paid: boolean
  readonly then: () => void
}

/**
 * One execution. `sources` are the read ends of its standard output and standard error; with `merge`, only the first.
 *
 * A barrier holds back everything else that is to be said of the run until the bytes which were in the pipes when it was
 * set have been sent: that keeps results, errors and the end in order with the output.
 */
export class Run {
  #credit: number
  #barrier: Barrier | undefined
  #abandoned = false
  #ended = false
  readonly #sources: Map<StreamNumber, Source>
  readonly #started = process.hrtime.bigint()
  /** The end of standard error, where it is kept: for the reason of a death. */
  tail: Buffer | undefined

  constructor(
    private readonly agent: Agent,
    readonly number: number,
    credit: number,
    sources: ReadonlyMap<StreamNumber, Source>,
    options: { readonly keepTail?: boolean } = {}
  ) {
    this.#credit = credit
    this.#sources = new Map(sources)
    this.tail = options.keepTail === true ? Buffer.alloc(0) : undefined
    agent.runs.set(number, this)
    for (const [stream, source] of this.#sources) {
      source.onReadable = () => this.#read(stream)
      source.onEnd = () => this.#close(stream)
      this.#watch(stream)
    }
  }

  /** Whether something waits for output to be sent. */
  get held(): boolean {
    return this.#barrier !== undefined
  }

  /** Microseconds since it began. */
  duration(): number {
    return Number((process.hrtime.bigint() - this.#started) / 1000n)
  }

  say(message: WithoutRun<Saying>, blob?: Uint8Array): void {
    this.agent.link.send({ ...message, run: this.number }, blob)
  }

  allow(bytes: number): void {
    this.#credit += bytes
    this.pump()
  }

  #watch(stream: StreamNumber): void {
    const wanted = this.#credit > 0 && !this.agent.link.congested &&
      (this.#barrier === undefined || (this.#barrier.remaining.get(stream) ?? 0) > 0)
    this.#sources.get(stream)?.want(wanted)
  }

  /** The pipe is ready: sends what it has. */
  #read(stream: StreamNumber): void {
    if (this.#barrier !== undefined) {
      this.pump()
      return
    }
    while (this.#credit > 0 && !this.agent.link.congested && this.#take(stream, CHUNK)) {
      // As long as there is something, and somebody who wants it.
    }
    for (const each of this.#sources.keys()) {
      this.#watch(each)
    }
  }

  /** Reads and sends at most so many bytes; false when there are none now. */
  #take(stream: StreamNumber, most: number): boolean {
    const data = this.#sources.get(stream)?.take(Math.min(this.#credit, CHUNK, most))
    if (data === undefined || data.length === 0) {
      return false
    }
    this.#credit -= data.length
    const remaining = this.#barrier?.remaining
    remaining?.set(stream, (remaining.get(stream) ?? 0) - data.length)
    if (this.tail !== undefined && stream === 2) {
      this.tail = tailOf(this.tail, data, TAIL)
    }
    this.say({ ev: "output", fd: stream }, data)
    return true
  }

  #close(stream: StreamNumber): void {
    this.#sources.get(stream)?.close()
    this.#sources.delete(stream)
  }

  /** Takes credit for something that is no output: there must be some, though it may be less. False without any. */
  spend(bytes: number): boolean {
    if (this.#credit <= 0) {
      return false
    }
    this.#credit -= bytes
    return true
  }

  /** Calls `then` once all that is in the pipes at this moment has been sent; when `paid`, also not without credit. */
  afterOutput(then: () => void, paid = false): void {
    const remaining = new Map([...this.#sources].map(([stream, source]) => [stream, source.capture()]))
    this.#barrier = { remaining, paid, then }
    this.pump()
  }

  /** Goes on with what a lack of credit, or a long queue, had stopped. */
  pump(): void {
    const barrier = this.#barrier
    if (barrier !== undefined) {
      this.#pass(barrier)
    }
    if (!this.#ended) {
      for (const stream of this.#sources.keys()) {
        this.#watch(stream)
      }
    }
  }

  #pass(barrier: Barrier): void {
    const { paid, remaining, then } = barrier
    for (const stream of [1, 2] as const) {
      while ((remaining.get(stream) ?? 0) > 0) {
        if (this.#abandoned && this.#credit <= 0) {
          remaining.set(stream, 0)
        } else if (this.#credit <= 0 || (this.agent.link.congested && !this.#abandoned)) {
          return
        } else if (!this.#take(stream, remaining.get(stream) ?? 0)) {
          remaining.set(stream, 0)
        }
      }
    }
    if (!paid || this.#credit > 0 || this.#abandoned) {
      this.#barrier = undefined
      then()
    }
  }

  /** The engine gave the run up: what there is no credit for is not waited for. */
  abandon(): void {
    this.#abandoned = true
    this.pump()
  }

  /** Sends the one terminal message; from now on the pipes are only emptied. */
  end(message: WithoutRun<Extract<Saying, { readonly ev: "done" | "died" }>>): void {
    this.#ended = true
    this.agent.runs.delete(this.number)
    this.say(message)
    for (const source of this.#sources.values()) {
      source.drain()
    }
    this.#sources.clear()
  }
}

type Failure = Extract<AgentMessage, { readonly ev: "refused" }>

/** Why something could not be started, in words. */
export interface StartFailure {
  readonly code: Failure["code"]
  readonly message: string
  readonly field?: string
}

const shortage = (error: unknown): StartFailure => {
  switch (codeOf(error)) {
    case "EAGAIN":
      return {
        code: "quota_exceeded",
        message: "the sandbox has as many processes as it may have (resources.processes)"
      }
    case "EMFILE":
      return {
        code: "quota_exceeded",
        message: "the sandbox has as many files and pipes open as it may have (resources.openFiles)"
      }
    case "ENOMEM":
      return { code: "start_failed", message: "there is not enough memory (resources.memoryMb)" }
    case "ENOSPC":
      return { code: "start_failed", message: "the private folder of the agent is full" }
    default:
      return { code: "start_failed", message: messageOf(error) }
  }
}

/** The failure of something that could not be started. */
export const startFailure = (error: unknown, what: string): StartFailure => {
  const { code, message } = shortage(error)
  return { code, message: `${what} could not be started: ${message}.` }
}
