/**
 * Answers requests that run something.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Api, Caller } from "../../Api.js"
import type { BatchExecutionJob } from "../../Batch.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { Ended, ExecutionEvent, ExecutionMetadata, Started } from "../../Execution.js"
import { collectExecution, collectTerminal } from "../../internal/collect.js"
import * as Traceparent from "../../internal/traceparent.js"
import type { ExecuteBatchOptions, RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import * as Quotas from "../../Quotas.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { Active } from "../Active.js"
import { about, stop, stoppable, storedBytes, streamAsCaller } from "../Handlers.js"
import * as Runs from "../Runs.js"
import * as Streams from "../Streams.js"

type Request = HttpServerRequest.HttpServerRequest

/** The most output, in bytes, that is kept for an answer at the end; a stream has no such limit. */
const MAX_KEPT = 100 * 1024 * 1024

const kept = (maxOutputSize: number | undefined) => Math.min(maxOutputSize ?? MAX_KEPT, MAX_KEPT)

/** Lets a trace that the caller has begun go on in what runs; a value that the caller gave is the caller's business. */
const environment = (request: Request, envVars: Readonly<Record<string, string>> | undefined) =>
  Effect.map(Traceparent.current, (current) => {
    const given = request.headers["traceparent"]
    return given === undefined || Option.isNone(Traceparent.parse(given)) || Option.isNone(current)
      ? envVars ?? {}
      : { [Traceparent.VARIABLE]: current.value, ...envVars }
  })

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

    /** Counts as an execution to its end, and can be stopped by its key. */
    const running = (request: Request) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        const { userId } = yield* Caller
        if (Streams.formatOf(request) === undefined) {
          yield* quotas.execution(userId)
        }
        // What runs can write: who holds too much may read and delete, but run nothing.
        yield* quotas.storage(userId, storedBytes(sdk), 0)
        yield* stoppable(active, userId, request)
        return yield* effect
      })

    const execute = Effect.fnUntraced(function*(
      request: Request,
      id: string,
      code: string,
      options: RunCodeStreamOptions
    ) {
      const format = Streams.formatOf(request)
      if (format !== undefined) {
        return yield* Runs.answer({
          request,
          format,
          events: Streams.executionEvents,
          lifetime: options,
          start: (lifetime) => sdk.runCodeStream(id, code, { ...options, ...lifetime }),
          follow: sdk.attach,
          cancel: sdk.cancelExecution
        })
      }
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

    const terminal = Effect.fnUntraced(function*(
      request: Request,
      id: string,
      command: string,
      options: RunTerminalStreamOptions
    ) {
      const format = Streams.formatOf(request)
      if (format !== undefined) {
        return yield* Runs.answer<ExecutionEvent>({
          request,
          format,
          events: Streams.executionEvents,
          lifetime: options,
          start: (lifetime) =>
            sdk.runTerminalStream(id, command, { ...options, ...lifetime }),
          follow: sdk.attach,
          cancel: sdk.cancelExecution
        })
      }
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
      return yield* Runs.answer({
        request,
        format,
        events: Streams.batchEvents,
        lifetime: options,
        start: (lifetime) => sdk.executeBatchStream(id, jobs, { ...options, ...lifetime }),
        follow: sdk.attachBatch,
        cancel: sdk.cancelExecution
      })
    })

    return handlers
      .handle("execute", ({ path, payload: { code, envVars, ...options }, request }) =>
        Effect.flatMap(environment(request, envVars), (envs) =>
          running(request)(execute(request, path.id, code, { ...options, envs }))).pipe(about(path.id)))
      .handle("terminal", ({ path, payload: { command, envVars, ...options }, request }) =>
        Effect.flatMap(environment(request, envVars), (envs) =>
          running(request)(terminal(request, path.id, command, { ...options, envs }))).pipe(about(path.id)))
      .handle("batch", ({ path, payload, request }) => {
        const { jobs, ...options } = "jobs" in payload ? payload : { jobs: payload }
        return running(request)(batch(request, path.id, jobs, options)).pipe(about(path.id))
      })
      .handle("stop", ({ path: { key } }) =>
        Effect.provideService(stop(sdk, key), Active, active))
  }))
