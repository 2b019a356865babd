/**
 * A process, from its start to its end, as events.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type RequestError, SandboxError, type SandboxErrorCode } from "../Errors.js"
import type { TerminalEvent } from "../Execution.js"
import type { DecodedText } from "../internal/utf8.js"
import * as Calls from "./Calls.js"
import type { Client } from "./Client.js"
import * as Output from "./Output.js"
import { OneEntry, Processes, ProcessMessage } from "./Protocol.js"

/** The service of envd. */
const SERVICE = "process.Process"

/** What the end of a process says of the signal that ended it (strsignal(3) in lower case), and its number (signal(7)). */
const SIGNALS: Readonly<Record<string, number>> = {
  hangup: 1,
  interrupt: 2,
  quit: 3,
  "illegal instruction": 4,
  "trace/breakpoint trap": 5,
  aborted: 6,
  "bus error": 7,
  "floating point exception": 8,
  killed: 9,
  "user defined signal 1": 10,
  "segmentation fault": 11,
  "user defined signal 2": 12,
  "broken pipe": 13,
  "alarm clock": 14,
  terminated: 15
}

type End = NonNullable<NonNullable<ProcessMessage["event"]>["end"]>

/** The exit status as a shell says it: 128 and the number of the signal that ended the process. */
const exitCodeOf = ({ exitCode, status }: End): number => {
  const signal = /^signal: ([a-z0-9/ ]+?)(?: \(core dumped\))?$/.exec(status)?.[1]
  return signal === undefined ? Math.max(0, exitCode) : 128 + (SIGNALS[signal] ?? 0)
}

/**
 * What is started.
 */
export interface Program {
  readonly operation: string
  readonly sandboxId: string
  readonly args: ReadonlyArray<string>
  /** As it is called there. */
  readonly cwd: string
  readonly envs: Readonly<Record<string, string>> | undefined
  readonly stdin?: boolean | undefined
  readonly pty?: { readonly cols: number; readonly rows: number } | undefined
  readonly tag?: string | undefined
}

const about = (operation: string, sandboxId: string, missing?: SandboxErrorCode, refused?: SandboxErrorCode) => ({
  operation,
  effect: "once" as const,
  sandboxId,
  missing,
  refused
})

/**
 * Starts it and gives what happens to it. Closing the connection does not end it.
 */
export const start = (client: Client, program: Program): Stream.Stream<ProcessMessage, RequestError> => {
  const [cmd = "", ...args] = program.args
  const { cwd, operation, sandboxId } = program
  return Stream.catchAll(
    Calls.streaming(
      client,
      about(operation, sandboxId, "file_not_found", "start_failed"),
      `${SERVICE}/Start`,
      {
        process: { cmd, args, cwd, envs: program.envs ?? {} },
        stdin: program.stdin ?? false,
        ...program.pty === undefined ? {} : { pty: { size: program.pty } },
        ...program.tag === undefined ? {} : { tag: program.tag }
      },
      ProcessMessage
    ),
    // There is no such program, or no such folder: a look at the folder says which.
    (error) =>
      error._tag !== "SandboxError" || (error.code !== "file_not_found" && error.code !== "permission_denied")
        ? Stream.fail(error)
        : Stream.fromEffect(Effect.flatMap(
          Effect.either(
            Calls.unary(
              client,
              { ...about(operation, sandboxId, "file_not_found"), effect: "none" },
              "filesystem.Filesystem/Stat",
              { path: cwd },
              OneEntry
            )
          ),
          (found) =>
            Effect.fail(
              new SandboxError({
                code: error.code,
                sandboxId,
                message: error.message,
                field: found._tag === "Left" ? "cwd" : "args"
              })
            )
        ))
  )
}

/**
 * What happens from now on to a process that runs.
 */
export const connect = (
  client: Client,
  operation: string,
  sandboxId: string,
  pid: number
): Stream.Stream<ProcessMessage, RequestError> =>
  Calls.streaming(
    client,
    { ...about(operation, sandboxId, "execution_not_found"), effect: "none" },
    `${SERVICE}/Connect`,
    { process: { pid } },
    ProcessMessage
  )

/**
 * The processes that run.
 */
export const list = (client: Client, sandboxId: string): Effect.Effect<typeof Processes.Type, RequestError> =>
  Calls.unary(
    client,
    { operation: "listProcesses", effect: "none", sandboxId },
    `${SERVICE}/List`,
    {},
    Processes
  )

/**
 * A call about a process that runs.
 */
export const tell = (
  client: Client,
  operation: string,
  sandboxId: string,
  pid: number,
  method: "SendInput" | "CloseStdin" | "SendSignal" | "Update",
  message: object = {},
  refused?: SandboxErrorCode
): Effect.Effect<void, RequestError> =>
  Effect.asVoid(
    Calls.unary(
      client,
      {
        ...about(operation, sandboxId, "process_ended", refused),
        // A program may take its time to read.
        ...method === "SendInput" ? { limitTime: (request) => request } : {}
      },
      `${SERVICE}/${method}`,
      { process: { pid }, ...message },
      Calls.Nothing
    )
  )

/**
 * Ends a process and all that it has started, as far as the server ends that too.
 */
export const kill = (client: Client, operation: string, sandboxId: string, pid: number): Effect.Effect<void> =>
  Effect.ignore(tell(client, operation, sandboxId, pid, "SendSignal", { signal: "SIGNAL_SIGKILL" }))

/**
 * Makes events of messages: from `Started`, when the process runs, to `Ended`. `begun` is told its pid.
 */
export const toEvents = (
  about: { readonly sandboxId: string; readonly executionId: (pid: number) => string },
  maxOutputSize: number | undefined,
  begun: (pid: number) => Effect.Effect<void>
) =>
(messages: Stream.Stream<ProcessMessage, RequestError>): Stream.Stream<TerminalEvent, RequestError> =>
  Stream.suspend(() => {
    const output = Output.make(maxOutputSize)
    let seq = 0
    let since = 0

    const text = (name: "stdout" | "stderr", decoded: DecodedText | undefined, now: number): Array<TerminalEvent> =>
      decoded === undefined
        ? []
        : [{ _tag: name === "stdout" ? "Stdout" : "Stderr", seq: seq++, ...decoded, timestamp: now * 1_000 }]

    const read = ({ event }: ProcessMessage, now: number): Array<TerminalEvent> => {
      if (event?.start !== undefined) {
        since = now
        const executionId = about.executionId(event.start.pid)
        return [{ _tag: "Started", seq: seq++, executionId, sandboxId: about.sandboxId, timestamp: now }]
      }
      if (event?.data !== undefined) {
        const { pty, stderr, stdout } = event.data
        const shown = stdout ?? pty
        return [
          ...shown === undefined ? [] : text("stdout", output.push("stdout", shown), now),
          ...stderr === undefined ? [] : text("stderr", output.push("stderr", stderr), now)
        ]
      }
      if (event?.end === undefined) return []
      const rest = [...text("stdout", output.end("stdout"), now), ...text("stderr", output.end("stderr"), now)]
      const dropped = output.dropped()
      return [...rest, {
        _tag: "Ended",
        seq: seq++,
        duration: Math.max(0, now - since),
        timestamp: now,
        exitCode: exitCodeOf(event.end),
        ...dropped === undefined ? {} : { dropped }
      }]
    }

    return messages.pipe(
      Stream.mapEffect((message) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const pid = message.event?.start?.pid
          return Effect.as(pid === undefined ? Effect.void : begun(pid), read(message, now))
        })
      ),
      Stream.flattenIterables
    )
  })
