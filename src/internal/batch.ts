/**
 * Runs batches over any service that runs code.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  type BatchEnded,
  type BatchEvent,
  BatchExecutionJob,
  type BatchExecutionResult,
  DEFAULT_PRIORITY
} from "../Batch.js"
import {
  type AnySandboxSDKError,
  ConnectionError,
  ExecutionError,
  type RequestError,
  SandboxError,
  type SandboxSDKError,
  TimeoutError
} from "../Errors.js"
import type { Execution, ExecutionResult } from "../Execution.js"
import { ExecuteBatchOptions } from "../Options.js"
import type { RunCodeOptions } from "../Options.js"
import type { Service } from "../SandboxSDK.js"
import { decodeArguments, invalidArgument, requireId } from "./arguments.js"

/**
 * What a batch needs of a service.
 */
export interface BatchRunner extends Pick<Service, "getSandbox" | "createCodeContext" | "deleteCodeContext"> {
  /** `runCode`; tells the id of its execution as soon as there is one. */
  readonly runJob: (
    id: string,
    code: string,
    options: RunCodeOptions,
    begun: (executionId: string) => Effect.Effect<void>
  ) => Effect.Effect<ExecutionResult, RequestError | ExecutionError>
}

/** An event without its number, which it gets on its way out. */
export type UnnumberedBatchEvent = BatchEvent extends infer Event
  ? Event extends BatchEvent ? Omit<Event, "seq"> : never
  : never

/** Takes an event; lasts until there is room for it. */
export type EmitBatchEvent = (event: UnnumberedBatchEvent) => Effect.Effect<void>

/** How many jobs a batch can have: more are a mistake, or an attack on who has to keep their results. */
const MAX_JOBS = 10_000

const Jobs = Schema.Struct({
  jobs: Schema.Array(BatchExecutionJob).pipe(
    Schema.maxItems(MAX_JOBS, { description: `an array of at most ${MAX_JOBS} jobs` })
  ).annotations({ description: "an array of jobs" })
})

/**
 * What is run, and how.
 */
export interface Batch {
  readonly jobs: ReadonlyArray<BatchExecutionJob>
  readonly options: ExecuteBatchOptions
}

/** What is wrong with the jobs as a whole. */
const findFault = (operation: string, { jobs, options }: Batch): SandboxSDKError | undefined => {
  if (options.contextId !== undefined && (options.concurrency ?? 1) > 1) {
    return invalidArgument(
      operation,
      "contextId",
      "contextId is for a concurrency of 1: with more, each job has a context of its own."
    )
  }
  const seen = new Set<string>()
  for (const [index, { id, language }] of jobs.entries()) {
    if (seen.has(id)) {
      return invalidArgument(
        operation,
        `jobs.${index}.id`,
        `two jobs have the id ${JSON.stringify(id)}; give each an id of its own.`
      )
    }
    seen.add(id)
    if (options.contextId !== undefined && language !== undefined) {
      return invalidArgument(
        operation,
        `jobs.${index}.language`,
        "give either contextId or a job's language: a context has its language already."
      )
    }
  }
  return undefined
}

/**
 * Checks the arguments of a batch.
 */
export const decodeBatch = (
  operation: string,
  id: unknown,
  jobs: unknown,
  options: unknown
): Effect.Effect<Batch, SandboxSDKError> =>
  Effect.gen(function*() {
    yield* requireId(operation, id)
    const batch = {
      ...(yield* decodeArguments(Jobs, operation, "jobs")({ jobs })),
      options: yield* decodeArguments(ExecuteBatchOptions, operation)(options)
    }
    const fault = findFault(operation, batch)
    return fault === undefined ? batch : yield* fault
  })

/** Those of a higher priority first; the sort is stable, so others keep their order. */
const inOrder = (jobs: ReadonlyArray<BatchExecutionJob>) =>
  [...jobs].sort((a, b) => (b.priority ?? DEFAULT_PRIORITY) - (a.priority ?? DEFAULT_PRIORITY))

const executionOf = (error: AnySandboxSDKError): Execution | undefined =>
  "execution" in error ? error.execution : undefined

/** The same error without the output, which the result of the job holds. */
const withoutExecution = (error: AnySandboxSDKError): AnySandboxSDKError => {
  const copy = copyWithout(error)
  if (error.stack !== undefined) {
    copy.stack = error.stack
  }
  return copy
}

const copyWithout = (error: AnySandboxSDKError): AnySandboxSDKError => {
  const { message } = error
  switch (error._tag) {
    case "ExecutionError":
      return new ExecutionError({ ...error, message, name: error.name, execution: undefined })
    case "TimeoutError":
      return new TimeoutError({ ...error, message, execution: undefined })
    case "SandboxError":
      return new SandboxError({ ...error, message, execution: undefined })
    case "ConnectionError":
      return new ConnectionError({ ...error, message, execution: undefined })
    default:
      return error
  }
}

