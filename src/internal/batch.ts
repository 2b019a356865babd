/**
 * Runs batches over any service that runs code.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Take from "effect/Take"
import { type BatchEvent, BatchExecutionJob, type BatchExecutionResult, DEFAULT_PRIORITY } from "../Batch.js"
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
export type BatchRunner = Pick<Service, "getSandbox" | "runCode" | "createCodeContext" | "deleteCodeContext">

/** An event without its number, which it gets on its way out. */
type Unnumbered = BatchEvent extends infer Event ? Event extends BatchEvent ? Omit<Event, "seq"> : never : never

type Emit = (event: Unnumbered) => Effect.Effect<void>

/** How many jobs a batch can have: more are a mistake, or an attack on who has to keep their results. */
const MAX_JOBS = 10_000

/** How many events wait for a reader that is slow; the jobs wait then, too. */
const WAITING_EVENTS = 64

const Jobs = Schema.Struct({
  jobs: Schema.Array(BatchExecutionJob).pipe(
    Schema.maxItems(MAX_JOBS, { description: `an array of at most ${MAX_JOBS} jobs` })
  ).annotations({ description: "an array of jobs" })
})

interface Batch {
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
export const decodeBatch = (operation: string, id: unknown, jobs: unknown, options: unknown) =>
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
  [...jobs.entries()].sort(([, a], [, b]) => (b.priority ?? DEFAULT_PRIORITY) - (a.priority ?? DEFAULT_PRIORITY))

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
  output: Pick<RunCodeOptions, "onStdout" | "onStderr">
): Effect.Effect<ExecutionResult, RequestError | ExecutionError> => {
  const timeoutMs = job.timeout ?? options.timeoutMs
  const run = (target: Pick<RunCodeOptions, "contextId" | "language">) =>
    runner.runCode(id, job.code, { ...target, ...output, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
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

/** Runs the jobs and gives their results in the order in which they were given. */
const runJobs = (
  runner: BatchRunner,
  id: string,
  { jobs, options }: Batch,
  emit: Emit,
  outputOf: (jobId: string) => Pick<RunCodeOptions, "onStdout" | "onStderr">
): Effect.Effect<ReadonlyArray<BatchExecutionResult>, RequestError> =>
  Effect.gen(function*() {
    // A sandbox that is not there is one failure, of the batch, and not one of each job.
    yield* runner.getSandbox(id)
    const ended = yield* Effect.forEach(
      inOrder(jobs),
      ([index, job]) =>
        Effect.gen(function*() {
          const timestamp = yield* Clock.currentTimeMillis
          yield* emit({ _tag: "JobStarted", jobId: job.id, timestamp })
          const outcome = yield* Effect.either(runJob(runner, id, job, options, outputOf(job.id)))
          const duration = (yield* Clock.currentTimeMillis) - timestamp
          const result = outcome._tag === "Right"
            ? { jobId: job.id, success: true, execution: outcome.right.execution, duration }
            : failureOf(job.id, outcome.left, duration)
          yield* emit({ _tag: "JobEnded", result })
          return { index, result }
        }),
      { concurrency: options.concurrency ?? 1 }
    )
    return ended.sort((a, b) => a.index - b.index).map(({ result }) => result)
  })

/**
 * Runs jobs and gives their results in the order in which they were given. One job's failure is its result.
 *
 * With a concurrency of 1 the jobs run one after the other in the context of the batch: `contextId`, or the default
 * context of the sandbox or of the job's language. With more, each has a new context, which is gone when it has ended.
 * Interrupting this effect stops the jobs that run, and starts no more.
 *
 * Fails with `SandboxSDKError` `invalid_argument` for a malformed job, for two jobs with the same id, and for options
 * that contradict each other; and with what `getSandbox` fails with.
 */
export const executeBatch = (
  runner: BatchRunner,
  id: string,
  jobs: ReadonlyArray<BatchExecutionJob>,
  options?: ExecuteBatchOptions
): Effect.Effect<ReadonlyArray<BatchExecutionResult>, RequestError> =>
  Effect.flatMap(
    decodeBatch("executeBatch", id, jobs, options),
    (batch) => runJobs(runner, id, batch, () => Effect.void, () => ({}))
  )

/**
 * The same with what happens as it happens. The last event is `BatchEnded`. A slow reader slows the jobs down; one that
 * leaves stops them.
 */
export const executeBatchStream = (
  runner: BatchRunner,
  id: string,
  jobs: ReadonlyArray<BatchExecutionJob>,
  options?: ExecuteBatchOptions
): Stream.Stream<BatchEvent, RequestError> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const batch = yield* decodeBatch("executeBatchStream", id, jobs, options)
    const queue = yield* Queue.bounded<Take.Take<Unnumbered, RequestError>>(WAITING_EVENTS)
    const emit: Emit = (event) => Effect.asVoid(Queue.offer(queue, Take.of(event)))
    const start = yield* Clock.currentTimeMillis
    yield* runJobs(runner, id, batch, emit, (jobId) => {
      const onOutput: RunCodeOptions["onStdout"] = (message) => emit({ _tag: "JobOutput", jobId, message })
      return { onStdout: onOutput, onStderr: onOutput }
    }).pipe(
      Effect.flatMap((results) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const succeeded = results.filter(({ success }) => success).length
          return emit({ _tag: "BatchEnded", succeeded, failed: results.length - succeeded, duration: now - start })
        })
      ),
      Effect.matchCauseEffect({
        onFailure: (cause) => Queue.offer(queue, Take.failCause(cause)),
        onSuccess: () => Queue.offer(queue, Take.end)
      }),
      Effect.forkScoped
    )
    return Stream.flattenTake(Stream.fromQueue(queue))
  })).pipe(
    Stream.mapAccum(0, (seq, event) => [seq + 1, { ...event, seq }])
  )
