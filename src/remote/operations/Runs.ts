/**
 * Operations that run code and commands. All of them read the events as they happen: an answer that is given at the end
 * of a run would be waited for by nobody on the way, and would tell nothing of a run that broke off.
 */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { RequestError } from "../../Errors.js"
import type { ExecutionEvent, TerminalEvent } from "../../Execution.js"
import { normalizeDirectory, WORKSPACE } from "../../internal/arguments.js"
import { clientRuns, counted } from "../../internal/clientRuns.js"
import type { RunOperations } from "../../internal/groups.js"
import { withRequestTimeout } from "../../internal/runs.js"
import type { RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { decodeExecutionRecord, decodeTerminalRecord } from "../Decoders.js"
import { resumable } from "../Resuming.js"
import { execute, terminal } from "../Route.js"
import * as Segment from "../Segment.js"
import { stoppable } from "../Stopping.js"

const isEnd = (event: ExecutionEvent): boolean => event._tag === "Ended"

const orElseAtMost = (bytes: number | undefined, otherwise: number | undefined) => {
  const maxOutputSize = bytes ?? otherwise
  return maxOutputSize === undefined ? {} : { maxOutputSize }
}

/**
 * Makes the operations.
 */
export const runOperations = (client: Client): RunOperations => {
  const { metrics, peer } = client

  const streamCode = (
    operation: string,
    input: string,
    code: string,
    { envs, hold: _, maxOutputSize, requestTimeoutMs, ...options }: RunCodeStreamOptions,
    atMost?: number
  ): Stream.Stream<ExecutionEvent, RequestError> =>
    stoppable<ExecutionEvent>(client, operation, isEnd, options)((key) =>
      resumable(client, {
        operation,
        key,
        decode: decodeExecutionRecord,
        isLast: isEnd,
        from: {
          start: Effect.map(Segment.sandbox(input), (id) =>
            execute(id, { ...options, ...orElseAtMost(maxOutputSize, atMost), code, envVars: envs }))
        }
      })
    ).pipe(counted(metrics, options.language), withRequestTimeout(requestTimeoutMs, options.detached))

  const streamCommand = (
    operation: string,
    input: string,
    command: string,
    { envs, hold: _, maxOutputSize, requestTimeoutMs, ...options }: RunTerminalStreamOptions,
    atMost?: number
  ): Stream.Stream<TerminalEvent, RequestError> =>
    stoppable<TerminalEvent>(client, operation, isEnd, options)((key) =>
      resumable(client, {
        operation,
        key,
        decode: decodeTerminalRecord,
        isLast: isEnd,
        from: {
          start: Effect.gen(function*() {
            const cwd = yield* normalizeDirectory(operation, options.cwd ?? WORKSPACE)
            const id = yield* Segment.sandbox(input)
            return terminal(id, { ...options, ...orElseAtMost(maxOutputSize, atMost), command, cwd, envVars: envs })
          })
        }
      })
    ).pipe(counted(metrics, "bash"), withRequestTimeout(requestTimeoutMs, options.detached))

  return clientRuns({ metrics, url: peer.url, streamCode, streamCommand })
}
