/**
 * The operations that run code and commands, for layers over a protocol: each is its stream of events, and what is made of it.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { Ended, ExecutionEvent, TerminalEvent } from "../Execution.js"
import type * as Metrics from "../Metrics.js"
import { RunCodeStreamOptions, RunTerminalStreamOptions } from "../Options.js"
import {
  decodeArguments,
  decodeRunCodeOptions,
  decodeRunTerminalOptions,
  requireCode,
  requireCommand,
  requireId
} from "./arguments.js"
import { collectExecution, collectTerminal } from "./collect.js"
import type { RunOperations } from "./groups.js"
import * as Pulls from "./pulls.js"
import { DEFAULT_CAPTURE_BYTES, refuseTwoTargets } from "./runs.js"

const decodeCodeStream = decodeArguments(RunCodeStreamOptions, "runCodeStream")
const decodeTerminalStream = decodeArguments(RunTerminalStreamOptions, "runTerminalStream")

/**
 * What a layer has to know.
 */
export interface ClientRuns {
  readonly metrics: Metrics.Service
  /** The server that the events come from. */
  readonly url: string
  /** The events of a run of code. `atMost` is how much output there is, in bytes, where the options do not say. */
  readonly streamCode: (
    operation: string,
    id: string,
    code: string,
    options: RunCodeStreamOptions,
    atMost?: number
  ) => Stream.Stream<ExecutionEvent, RequestError>
  /** Those of a command. */
  readonly streamCommand: (
    operation: string,
    id: string,
    command: string,
    options: RunTerminalStreamOptions,
    atMost?: number
  ) => Stream.Stream<TerminalEvent, RequestError>
}

/**
 * Counts a run when it ends.
 */
export const counted =
  (metrics: Metrics.Service, language: string | undefined) =>
  <A extends ExecutionEvent>(events: Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
    Pulls.unwrap(Effect.sync(() => {
      let outcome = "success"
      return Pulls.mapChunksEffect(events, (chunk) => {
        let ended: typeof Ended.Type | undefined
        for (const event of chunk) {
          if (event._tag === "Error") {
            outcome = "ExecutionError"
          } else if (event._tag === "Ended") {
            ended = event
          }
        }
        return ended === undefined
          ? Effect.succeed(chunk)
          : Effect.as(metrics.execution(ended.duration, { language, outcome }), chunk)
      })
    }))

/**
 * Makes the operations.
 */
export const clientRuns = ({ metrics, streamCode, streamCommand, url }: ClientRuns): RunOperations => ({
  runCode: Effect.fn("SandboxSDK.runCode")(function*(id, code, input) {
    const { collect, stream } = yield* decodeRunCodeOptions("runCode", input)
    yield* requireId("runCode", id)
    yield* requireCode("runCode", code)
    yield* refuseTwoTargets("runCode", stream)
    const atMost = collect.captureOutput === false ? undefined : DEFAULT_CAPTURE_BYTES
    return yield* collectExecution(streamCode("runCode", id, code, stream, atMost), { ...collect, url })
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
    return yield* collectTerminal(events, { ...collect, url })
  }, metrics.track("runTerminal")),
  runTerminalStream: (id, command, input) =>
    Stream.unwrap(Effect.gen(function*() {
      const options = yield* decodeTerminalStream(input)
      yield* requireId("runTerminalStream", id)
      yield* requireCommand("runTerminalStream", command)
      return streamCommand("runTerminalStream", id, command, options)
    })).pipe(metrics.trackStream("runTerminalStream"), Stream.withSpan("SandboxSDK.runTerminalStream"))
})
