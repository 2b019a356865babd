/**
 * Operations on processes, and `attach` of what they have written.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError, TimeoutError } from "../../Errors.js"
import {
  decodeArguments,
  decodeProcess,
  invalidArgument,
  normalizeDirectory,
  requireId,
  requireInput,
  requireSignal,
  WORKSPACE
} from "../../internal/arguments.js"
import type { ExecutionOperations, ProcessOperations } from "../../internal/groups.js"
import { AttachOptions } from "../../Options.js"
import { type ProcessInfo, TerminalSize } from "../../Process.js"
import type { Client } from "../Client.js"
import { unsupported } from "../Failures.js"
import * as Ids from "../Ids.js"
import { toCaller, toServer } from "../Paths.js"
import * as Process from "../Process.js"
import type { Programs } from "../Programs.js"

/** One request brings no more; what is longer comes in several. */
const PIECE_BYTES = 256 * 1024

/** What ends the input of a terminal (termios(3), VEOF). */
const END_OF_INPUT = "\u0004"

/** The id of a run of code, which is made here. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-/

const decodeSize = decodeArguments(TerminalSize, "resizeTerminal", "size")
const decodeAttach = decodeArguments(AttachOptions, "attach")

const notFound = (executionId: string) =>
  new SandboxError({
    code: "execution_not_found",
    message: `There is no execution ${JSON.stringify(executionId)}.`
  })

const isEnded = (error: RequestError): boolean => error._tag === "SandboxError" && error.code === "process_ended"

/**
 * Makes the operations.
 */
