/**
 * Operations that run code and commands.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CurrentUser } from "../../CurrentUser.js"
import type { ExecutionError, RequestError } from "../../Errors.js"
import type { ExecutionEvent, ExecutionResult, TerminalEvent } from "../../Execution.js"
import {
  decodeArguments,
  decodeRunCodeOptions,
  decodeRunTerminalOptions,
  normalizeDirectory,
  requireCode,
  requireCommand,
  requireId
} from "../../internal/arguments.js"
import type { BatchRunner } from "../../internal/batch.js"
import { collectExecution, collectTerminal } from "../../internal/collect.js"
import type { Reading } from "../../internal/eventLog.js"
import type { RunOperations } from "../../internal/groups.js"
import * as Pulls from "../../internal/pulls.js"
import { DEFAULT_CAPTURE_BYTES, refuseTwoTargets, withCallTimeout, withRequestTimeout } from "../../internal/runs.js"
import { type RunCodeOptions, RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import { WORKSPACE } from "../Environment.js"
import type { About } from "../ExecutionEntry.js"
import type { Work } from "../Executions.js"
import type { RunLimits } from "../LiveSandbox.js"
import type { Running } from "../Registry.js"
import type { Parts } from "./Parts.js"

const DEFAULT_TIMEOUT_MS = 60_000

const decodeCodeStream = decodeArguments(RunCodeStreamOptions, "runCodeStream")
const decodeTerminalStream = decodeArguments(RunTerminalStreamOptions, "runTerminalStream")

/** A run of code has more kinds of events than a command, but a command only has these. */
const isTerminalEvent = (event: ExecutionEvent): event is TerminalEvent =>
  event._tag === "Stdout" || event._tag === "Stderr" || event._tag === "Started" || event._tag === "Ended"

const MIB = 1024 * 1024

/** Field by field: it is kept for a while, and V8 gives each object that is spread a shape of its own. */
const aboutOf = (
  userId: string,
  sandboxId: string,
  { detachGraceMs, detached, hold }: RunTerminalStreamOptions,
  { batchId, kind, language }: Pick<About, "batchId" | "kind" | "language">
): About => ({ userId, sandboxId, kind, language, batchId, detached, detachGraceMs, hold })

/**
 * The limits of a run, by what was asked for, what the sandbox was made with, and its template.
 */
export const limitsOf = (
  options: { readonly timeoutMs?: number | undefined; readonly maxOutputSize?: number | undefined },
  { limits: { outputMb }, template }: Running,
  maxOutputSize: number
): RunLimits => ({
  timeoutMs: options.timeoutMs ?? template.config.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  maxOutputSize: options.maxOutputSize ?? (outputMb === undefined ? maxOutputSize : outputMb * MIB)
})

/** The job of a batch that code is run for. */
interface Job {
  readonly batchId: string
  readonly begun: (executionId: string) => Effect.Effect<void>
}

/**
 * The operations, and how the code of a batch's job is run.
 */
export interface Runs {
  readonly operations: RunOperations
  readonly runJob: (batchId: string) => BatchRunner["runJob"]
}

/**
 * Makes the operations.
 */