const failureOf = (jobId: string, error: AnySandboxSDKError, duration: number): BatchExecutionResult => {
  const execution = executionOf(error)
  return {
    jobId,
    success: false,
    ...(execution === undefined ? {} : { execution }),
    error: execution === undefined ? error : withoutExecution(error),
    duration
  }
}

/** Runs one job: where the batch says, or in a context of its own that is gone afterwards. */
const runJob = (
  runner: BatchRunner,
  id: string,
  job: BatchExecutionJob,
  options: ExecuteBatchOptions,
  output: Pick<RunCodeOptions, "onStdout" | "onStderr">,
  begun: (executionId: string) => Effect.Effect<void>
): Effect.Effect<ExecutionResult, RequestError | ExecutionError> => {
  const timeoutMs = job.timeout ?? options.timeoutMs
  const run = (target: Pick<RunCodeOptions, "contextId" | "language">) =>
    runner.runJob(id, job.code, { ...target, ...output, ...(timeoutMs === undefined ? {} : { timeoutMs }) }, begun)
  const language = job.language === undefined ? {} : { language: job.language }
  if ((options.concurrency ?? 1) === 1) {
    return run(options.contextId === undefined ? language : { contextId: options.contextId })
  }
  return Effect.acquireUseRelease(
    runner.createCodeContext(id, language),
    (context) => run({ contextId: context.id }),
    (context) =>
      Effect.catchAllCause(
        runner.deleteCodeContext(context.id),
        (cause) => Effect.logDebug(`Context ${context.id} of a job could not be deleted.`, cause)
      )
  )
}

/** Runs one job, and tells of its beginning, its output and its end. Gives whether it succeeded. */
const tellJob = Effect.fnUntraced(function*(
  runner: BatchRunner,
  id: string,
  job: BatchExecutionJob,
  options: ExecuteBatchOptions,
  emit: EmitBatchEvent
) {
  const timestamp = yield* Clock.currentTimeMillis
  let isTold = false
  const started = (about: { readonly executionId?: string }) =>
    Effect.suspend(() => {
      isTold = true
      return emit({ _tag: "JobStarted", jobId: job.id, ...about, timestamp })
    })
  const onOutput: RunCodeOptions["onStdout"] = (message) => emit({ _tag: "JobOutput", jobId: job.id, message })
  const outcome = yield* Effect.either(
    runJob(
      runner,
      id,
      job,
      options,
      { onStdout: onOutput, onStderr: onOutput },
      (executionId) => started({ executionId })
    )
  )
  yield* Effect.suspend(() => isTold ? Effect.void : started({}))
  const duration = (yield* Clock.currentTimeMillis) - timestamp
  const result = outcome._tag === "Right"
    ? { jobId: job.id, success: true, execution: outcome.right.execution, duration }
    : failureOf(job.id, outcome.left, duration)
  yield* emit({ _tag: "JobEnded", result })
  return result.success
})

/**
 * Runs jobs, and tells what happens, but for the beginning and the end of the batch. One job's failure is its result.
 *
 * With a concurrency of 1 the jobs run one after the other in the context of the batch: `contextId`, or the default
 * context of the sandbox or of the job's language. With more, each has a new context, which is gone when it has ended.
 * Interrupting this effect stops the jobs that run, and starts no more. Fails with what `getSandbox` fails with.
 */
export const runBatch = Effect.fnUntraced(function*(
  runner: BatchRunner,
  id: string,
  { jobs, options }: Batch,
  emit: EmitBatchEvent
): Effect.fn.Return<Pick<typeof BatchEnded.Type, "succeeded" | "failed" | "duration">, RequestError> {
  const start = yield* Clock.currentTimeMillis
  // A sandbox that is not there is one failure, of the batch, and not one of each job.
  yield* runner.getSandbox(id)
  const successes = yield* Effect.forEach(
    inOrder(jobs),
    (job) => tellJob(runner, id, job, options, emit),
    { concurrency: options.concurrency ?? 1 }
  )
  const succeeded = successes.filter((success) => success).length
  return { succeeded, failed: jobs.length - succeeded, duration: (yield* Clock.currentTimeMillis) - start }
})

/**
 * The results of a batch, in the order in which its jobs were given, from its events.
 *
 * @param missing the failure when the events tell nothing of a job.
 */
export const collectBatch = (
  jobs: ReadonlyArray<BatchExecutionJob>,
  events: Stream.Stream<BatchEvent, RequestError>,
  missing: (jobId: string) => RequestError
): Effect.Effect<ReadonlyArray<BatchExecutionResult>, RequestError> =>
  Effect.suspend(() => {
    const results = new Map<string, BatchExecutionResult>()
    return Stream.runForEach(events, (event) =>
      Effect.sync(() => {
        if (event._tag === "JobEnded") results.set(event.result.jobId, event.result)
      })).pipe(
        Effect.zipRight(Effect.forEach(jobs, ({ id }) => {
          const result = results.get(id)
          return result === undefined ? Effect.fail(missing(id)) : Effect.succeed(result)
        }))
      )
  })
