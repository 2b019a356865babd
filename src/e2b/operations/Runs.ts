/**
 * Operations that run code and commands.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError, type SandboxSDKError, TimeoutError } from "../../Errors.js"
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
import type { BatchRunner } from "../../internal/batch.js"
import { collectExecution, collectTerminal } from "../../internal/collect.js"
import type { RunOperations } from "../../internal/groups.js"
import { DEFAULT_CAPTURE_BYTES, refuseTwoTargets, withRequestTimeout } from "../../internal/runs.js"
import { RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import { randomKey } from "../../remote/Key.js"
import type { Client } from "../Client.js"
import { execute } from "../Execute.js"
import { unsupported } from "../Failures.js"
import * as Ids from "../Ids.js"
import { toServer } from "../Paths.js"
import * as Process from "../Process.js"

const decodeCodeStream = decodeArguments(RunCodeStreamOptions, "runCodeStream")
const decodeTerminalStream = decodeArguments(RunTerminalStreamOptions, "runTerminalStream")

/** How long code and commands may take where the call does not say, in milliseconds. */
const TIMEOUT_MS = 60_000

/** How long what is to be stopped is waited for. */
const CONFIRMATION = Duration.seconds(5)

/** That what is run goes on without a reader: the protocol cannot give what it wrote to the next one. */
const refuseDetached = (
  operation: string,
  { detachGraceMs, detached }: Pick<RunCodeStreamOptions, "detached" | "detachGraceMs">
): Effect.Effect<void, SandboxSDKError> => {
  const field = detached === true ? "detached" : detachGraceMs === undefined ? undefined : "detachGraceMs"
  return field === undefined ? Effect.void : Effect.fail(unsupported(
    operation,
    field,
    "in E2B's protocol a run ends with its reader; startProcess starts what goes on."
  ))
}

/** Ends a run when its time is over; that the stream is closed then stops it. */
const withTimeout =
  (timeoutMs: number) => <A>(events: Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
    Stream.interruptWhen(
      events,
      Effect.delay(
        Effect.fail(
          new TimeoutError({
            message: `The run took longer than ${timeoutMs} ms (timeoutMs) and was stopped.`,
            timeoutMs,
            operation: "execution"
          })
        ),
        Duration.millis(timeoutMs)
      )
    )

const atMost = (bytes: number | undefined, otherwise: number | undefined) => bytes ?? otherwise

/** A program that runs the command with both streams going one way, before any of it is read. */
const shell = (command: string, mergeOutput: boolean): ReadonlyArray<string> => {
  const plain = ["/bin/bash", "-c", command]
  return mergeOutput ? ["/bin/bash", "-c", "exec \"$@\" 2>&1", "bash", ...plain] : plain
}

/**
 * Makes the operations.
 */
export const runOperations = (client: Client): RunOperations & Pick<BatchRunner, "runJob"> => {
  const { metrics, peer, settings } = client

  const counted =
    (language: string | undefined) => <A extends ExecutionEvent>(events: Stream.Stream<A, RequestError>) =>
      Stream.suspend(() => {
        let outcome = "success"
        return Stream.tap(events, (event) => {
          if (event._tag === "Error") outcome = "ExecutionError"
          return event._tag === "Ended" ? metrics.execution(event.duration, { language, outcome }) : Effect.void
        })
      })

  const streamCode = (
    operation: string,
    sandboxId: string,
    code: string,
    options: RunCodeStreamOptions,
    otherwise?: number
  ): Stream.Stream<ExecutionEvent, RequestError> =>
    Stream.unwrap(Effect.gen(function*() {
      yield* refuseDetached(operation, options)
      const { contextId } = options
      const context = contextId === undefined
        ? undefined
        : yield* Ids.split("context", "context_not_found", contextId)
      if (context !== undefined && context.sandboxId !== sandboxId) {
        return yield* new SandboxError({
          code: "context_not_found",
          sandboxId,
          message: `The context ${contextId} is of another sandbox.`
        })
      }
      const language = context === undefined
        ? options.language ?? (yield* client.languageOf(operation, sandboxId))
        : undefined
      return execute(client, {
        operation,
        sandboxId,
        executionId: Ids.join(sandboxId, yield* randomKey),
        code,
        context: context === undefined || contextId === undefined ? undefined : { id: context.id, joined: contextId },
        language,
        envs: options.envs,
        maxOutputSize: atMost(options.maxOutputSize, otherwise)
      }).pipe(withTimeout(options.timeoutMs ?? TIMEOUT_MS))
    })).pipe(counted(options.language), withRequestTimeout(options.requestTimeoutMs, options.detached))

  const streamCommand = (
    operation: string,
    sandboxId: string,
    command: string,
    options: RunTerminalStreamOptions,
    otherwise?: number
  ): Stream.Stream<TerminalEvent, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      yield* refuseDetached(operation, options)
      const cwd = yield* normalizeDirectory(operation, options.cwd ?? WORKSPACE)
      // Its connection may be closed without its end: the process is ended by itself.
      const running = yield* Ref.make<number | undefined>(undefined)
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(Ref.get(running), (pid) =>
          pid === undefined ? Effect.void : Process.kill(client, operation, sandboxId, pid).pipe(
            Effect.interruptible,
            Effect.timeoutOption(CONFIRMATION),
            Effect.ignore
          ))
      )
      return Process.start(client, {
        operation,
        sandboxId,
        args: shell(command, options.mergeOutput === true),
        cwd: toServer(settings.home, cwd),
        envs: options.envs
      }).pipe(
        Process.toEvents(
          {
            sandboxId,
            executionId: (pid) =>
              Ids.join(sandboxId, String(pid))
          },
          atMost(options.maxOutputSize, otherwise),
          (pid) =>
            Ref.set(running, pid)
        ),
        Stream.tap((event) => event._tag === "Ended" ? Ref.set(running, undefined) : Effect.void),
        withTimeout(options.timeoutMs ?? TIMEOUT_MS)
      )
    })).pipe(counted("bash"), withRequestTimeout(options.requestTimeoutMs, options.detached))

  return {
    runJob: (id, code, input, begun) =>
      Effect.flatMap(decodeRunCodeOptions("executeBatch", input), ({ collect, stream }) =>
        collectExecution(
          Stream.tap(
            streamCode("executeBatch", id, code, stream, DEFAULT_CAPTURE_BYTES),
            (event) => event._tag === "Started" ? begun(event.executionId) : Effect.void
          ),
          { ...collect, url: peer.url }
        )),
    runCode: Effect.fn("SandboxSDK.runCode")(function*(id, code, input) {
      const { collect, stream } = yield* decodeRunCodeOptions("runCode", input)
      yield* requireId("runCode", id)
      yield* requireCode("runCode", code)
      yield* refuseTwoTargets("runCode", stream)
      const limit = collect.captureOutput === false ? undefined : DEFAULT_CAPTURE_BYTES
      return yield* collectExecution(streamCode("runCode", id, code, stream, limit), { ...collect, url: peer.url })
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