export const processOperations = (
  client: Client,
  programs: Programs
): ProcessOperations & Pick<ExecutionOperations, "attach"> => {
  const { metrics, settings } = client

  const find = (operation: string, input: unknown) =>
    Effect.gen(function*() {
      const executionId = yield* requireId(operation, input, "executionId")
      const { id, sandboxId } = yield* Ids.split("execution", "execution_not_found", executionId)
      const pid = Number(id)
      return Number.isSafeInteger(pid) && pid > 0
        ? { executionId, sandboxId, pid, kept: programs.find(executionId) }
        : yield* notFound(executionId)
    })

  /** One that is not known here may have been, or may never have been. */
  const known = (executionId: string) =>
    Effect.mapError((error: RequestError) =>
      isEnded(error) && programs.find(executionId) === undefined ? notFound(executionId) : error
    )

  const send = (operation: string, found: Effect.Effect.Success<ReturnType<typeof find>>, bytes: Uint8Array) =>
    Process.tell(
      client,
      operation,
      found.sandboxId,
      found.pid,
      "SendInput",
      { input: { [found.kept?.info.pty === undefined ? "stdin" : "pty"]: Encoding.encodeBase64(bytes) } },
      "stdin_closed"
    ).pipe(known(found.executionId))

  return {
    startProcess: Effect.fn("SandboxSDK.startProcess")(function*(input, startOptions) {
      const options = yield* decodeProcess(startOptions)
      const cwd = yield* normalizeDirectory("startProcess", options.cwd ?? WORKSPACE)
      const sandboxId = yield* requireId("startProcess", input)
      const { args, command, maxOutputSize, pty, tag, timeoutMs } = options
      const executionId = (pid: number) => Ids.join(sandboxId, String(pid))
      const describe = (pid: number, startedAt: number): ProcessInfo => ({
        executionId: executionId(pid),
        sandboxId,
        pid,
        ...args === undefined ? { command: command ?? "" } : { args },
        cwd,
        ...tag === undefined ? {} : { tag },
        ...pty === undefined ? {} : { pty },
        stdin: pty !== undefined || options.stdin === true,
        startedAt
      })
      return yield* programs.keep(describe, (begun) => {
        let running: number | undefined
        const events = Process.start(client, {
          operation: "startProcess",
          sandboxId,
          args: args ?? ["/bin/bash", "-c", command ?? ""],
          cwd: toServer(settings.home, cwd),
          envs: options.envs,
          stdin: options.stdin,
          pty,
          tag
        }).pipe(Process.toEvents({ sandboxId, executionId }, maxOutputSize, (pid) => {
          running = pid
          return begun(pid)
        }))
        return timeoutMs === undefined ? events : Stream.interruptWhen(
          events,
          Effect.suspend(() =>
            running === undefined ? Effect.void : Process.kill(client, "startProcess", sandboxId, running)
          ).pipe(
            Effect.zipRight(Effect.fail(
              new TimeoutError({
                message: `The process took longer than ${timeoutMs} ms (timeoutMs) and was stopped.`,
                timeoutMs,
                operation: "execution"
              })
            )),
            Effect.delay(Duration.millis(timeoutMs))
          )
        )
      })
    }, metrics.track("startProcess")),
    listProcesses: Effect.fn("SandboxSDK.listProcesses")(function*(input) {
      const sandboxId = yield* requireId("listProcesses", input)
      const { processes } = yield* Process.list(client, sandboxId)
      return processes.map(({ config, pid, tag }): ProcessInfo => {
        const executionId = Ids.join(sandboxId, String(pid))
        return programs.find(executionId)?.info ?? {
          executionId,
          sandboxId,
          pid,
          args: [config.cmd, ...config.args],
          cwd: toCaller(settings.home, config.cwd ?? settings.home),
          ...typeof tag === "string" ? { tag } : {},
          stdin: true,
          // Of what others have started, the protocol does not say.
          startedAt: 0
        }
      }).sort((a, b) => a.startedAt - b.startedAt)
    }, metrics.track("listProcesses")),
    writeStdin: Effect.fn("SandboxSDK.writeStdin")(function*(input, data) {
      const bytes = yield* requireInput(data)
      const found = yield* find("writeStdin", input)
      for (let at = 0; at === 0 || at < bytes.length; at += PIECE_BYTES) {
        yield* send("writeStdin", found, bytes.subarray(at, at + PIECE_BYTES))
      }
    }, metrics.track("writeStdin")),
    closeStdin: Effect.fn("SandboxSDK.closeStdin")(function*(input) {
      const found = yield* find("closeStdin", input)
      yield* found.kept?.info.pty === undefined
        ? Process.tell(client, "closeStdin", found.sandboxId, found.pid, "CloseStdin").pipe(known(found.executionId))
        : send("closeStdin", found, new TextEncoder().encode(END_OF_INPUT))
    }, metrics.track("closeStdin")),
    signalProcess: Effect.fn("SandboxSDK.signalProcess")(function*(input, name) {
      const signal = yield* requireSignal(name)
      const { executionId, pid, sandboxId } = yield* find("signalProcess", input)
      if (signal !== "SIGKILL" && signal !== "SIGTERM") {
        return yield* unsupported("signalProcess", "signal", "E2B's protocol has SIGTERM and SIGKILL alone.")
      }
      yield* Process.tell(client, "signalProcess", sandboxId, pid, "SendSignal", {
        signal: signal.replace(/^SIG/, "SIGNAL_SIG")
      }).pipe(known(executionId))
    }, metrics.track("signalProcess")),
    resizeTerminal: Effect.fn("SandboxSDK.resizeTerminal")(function*(input, wanted) {
      const size = yield* decodeSize(wanted)
      const { executionId, kept, pid, sandboxId } = yield* find("resizeTerminal", input)
      yield* Process.tell(
        client,
        "resizeTerminal",
        sandboxId,
        pid,
        "Update",
        { pty: { size } },
        "not_a_terminal"
      ).pipe(known(executionId))
      if (kept !== undefined) kept.info = { ...kept.info, pty: size }
    }, metrics.track("resizeTerminal")),
    attach: (input, options) =>
      Stream.unwrapScoped(Effect.gen(function*() {
        const { after = -1, hold } = yield* decodeAttach(options)
        const of = yield* Effect.option(Ids.split("execution", "execution_not_found", String(input)))
        if (of._tag === "Some" && UUID.test(of.value.id)) {
          return yield* unsupported(
            "attach",
            "attach",
            "in E2B's protocol the events of a run of code are told once, to who has started it."
          )
        }
        const { executionId, kept, pid, sandboxId } = yield* find("attach", input)
        if (kept === undefined) {
          // Started by others: what it wrote before is not told any more.
          return after >= 0
            ? yield* new SandboxError({
              code: "events_lost",
              sandboxId,
              message: `Of ${executionId} only what happens from now on is known here; leave "after" out.`
            })
            : Process.connect(client, "attach", sandboxId, pid).pipe(
              Process.toEvents({ sandboxId, executionId: () => executionId }, undefined, () => Effect.void)
            )
        }
        const { log } = kept
        if (after + 1 < log.first()) {
          return yield* new SandboxError({
            code: "events_lost",
            sandboxId,
            message: `Of ${executionId} the events from ${log.first()} on are kept.`
          })
        }
        if (after >= log.next()) {
          return yield* invalidArgument("attach", "after", `after is ${after}, a number that no event has yet.`)
        }
        const reader = yield* Effect.acquireRelease(
          Effect.sync(() => log.open(after, hold)),
          (opened) => Effect.map(Clock.currentTimeMillis, (now) => log.close(opened, now))
        )
        return log.stream(reader)
      })).pipe(metrics.trackStream("attach"), Stream.withSpan("SandboxSDK.attach"))
  }
}
