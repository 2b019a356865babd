/**
 * Answers requests that run something.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Api, Caller } from "../../Api.js"
import type { BatchExecutionJob } from "../../Batch.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { Ended, ExecutionEvent, ExecutionMetadata, Started } from "../../Execution.js"
import { collectExecution, collectTerminal } from "../../internal/collect.js"
import type { ExecuteBatchOptions, RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { Active } from "../Active.js"
import { about, stop, stoppable, storedBytes, streamAsCaller } from "../Handlers.js"
import * as RunRequests from "../RunRequests.js"
import * as Runs from "../Runs.js"
import * as Streams from "../Streams.js"

type Request = HttpServerRequest.HttpServerRequest

/** The most output, in bytes, that is kept for an answer at the end; a stream has no such limit. */
const MAX_KEPT = 100 * 1024 * 1024

const kept = (maxOutputSize: number | undefined) => Math.min(maxOutputSize ?? MAX_KEPT, MAX_KEPT)

/** Remembers the first and the last event of a run, and logs its beginning. */
const witness = <A extends ExecutionEvent>(stream: Stream.Stream<A, RequestError>) => {
  const seen: Seen = {}
  return {
    seen,
    stream: Stream.mapChunksEffect(stream, (chunk) => {
      let begun: typeof Started.Type | undefined
      for (const event of chunk) {
        if (event._tag === "Started") {
          begun = event
          seen.started = event
        } else if (event._tag === "Ended") {
          seen.ended = event
        }
      }
      return begun === undefined ? Effect.succeed(chunk) : Effect.as(Runs.tellBegun(begun), chunk)
    })
  }
}

const broken = new SandboxError({
  code: "outcome_unknown",
  message: "The run ended without its end event: nobody knows whether it came to its end."
})

interface Seen {
  started?: typeof Started.Type
  ended?: typeof Ended.Type
}

const metadataOf = ({ ended, started }: Seen): Effect.Effect<ExecutionMetadata, SandboxError> => {
  if (started === undefined || ended === undefined) {
    return Effect.fail(broken)
  }
  const { dropped, duration, exitCode, timestamp: endTime } = ended
  const { contextId, executionId, sandboxId, timestamp: startTime } = started
  return Effect.succeed({ executionId, sandboxId, contextId, startTime, endTime, duration, exitCode, dropped })
}

/**
 * The handlers.
 */
export const layer = HttpApiBuilder.group(Api, "code", (handlers) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const quotas = yield* Quotas.Quotas
    const active = yield* Active
    const answer = yield* Runs.make
    const streamed = yield* RunRequests.make

    /** What begins a run: that of a stream counts as an execution itself. */
    const running = (request: Request, isStream: boolean) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        const { userId } = yield* Caller
        if (!isStream) {
          yield* quotas.execution(userId)
        }
        // What runs can write: who holds too much may read and delete, but run nothing.
        yield* quotas.storage(userId, storedBytes(sdk), 0)
        yield* stoppable(active, userId, request)
        return yield* effect
      })

    const execute = Effect.fnUntraced(function*(id: string, code: string, options: RunCodeStreamOptions) {
      const { seen, stream } = witness(
        yield* streamAsCaller(sdk.runCodeStream(id, code, { ...options, maxOutputSize: kept(options.maxOutputSize) }))
      )
      const execution = yield* collectExecution(stream).pipe(
        Effect.map((result) => result.execution),
        // What the code raised is an answer.
        Effect.catchTag("ExecutionError", (error) =>
          error.execution === undefined ? Effect.fail(broken) : Effect.succeed(error.execution))
      )
      const { error, executionCount, logs, results } = execution
      return { logs, results, error, executionCount, metadata: yield* metadataOf(seen) }
    })

    const terminal = Effect.fnUntraced(function*(id: string, command: string, options: RunTerminalStreamOptions) {
      const { seen, stream } = witness(
        yield* streamAsCaller(sdk.runTerminalStream(id, command, {
          // One text can only be in the order in which it was written.
          mergeOutput: true,
          ...options,
          maxOutputSize: kept(options.maxOutputSize)
        }))
      )
      const output = yield* collectTerminal(stream)
      const { exitCode } = yield* metadataOf(seen)
      return exitCode === undefined ? yield* broken : { output, exitCode }
    })

    const batch = Effect.fnUntraced(function*(
      request: Request,
      id: string,
      jobs: ReadonlyArray<BatchExecutionJob>,
      options: ExecuteBatchOptions
    ) {
      const format = Streams.formatOf(request)
      if (format === undefined) {
        return yield* sdk.executeBatch(id, jobs, options)
      }
      return yield* answer({
        request,
        format,
        events: Streams.batchEvents,
        lifetime: options,
        start: (lifetime) =>
          sdk.executeBatchStream(id, jobs, { ...options, ...lifetime }),
        follow: sdk.attachBatch,
        cancel: sdk.cancelExecution
      }, yield* Runs.asking)
    })

    return handlers
      .handle("execute", ({ path: { id }, payload, request }) => {
        const format = Streams.formatOf(request)
        if (format !== undefined) {
          return Effect.flatMap(Runs.asking, (asking) => streamed.code({ request, format, id, payload, asking }))
        }
        const { code, envVars, ...options } = payload
        return Effect.flatMap(RunRequests.environment(request, envVars), (envs) =>
          running(request, false)(execute(id, code, { ...options, envs }))).pipe(about(id))
      })
      .handle("terminal", ({ path: { id }, payload, request }) => {
        const format = Streams.formatOf(request)
        if (format !== undefined) {
          return Effect.flatMap(Runs.asking, (asking) =>
            streamed.command({ request, format, id, payload, asking }))
        }
        const { command, envVars, ...options } = payload
        return Effect.flatMap(RunRequests.environment(request, envVars), (envs) =>
          running(request, false)(terminal(id, command, { ...options, envs }))).pipe(about(id))
      })
      .handle("batch", ({ path, payload, request }) => {
        const { jobs, ...options } = "jobs" in payload ? payload : { jobs: payload }
        const isStream = Streams.formatOf(request) !== undefined
        return running(request, isStream)(batch(request, path.id, jobs, options)).pipe(about(path.id))
      })
      .handle("stop", ({ path: { key } }) =>
        Effect.provideService(stop(sdk, key), Active, active))
  }))
