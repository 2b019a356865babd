/**
 * What the agent asks the kernel to do.
 */

/**
 * One run of code. `count` is its number among the runs of this interpreter, `stdout` and `stderr` are paths of FIFOs.
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

/**
 * Reads the word of the agent that output before a frame has been taken note of, and gives the ticket of that frame.
 */
export const decodeTicket = (header: unknown): number | undefined =>
  isRecord(header) && header["op"] === "continue" && typeof header["sync"] === "number" ? header["sync"] : undefined

/** Whether a message between the threads is a request. */
export const isRequest = (message: unknown): message is RunRequest =>
  isRecord(message) && typeof message["run"] === "number" && typeof message["code"] === "string"
