/**
 * Operations on processes: programs that run beside whoever started them.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RunHandle } from "../../agent/Client.js"
import { CurrentUser } from "../../CurrentUser.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { ExecutionEvent } from "../../Execution.js"
import {
  decodeArguments,
  decodeProcess,
  invalidArgument,
  normalizeDirectory,
  requireId,
  requireInput,
  requireSignal
} from "../../internal/arguments.js"
import type { ProcessOperations } from "../../internal/groups.js"
import type { StartProcessOptions } from "../../Options.js"
import { type ProcessInfo, TerminalSize } from "../../Process.js"
import { WORKSPACE } from "../Environment.js"
import type { Work } from "../Executions.js"
import type { Running } from "../Registry.js"
import { type Parts, runningSandbox } from "./Parts.js"
import { limitsOf } from "./Runs.js"

const decodeSize = decodeArguments(TerminalSize, "resizeTerminal", "size")

/** What the agent is asked for. */
const requestOf = (options: StartProcessOptions, cwd: string) => ({
  command: options.command ?? "",
  cwd,
  env: options.envs ?? {},
  merge: false,
  process: {
    stdin: options.stdin === true,
    ...(options.args === undefined ? {} : { args: options.args }),
    ...(options.pty === undefined ? {} : { pty: options.pty })
  }
})

const infoOf = (
  options: StartProcessOptions,
  known: Pick<ProcessInfo, "executionId" | "sandboxId" | "pid" | "cwd" | "startedAt">
): ProcessInfo => ({
  ...known,
  ...(options.command === undefined ? {} : { command: options.command }),
  ...(options.args === undefined ? {} : { args: options.args }),
  ...(options.tag === undefined ? {} : { tag: options.tag }),
  ...(options.pty === undefined ? {} : { pty: options.pty }),
  stdin: options.stdin === true || options.pty !== undefined
})

/**
 * Makes the operations.
 */
export const processOperations = ({ executions, processes, registry }: Parts): ProcessOperations => {
  /** Runs it to its end, and tells when it has started, or why it has not. */
  const run = (
    userId: string,
    options: StartProcessOptions,
    cwd: string,
    sandbox: Running,
    started: Deferred.Deferred<ProcessInfo, RequestError>
  ): Work<ExecutionEvent> =>
  (journal) =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const onStarted = (pid: number, handle: RunHandle) => {
        const startedAt = clock.unsafeCurrentTimeMillis()
        const info = infoOf(options, { executionId: journal.id, sandboxId: sandbox.id, pid, cwd, startedAt })
        processes.add(userId, { handle, info })
        Deferred.unsafeDone(started, Effect.succeed(info))
      }
      return yield* sandbox.whileBusy(sandbox.live.runCommand(
        requestOf(options, cwd),
        { ...limitsOf(options, sandbox, Infinity), timeoutMs: options.timeoutMs ?? Infinity, onStarted },
        journal
      ))
    }).pipe(
      Effect.onExit((exit) => {
        processes.remove(userId, journal.id)
        return Exit.isFailure(exit) ? Deferred.failCause(started, neverStarted(sandbox.id, exit.cause)) : Effect.void
      })
    )

  /** A process that runs, in a sandbox that does. */
  const find = Effect.fnUntraced(function*(operation: string, input: unknown) {
    const executionId = yield* requireId(operation, input, "executionId")
    const userId = yield* CurrentUser
    const process = processes.get(userId, executionId)
    if (process === undefined) {
      const { endedAt, sandboxId } = yield* executions.get(userId, executionId)
      return yield* endedAt === undefined ? notAProcess(operation, executionId) : processEnded(executionId, sandboxId)
    }
    // One that is paused goes on.
    yield* registry.running(userId, process.info.sandboxId)
    return process
  })

  return {
    startProcess: Effect.fn("SandboxSDK.startProcess")(function*(input, startOptions) {
      const options = yield* decodeProcess(startOptions)
      const cwd = yield* normalizeDirectory("startProcess", options.cwd ?? WORKSPACE)
      const sandbox = yield* runningSandbox(registry, "startProcess", input)
      const userId = yield* CurrentUser
      const started = yield* Deferred.make<ProcessInfo, RequestError>()
      return yield* Effect.scoped(Effect.gen(function*() {
        const { id } = yield* executions.run(
          { userId, sandboxId: sandbox.id, kind: "terminal", detached: true },
          run(userId, options, cwd, sandbox, started)
        )
        // Whoever leaves before it has its id could never stop it.
        return yield* Effect.onInterrupt(Deferred.await(started), () => Effect.ignore(executions.cancel(userId, id)))
      }))
    }),
    listProcesses: Effect.fn("SandboxSDK.listProcesses")(function*(input) {
      const id = yield* requireId("listProcesses", input)
      const userId = yield* CurrentUser
      yield* registry.get(userId, id)
      return processes.list(userId, id)
    }),
    writeStdin: Effect.fn("SandboxSDK.writeStdin")(function*(executionId, data) {
      const bytes = yield* requireInput(data)
      const { handle } = yield* find("writeStdin", executionId)
      yield* handle.stdin.write(bytes)
    }),
    closeStdin: Effect.fn("SandboxSDK.closeStdin")(function*(executionId) {
      const { handle } = yield* find("closeStdin", executionId)
      yield* handle.stdin.close
    }),
    signalProcess: Effect.fn("SandboxSDK.signalProcess")(function*(executionId, name) {
      const signal = yield* requireSignal(name)
      const { handle } = yield* find("signalProcess", executionId)
      handle.signal(signal)
    }),
    resizeTerminal: Effect.fn("SandboxSDK.resizeTerminal")(function*(executionId, wanted) {
      const size = yield* decodeSize(wanted)
      const process = yield* find("resizeTerminal", executionId)
      if (process.info.pty === undefined) {
        return yield* new SandboxError({
          code: "not_a_terminal",
          message: `The process "${executionId}" has no terminal: start it with pty: { cols, rows }.`,
          sandboxId: process.info.sandboxId
        })
      }
      process.handle.resize(size)
      processes.resized(process, size)
    })
  }
}

const notAProcess = (operation: string, executionId: string) =>
  invalidArgument(
    operation,
    "executionId",
    `the execution "${executionId}" is no process: only what startProcess has started can be spoken to.`
  )

const processEnded = (executionId: string, sandboxId: string) =>
  new SandboxError({
    code: "process_ended",
    message: `The process "${executionId}" has ended; getExecution tells how.`,
    sandboxId
  })

/** Why a process did not start, where something else than its failure has ended it too. */
const neverStarted = (sandboxId: string, cause: Cause.Cause<RequestError>): Cause.Cause<RequestError> =>
  Cause.isInterruptedOnly(cause)
    ? Cause.fail(
      new SandboxError({ code: "cancelled", message: "The process was stopped before it had started.", sandboxId })
    )
    : cause
