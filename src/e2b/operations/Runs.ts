/**
 * Operations that run code and commands.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError, type SandboxSDKError, TimeoutError } from "../../Errors.js"
import type { ExecutionEvent, TerminalEvent } from "../../Execution.js"
import { decodeRunCodeOptions, normalizeDirectory, WORKSPACE } from "../../internal/arguments.js"
import type { BatchRunner } from "../../internal/batch.js"
import { clientRuns, counted } from "../../internal/clientRuns.js"
import { collectExecution } from "../../internal/collect.js"
import type { RunOperations } from "../../internal/groups.js"
import { DEFAULT_CAPTURE_BYTES, withRequestTimeout } from "../../internal/runs.js"
import type { RunCodeStreamOptions, RunTerminalStreamOptions } from "../../Options.js"
import { randomKey } from "../../remote/Key.js"
import type { Client } from "../Client.js"
import { execute } from "../Execute.js"
import { unsupported } from "../Failures.js"
import * as Ids from "../Ids.js"
import { toServer } from "../Paths.js"
import * as Process from "../Process.js"

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
    })).pipe(counted(metrics, options.language), withRequestTimeout(options.requestTimeoutMs, options.detached))

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
    })).pipe(counted(metrics, "bash"), withRequestTimeout(options.requestTimeoutMs, options.detached))

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
    ...clientRuns({ metrics, url: peer.url, streamCode, streamCommand })
  }
}
