/**
 * Operations that run code and commands. All of them read the events as they happen: an answer that is given at the end
 * of a run would be waited for by nobody on the way, and would tell nothing of a run that broke off.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ExecutionRecord, TerminalRecord } from "../../api/Streams.js"
import type { RequestError } from "../../Errors.js"
import type { ExecutionEvent, TerminalEvent } from "../../Execution.js"
import {
  decodeArguments,
  decodeRunCodeOptions,
  decodeRunTerminalOptions,
  normalizeDirectory,
  requireCode,
  requireCommand,
  requireId,
  WORKSPACE
} from "../../internal/arguments.js"
import { collectExecution, collectTerminal } from "../../internal/collect.js"
import type { RunOperations } from "../../internal/groups.js"
import { DEFAULT_CAPTURE_BYTES, refuseTwoTargets, withRequestTimeout } from "../../internal/runs.js"
import { RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import type { Client } from "../Client.js"
import { resumable } from "../Resuming.js"
import * as Segment from "../Segment.js"
import { stoppable } from "../Stopping.js"

const decodeCodeStream = decodeArguments(RunCodeStreamOptions, "runCodeStream")
const decodeTerminalStream = decodeArguments(RunTerminalStreamOptions, "runTerminalStream")

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

  /** Counts a run when it ends. */
  const counted =
    (language: string | undefined) => <A extends ExecutionEvent>(events: Stream.Stream<A, RequestError>) =>
      Stream.suspend(() => {
        let outcome = "success"
        return Stream.tap(events, (event) => {
          if (event._tag === "Error") {
            outcome = "ExecutionError"
          }
          return event._tag === "Ended" ? metrics.execution(event.duration, { language, outcome }) : Effect.void
        })
      })

  const streamCode = (
    operation: string,
    input: string,
    code: string,
    { envs, hold: _, maxOutputSize, requestTimeoutMs, ...options }: RunCodeStreamOptions,
    atMost?: number
  ): Stream.Stream<ExecutionEvent, RequestError> =>
    stoppable<ExecutionEvent>(client, operation, isEnd, options)((key) =>
      Stream.unwrap(Effect.map(Segment.sandbox(input), (id) => {
        const payload = { ...options, ...orElseAtMost(maxOutputSize, atMost), code, envVars: envs }
        return resumable(client, {
          operation,
          key,
          schema: ExecutionRecord,
          isLast: isEnd,
          from: { start: (api) => api.code.execute({ path: { id }, payload }) }
        })
      }))
    ).pipe(counted(options.language), withRequestTimeout(requestTimeoutMs, options.detached))

  const streamCommand = (
    operation: string,
    input: string,
    command: string,
    { envs, hold: _, maxOutputSize, requestTimeoutMs, ...options }: RunTerminalStreamOptions,
    atMost?: number
  ): Stream.Stream<TerminalEvent, RequestError> =>
    stoppable<TerminalEvent>(client, operation, isEnd, options)((key) =>
      Stream.unwrap(Effect.gen(function*() {
        const cwd = yield* normalizeDirectory(operation, options.cwd ?? WORKSPACE)
        const id = yield* Segment.sandbox(input)
        const payload = { ...options, ...orElseAtMost(maxOutputSize, atMost), command, cwd, envVars: envs }
        return resumable(client, {
          operation,
          key,
          schema: TerminalRecord,
          isLast: isEnd,
          from: { start: (api) => api.code.terminal({ path: { id }, payload }) }
        })
      }))
    ).pipe(counted("bash"), withRequestTimeout(requestTimeoutMs, options.detached))

  return {
    runCode: Effect.fn("SandboxSDK.runCode")(function*(id, code, input) {
      const { collect, stream } = yield* decodeRunCodeOptions("runCode", input)
      yield* requireId("runCode", id)
      yield* requireCode("runCode", code)
      yield* refuseTwoTargets("runCode", stream)
      const atMost = collect.captureOutput === false ? undefined : DEFAULT_CAPTURE_BYTES
      return yield* collectExecution(streamCode("runCode", id, code, stream, atMost), { ...collect, url: peer.url })
    }, metrics.track("runCode")),
    runCodeStream: (id, code, input) =>
      Stream.unwrap(Effect.gen(function*() {
        const options = yield* decodeCodeStream(input)
        yield* requireId("runCodeStream", id)
        yield* requireCode("runCodeStream", code)
        yield* refuseTwoTargets("runCodeStream", options)
        return streamCode("runCodeStream", id, code, options)
      })).pipe(metrics.trackStream("runCodeStream"), Stream.withSpan("SandboxSDK.runCodeStream")),
    runTerminal: Effect.fn("SandboxSDK.runTerminal")(function*(id, command, input) {
      const { collect, stream } = yield* decodeRunTerminalOptions("runTerminal", input)
      yield* requireId("runTerminal", id)
      yield* requireCommand("runTerminal", command)
      // One pipe for both streams keeps their order exact; who listens to them one by one needs two.
      const mergeOutput = stream.mergeOutput ?? (collect.onStdout === undefined && collect.onStderr === undefined)
      const events = streamCommand("runTerminal", id, command, { ...stream, mergeOutput }, DEFAULT_CAPTURE_BYTES)
      return yield* collectTerminal(events, { ...collect, url: peer.url })
    }, metrics.track("runTerminal")),
    runTerminalStream: (id, command, input) =>
      Stream.unwrap(Effect.gen(function*() {
        const options = yield* decodeTerminalStream(input)
        yield* requireId("runTerminalStream", id)
        yield* requireCommand("runTerminalStream", command)
        return streamCommand("runTerminalStream", id, command, options)
      })).pipe(metrics.trackStream("runTerminalStream"), Stream.withSpan("SandboxSDK.runTerminalStream"))
  }
}