export const runOperations = ({ executions, registry }: Parts): Runs => {
  /** What is to be run in a sandbox, once that is up. */
  type Plan = Effect.Effect<readonly [About, Work<ExecutionEvent>], RequestError>

  const planCode = (
    id: string,
    code: string,
    options: RunCodeStreamOptions,
    maxOutputSize: number,
    batchId?: string
  ): Plan =>
    Effect.flatMap(CurrentUser, (userId) =>
      Effect.map(registry.running(userId, id), (sandbox) => {
        const language = options.language ?? sandbox.template.config.language
        return [
          aboutOf(userId, id, options, {
            kind: "code",
            language: options.contextId === undefined ? language : undefined,
            batchId
          }),
          (journal) =>
            sandbox.whileBusy(
              sandbox.live.runCode(
                options.contextId === undefined ? { language } : { id: options.contextId },
                code,
                options.envs ?? {},
                limitsOf(options, sandbox, maxOutputSize),
                journal
              )
            )
        ]
      }))

  const planCommand = Effect.fnUntraced(function*(
    operation: string,
    id: string,
    command: string,
    options: RunTerminalStreamOptions,
    how: { readonly merge: boolean; readonly maxOutputSize: number }
  ): Effect.fn.Return<readonly [About, Work<ExecutionEvent>], RequestError> {
    const cwd = yield* normalizeDirectory(operation, options.cwd ?? WORKSPACE)
    const userId = yield* CurrentUser
    const sandbox = yield* registry.running(userId, id)
    return [
      aboutOf(userId, id, options, { kind: "terminal" }),
      (journal) =>
        sandbox.whileBusy(
          sandbox.live.runCommand(
            { command, cwd, env: options.envs ?? {}, merge: how.merge },
            limitsOf(options, sandbox, how.maxOutputSize),
            journal
          )
        )
    ]
  })

  const pullOf = (plan: Plan, options: RunTerminalStreamOptions): Effect.Effect<
    Pulls.Pull<ExecutionEvent, RequestError>,
    RequestError,
    Scope.Scope
  > => {
    const start = Effect.flatMap(plan, ([about, work]) => executions.run(about, work))
    return options.requestTimeoutMs === undefined
      ? Effect.flatMap(start, ({ stream }) => Pulls.toPull(stream))
      : Stream.toPull(
        Stream.unwrapScoped(Effect.map(start, ({ stream }) => stream)).pipe(
          withRequestTimeout(options.requestTimeoutMs, options.detached)
        )
      )
  }

  const readingOf = (
    plan: Plan,
    options: RunTerminalStreamOptions,
    started?: (executionId: string) => Effect.Effect<void>
  ): Reading<ExecutionEvent, RequestError> =>
  (each, atLeast) =>
    Effect.flatMap(plan, ([about, work]) => executions.through(about, work, started)(each, atLeast)).pipe(
      withCallTimeout(options.requestTimeoutMs, options.detached)
    )

  const runCode = (
    id: string,
    code: string,
    input: RunCodeOptions | undefined,
    job?: Job
  ): Effect.Effect<ExecutionResult, RequestError | ExecutionError> =>
    Effect.gen(function*() {
      const { collect, stream } = yield* decodeRunCodeOptions("runCode", input)
      yield* requireId("runCode", id)
      yield* requireCode("runCode", code)
      yield* refuseTwoTargets("runCode", stream)
      const capture = collect.captureOutput === false ? Infinity : DEFAULT_CAPTURE_BYTES
      const plan = planCode(id, code, stream, capture, job?.batchId)
      return yield* collectExecution(readingOf(plan, stream, job?.begun), collect)
    })

  const operations: RunOperations = {
    runCode: Effect.fn("SandboxSDK.runCode")(function*(id, code, input) {
      return yield* runCode(id, code, input)
    }),
    runCodeStream: (id, code, input) =>
      Pulls.make(Effect.withSpanScoped(
        Effect.gen(function*() {
          const options = yield* decodeCodeStream(input)
          yield* requireId("runCodeStream", id)
          yield* requireCode("runCodeStream", code)
          yield* refuseTwoTargets("runCodeStream", options)
          return yield* pullOf(planCode(id, code, options, Infinity), options)
        }),
        "SandboxSDK.runCodeStream"
      )),
    runTerminal: Effect.fn("SandboxSDK.runTerminal")(function*(id, command, input) {
      const { collect, stream } = yield* decodeRunTerminalOptions("runTerminal", input)
      yield* requireId("runTerminal", id)
      yield* requireCommand("runTerminal", command)
      // One pipe for both streams keeps their order exact; who listens to them one by one needs two.
      const merge = stream.mergeOutput ?? (collect.onStdout === undefined && collect.onStderr === undefined)
      const how = { merge, maxOutputSize: DEFAULT_CAPTURE_BYTES }
      const events = readingOf(planCommand("runTerminal", id, command, stream, how), stream)
      return yield* collectTerminal(
        (each, atLeast) => events((all) => each(all.filter(isTerminalEvent)), atLeast),
        collect
      )
    }),
    runTerminalStream: (id, command, input) =>
      Pulls.make(Effect.withSpanScoped(
        Effect.gen(function*() {
          const options = yield* decodeTerminalStream(input)
          yield* requireId("runTerminalStream", id)
          yield* requireCommand("runTerminalStream", command)
          const how = { merge: options.mergeOutput ?? false, maxOutputSize: Infinity }
          const plan = planCommand("runTerminalStream", id, command, options, how)
          return Effect.map(yield* pullOf(plan, options), Chunk.filter(isTerminalEvent))
        }),
        "SandboxSDK.runTerminalStream"
      ))
  }

  return {
    operations,
    runJob: (batchId) => (id, code, options, begun) => runCode(id, code, options, { batchId, begun })
  }
}
