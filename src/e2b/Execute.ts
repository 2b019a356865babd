/**
 * The answer of `/execute`: one JSON text a line, the last of which says that it is the last.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ConnectionError, type RequestError, SandboxError, type SandboxErrorCode, TimeoutError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import { misshapen, undecodable } from "../remote/Failures.js"
import { makeLineCutter } from "../remote/Records.js"
import type { Client } from "./Client.js"
import * as Output from "./Output.js"
import { ExecuteRecord, ResultRecord } from "./Protocol.js"

/**
 * A run.
 */
export interface Execute {
  readonly operation: string
  readonly sandboxId: string
  readonly executionId: string
  readonly code: string
  /** Its id as the server has it, and as the caller has it. */
  readonly context: { readonly id: string; readonly joined: string } | undefined
  readonly language: string | undefined
  readonly envs: Readonly<Record<string, string>> | undefined
  readonly maxOutputSize: number | undefined
}

/** Errors that no code has raised: the server tells by them why a run has not come to its end. */
const OF_THE_SERVER: Readonly<Record<string, SandboxErrorCode>> = {
  UnexpectedEndOfExecution: "kernel_died",
  WebSocketError: "kernel_died",
  ContextRestarting: "kernel_died",
  ExecutionAborted: "cancelled"
}

const decodeRecord = Schema.decodeEither(Schema.parseJson(ExecuteRecord))
const decodeResult = Schema.decodeUnknownEither(ResultRecord)

/** An event without its number. */
type Unnumbered = ExecutionEvent extends infer Event ? Event extends ExecutionEvent ? Omit<Event, "seq"> : never : never

/** What a line stands for. */
interface Told {
  readonly events: ReadonlyArray<Unnumbered>
  readonly end?: Option.Option<RequestError>
}

/** The clock of the server, in microseconds, where it says. */
const timeOf = (timestamp: unknown, now: number): number =>
  typeof timestamp === "number" && timestamp > 1e14 ? timestamp : now * 1_000

/** By which name a time limit is told that the server has kept. */
const isTimeout = (name: string): boolean => name === "TimeoutError"

/**
 * The events of a run, from `Started` to `Ended`. Closing the stream closes the connection, whereupon the server
 * interrupts the code.
 */
export const execute = (client: Client, run: Execute): Stream.Stream<ExecutionEvent, RequestError> => {
  const { peer } = client
  const { sandboxId } = run
  const request = HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post("/execute"), {
    code: run.code,
    ...run.context === undefined ? {} : { context_id: run.context.id },
    ...run.language === undefined ? {} : { language: run.language },
    ...run.envs === undefined ? {} : { env_vars: run.envs }
  })

  const tell = (output: Output.Output, line: string, now: number, start: number): Told => {
    const read = decodeRecord(line)
    if (Either.isLeft(read)) {
      return { events: [], end: Option.some(misshapen(peer, read.left.issue, "record")) }
    }
    const record = read.right
    switch (record.type) {
      case "stdout":
      case "stderr": {
        const decoded = output.pushText(record.type, record.text)
        return {
          events: decoded === undefined
            ? []
            : [{
              _tag: record.type === "stdout" ? "Stdout" : "Stderr",
              ...decoded,
              timestamp: timeOf(record.timestamp, now)
            }]
        }
      }
      case "number_of_executions":
        return { events: [{ _tag: "ExecutionCount", executionCount: record.execution_count }] }
      case "error": {
        const { name, traceback, value } = record
        const code = traceback === "" && Object.hasOwn(OF_THE_SERVER, name) ? OF_THE_SERVER[name] : undefined
        if (code !== undefined) {
          return { events: [], end: Option.some(new SandboxError({ code, message: value, sandboxId })) }
        }
        return traceback === "" && isTimeout(name)
          ? {
            events: [],
            end: Option.some(
              new TimeoutError({ message: value, timeoutMs: Math.max(0, now - start), operation: "execution" })
            )
          }
          : { events: [{ _tag: "Error", error: { name, value, traceback } }] }
      }
      case "result": {
        const { type: _, ...raw } = record
        const result = decodeResult(raw)
        return Either.isLeft(result)
          ? { events: [], end: Option.some(misshapen(peer, result.left.issue, "record")) }
          : { events: [{ _tag: "Result", result: result.right }] }
      }
      case "unexpected_end_of_execution":
        return {
          events: [],
          end: Option.some(
            new SandboxError({ code: "kernel_died", sandboxId, message: "The interpreter ended before the code did." })
          )
        }
      case "end_of_execution": {
        const dropped = output.dropped()
        return {
          events: [{
            _tag: "Ended",
            duration: Math.max(0, now - start),
            timestamp: now,
            ...dropped === undefined ? {} : { dropped }
          }],
          end: Option.none()
        }
      }
      case "keepalive":
        return { events: [] }
    }
  }

  return Stream.unwrap(Effect.map(Clock.currentTimeMillis, (start) => {
    const cutter = makeLineCutter()
    const output = Output.make(run.maxOutputSize)
    let seq = 0
    let end: Option.Option<RequestError> | undefined
    const number = (event: Unnumbered): ExecutionEvent => ({ ...event, seq: seq++ })

    const cutOff = Stream.suspend(() =>
      end !== undefined ? Stream.empty : Stream.fail(
        new ConnectionError({
          message: `The connection to ${peer.url} ended before the run did: nobody knows whether it came to its end.`,
          url: peer.url
        })
      )
    )

    const events = client.stream(
      { operation: run.operation, effect: "once", sandboxId, missing: "context_not_found" },
      "code",
      request,
      true
    ).pipe(
      Stream.mapEffect((piece) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const found: Array<ExecutionEvent> = []
          const lines = cutter.push(piece)
          if (Either.isLeft(lines)) {
            end ??= Option.some(undecodable(peer, "sent bytes that are no UTF-8."))
            return found
          }
          for (const line of lines.right) {
            if (end !== undefined) break
            if (line.trim() === "") continue
            const told = tell(output, line, now, start)
            found.push(...told.events.map(number))
            end = told.end
          }
          return found
        })
      ),
      Stream.takeUntil(() => end !== undefined),
      Stream.flattenIterables,
      Stream.concat(
        Stream.suspend(() => end !== undefined && Option.isSome(end) ? Stream.fail(end.value) : Stream.empty)
      ),
      Stream.concat(cutOff)
    )
    const started = number({
      _tag: "Started",
      executionId: run.executionId,
      sandboxId,
      timestamp: start,
      ...run.context === undefined ? {} : { contextId: run.context.joined }
    })
    return Stream.concat(Stream.succeed(started), events)
  }))
}
