/**
 * envd's service `process.Process`.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { ExecutionEvent } from "../../Execution.js"
import type { ProcessInfo } from "../../Process.js"
import * as Connect from "./Connect.js"
import { malformed, unsupported } from "./Failures.js"
import { HOME } from "./Paths.js"

const Size = Schema.Struct({
  cols: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 80 }),
  rows: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 24 })
})

const Pty = Schema.Struct({ size: Schema.optional(Size) })

const Start = Schema.Struct({
  process: Schema.Struct({
    cmd: Schema.String,
    args: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
    envs: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
    cwd: Schema.optional(Schema.String)
  }),
  pty: Schema.optional(Pty),
  tag: Schema.optional(Schema.String),
  stdin: Schema.optional(Schema.Boolean)
})

const Selector = Schema.Struct({ pid: Schema.optional(Schema.NonNegativeInt), tag: Schema.optional(Schema.String) })

const Selected = Schema.Struct({ process: Selector })

const Base64 = Schema.Uint8ArrayFromBase64

const SendInput = Schema.Struct({
  process: Selector,
  input: Schema.Struct({ stdin: Schema.optional(Base64), pty: Schema.optional(Base64) })
})

const SendSignal = Schema.Struct({
  process: Selector,
  signal: Schema.Literal("SIGNAL_SIGTERM", "SIGNAL_SIGKILL", 15, 9)
})

const Update = Schema.Struct({ process: Selector, pty: Schema.optional(Pty) })

const nothing = HttpServerResponse.unsafeJson({})

/** Their clients have decoders that begin anew with every message of a terminal: bytes as they are. */
const bytesOf = ({ base64, text }: { readonly base64?: string | undefined; readonly text: string }): string =>
  base64 ?? Buffer.from(text).toString("base64")

const start = (pid: number) => ({ event: { start: { pid } } })

const toMessage = (isTerminal: boolean) => (event: ExecutionEvent): Option.Option<unknown> => {
  switch (event._tag) {
    case "Stdout":
      return Option.some({ event: { data: { [isTerminal ? "pty" : "stdout"]: bytesOf(event) } } })
    case "Stderr":
      return Option.some({ event: { data: { stderr: bytesOf(event) } } })
    case "Ended": {
      const { exitCode = 0 } = event
      const end = { exitCode, exited: true, status: `exit status ${exitCode}` }
      return Option.some({ event: { end: exitCode === 0 ? end : { ...end, error: `exit status ${exitCode}` } } })
    }
    default:
      return Option.none()
  }
}

const describe = ({ args, command, cwd, pid, tag }: ProcessInfo) => {
  const [cmd = "", ...rest] = args ?? ["/bin/bash", "-c", command ?? ""]
  return { config: { cmd, args: rest, envs: {}, cwd }, pid, ...tag === undefined ? {} : { tag } }
}

/**
 * Answers a call of the service.
 */
export const answer: Connect.Answerer = (sdk, id, method, request, limits) => {
  const find = ({ pid, tag }: typeof Selector.Type): Effect.Effect<ProcessInfo, RequestError> =>
    Effect.flatMap(sdk.listProcesses(id), (processes) => {
      const found = processes.find((one) => pid === undefined ? one.tag === tag : one.pid === pid)
      return found === undefined
        ? Effect.fail(
          new SandboxError({
            code: "execution_not_found",
            message: `There is no process ${
              pid === undefined ? `with the tag "${tag ?? ""}"` : `with the pid ${pid}`
            }.`,
            sandboxId: id
          })
        )
        : Effect.succeed(found)
    })

  const follow = (info: ProcessInfo, after?: number) =>
    Connect.stream(
      request,
      Stream.concat(
        Stream.succeed<unknown>(start(info.pid)),
        Stream.filterMap(
          sdk.attach(info.executionId, after === undefined ? {} : { after }),
          toMessage(info.pty !== undefined)
        )
      ),
      { event: { keepalive: {} } }
    )

  switch (method) {
    case "List":
      return Effect.map(
        sdk.listProcesses(id),
        (processes) => HttpServerResponse.unsafeJson({ processes: processes.map(describe) })
      )
    case "Start":
      return Effect.gen(function*() {
        const { process, pty, stdin, tag } = yield* Connect.opening(request, limits, Start)
        const timeoutMs = Connect.timeoutMs(request)
        const info = yield* sdk.startProcess(id, {
          args: [process.cmd, ...process.args],
          cwd: process.cwd === undefined || process.cwd === "" ? HOME : process.cwd.replace(/^~(?=\/|$)/, HOME),
          envs: { HOME, ...process.envs },
          // Before it could be said, it was always there.
          ...pty === undefined ? { stdin: stdin ?? true } : { pty: pty.size ?? { cols: 80, rows: 24 } },
          ...timeoutMs === undefined ? {} : { timeoutMs },
          ...tag === undefined || tag === "" ? {} : { tag }
        })
        return follow(info)
      })
    case "Connect":
      return Effect.gen(function*() {
        const info = yield* Effect.flatMap(Connect.opening(request, limits, Selected), ({ process }) => find(process))
        // What happens from now on, as it is there.
        const { lastSeq } = yield* sdk.getExecution(info.executionId)
        return follow(info, lastSeq)
      })
    case "SendInput":
      return Effect.gen(function*() {
        const { input, process } = yield* Connect.message(request, SendInput)
        const data = input.stdin ?? input.pty
        if (data === undefined) {
          return yield* malformed("input", "it must have `stdin` or `pty`.")
        }
        yield* Effect.flatMap(find(process), ({ executionId }) => sdk.writeStdin(executionId, data))
        return nothing
      })
    case "CloseStdin":
      return Effect.gen(function*() {
        const { process } = yield* Connect.message(request, Selected)
        yield* Effect.flatMap(find(process), ({ executionId }) => sdk.closeStdin(executionId))
        return nothing
      })
    case "SendSignal":
      return Effect.gen(function*() {
        const { process, signal } = yield* Connect.message(request, SendSignal)
        const name = signal === 9 || signal === "SIGNAL_SIGKILL" ? "SIGKILL" : "SIGTERM"
        yield* Effect.flatMap(find(process), ({ executionId }) => sdk.signalProcess(executionId, name))
        return nothing
      })
    case "Update":
      return Effect.gen(function*() {
        const { process, pty } = yield* Connect.message(request, Update)
        const size = pty?.size
        if (size !== undefined) {
          yield* Effect.flatMap(find(process), ({ executionId }) => sdk.resizeTerminal(executionId, size))
        }
        return nothing
      })
    case "StreamInput":
      return Effect.fail(unsupported("process.Process/StreamInput"))
    default:
      return undefined
  }
}
