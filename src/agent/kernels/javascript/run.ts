/**
 * One run: its streams and what is open about it.
 */
import type { Critical } from "./critical.js"
import { applyEnvironment } from "./environment.js"
import { makeSinkBuffer, Sink } from "./sink.js"
import { Timers } from "./timers.js"

/**
 * What the agent asks for.
 */
export interface RunRequest {
  readonly run: number
  readonly count: number
  readonly env: Readonly<Record<string, string>>
  readonly stdout: string
  readonly stderr: string
  readonly code: string
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/**
 * Reads a request. Gives `undefined` for anything that is not one.
 */
export const decodeRequest = (header: unknown, blob: Buffer): RunRequest | undefined => {
  if (!isRecord(header) || header["op"] !== "run") {
    return undefined
  }
  const { count, env, run, stderr, stdout } = header
  if (typeof run !== "number" || typeof stdout !== "string" || typeof stderr !== "string") {
    return undefined
  }
  const variables = isRecord(env)
    ? Object.fromEntries(
      Object.entries(env).flatMap(([name, value]) => typeof value === "string" ? [[name, value] as const] : [])
    )
    : {}
  return {
    run,
    count: typeof count === "number" ? count : run,
    env: variables,
    stdout,
    stderr,
    code: blob.toString("utf8")
  }
}

const buffers = { stdout: makeSinkBuffer(), stderr: makeSinkBuffer() }

export class Run {
  readonly stdout: Sink
  readonly stderr: Sink
  readonly timers = new Timers()
  /** Displays that wait for a promise. */
  readonly held: Array<PromiseLike<unknown>> = []
  private readonly restoreEnvironment: () => void

  constructor(readonly request: RunRequest, critical: Critical, onBuffered: () => void) {
    this.stdout = new Sink({ path: request.stdout, buffer: buffers.stdout, critical, onBuffered })
    this.stderr = new Sink({ path: request.stderr, buffer: buffers.stderr, critical, onBuffered })
    this.restoreEnvironment = applyEnvironment(request.env)
  }

  flush(): void {
    this.stdout.flush()
    this.stderr.flush()
  }

  /**
   * Hands over what is buffered as far as it goes at once. Gives false when something is left.
   */
  flushSoon(): boolean {
    const stdout = this.stdout.flushSoon()
    return this.stderr.flushSoon() && stdout
  }

  close(): void {
    this.stdout.close()
    this.stderr.close()
    this.restoreEnvironment()
  }
}
