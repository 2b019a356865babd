/**
 * The processes that were started here, and what they have written: the protocol tells that once, to whoever listens, so
 * it is kept here for those who come later.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConnectionError, type RequestError } from "../Errors.js"
import type { TerminalEvent } from "../Execution.js"
import { EVENT_COST, type EventLog, makeEventLog } from "../internal/eventLog.js"
import type { ProcessInfo } from "../Process.js"

/** How much is kept that nobody has read, in bytes. */
const LOG_BYTES = 8 * 1024 * 1024

/** For how long a process that has ended can be read. */
const RETENTION = Duration.minutes(5)

/**
 * A process.
 */
export interface Kept {
  info: ProcessInfo
  readonly log: EventLog<TerminalEvent, RequestError>
}

/**
 * The processes.
 */
export interface Programs {
  readonly find: (executionId: string) => Kept | undefined
  /** Follows the events of a process in a fiber of its own, and gives it when it has begun. */
  readonly keep: (
    describe: (pid: number, startedAt: number) => ProcessInfo,
    events: (begun: (pid: number) => Effect.Effect<void>) => Stream.Stream<TerminalEvent, RequestError>
  ) => Effect.Effect<ProcessInfo, RequestError>
}

const weightOf = (event: TerminalEvent): number =>
  event._tag === "Stdout" || event._tag === "Stderr"
    ? EVENT_COST + event.text.length * 2 + (event.base64?.length ?? 0)
    : EVENT_COST

const sizeOf = (text: string): number => new TextEncoder().encode(text).length

/**
 * Makes it, for a server at `url`. What it follows ends with the scope, and no longer has a reader there then.
 */
export const make = (url: string): Effect.Effect<Programs, never, Scope.Scope> =>
  Effect.gen(function*() {
    const cutOff = (message: string) => new ConnectionError({ message, url })
    const scope = yield* Effect.scope
    const programs = new Map<string, Kept>()

    /** Adds what has happened. A reader that is slow is waited for; where there is none, what has no room is dropped. */
    const append = (log: EventLog<TerminalEvent, RequestError>) => {
      const dropped = { stdout: 0, stderr: 0 }
      const add = (event: TerminalEvent): Effect.Effect<void> =>
        Effect.suspend(() => {
          const weight = weightOf(event)
          const isOutput = event._tag === "Stdout" || event._tag === "Stderr"
          if (!isOutput || log.roomFor(weight) >= weight || log.isIdle()) {
            const lost = event._tag === "Ended" && dropped.stdout + dropped.stderr > 0
              ? {
                dropped: {
                  stdout: dropped.stdout + (event.dropped?.stdout ?? 0),
                  stderr: dropped.stderr + (event.dropped?.stderr ?? 0)
                }
              }
              : {}
            log.append({ ...event, ...lost, seq: log.next() }, weight)
            return Effect.void
          }
          if (log.readers() === 0) {
            dropped[event._tag === "Stdout" ? "stdout" : "stderr"] += sizeOf(event.text)
            return Effect.void
          }
          return Effect.zipRight(
            Effect.async<void>((resume) => log.onRoom(() => resume(Effect.void))),
            add(event)
          )
        })
      return add
    }

    return {
      find: (executionId) => programs.get(executionId),
      keep: (describe, events) =>
        Effect.gen(function*() {
          const begun = yield* Deferred.make<ProcessInfo, RequestError>()
          const log = makeEventLog<TerminalEvent, RequestError>(LOG_BYTES)
          const add = append(log)
          let executionId: string | undefined
          const follow = events(() => Effect.void).pipe(
            Stream.runForEach((event) => {
              if (event._tag !== "Started") return add(event)
              const info = describe(
                Number(event.executionId.slice(event.executionId.lastIndexOf("/") + 1)),
                event.timestamp
              )
              executionId = info.executionId
              programs.set(executionId, { info, log })
              return Effect.zipRight(add(event), Deferred.succeed(begun, info))
            }),
            Effect.onExit((exit) => {
              log.end(
                Exit.isFailure(exit) && Exit.isInterrupted(exit)
                  ? Exit.fail(cutOff("The layer that has followed the process is closed."))
                  : exit
              )
              return Exit.isSuccess(exit)
                ? Deferred.fail(begun, cutOff("The process has ended before it began."))
                : Deferred.failCause(begun, exit.cause)
            }),
            Effect.zipRight(Effect.sleep(RETENTION)),
            Effect.ensuring(Effect.sync(() => executionId !== undefined && programs.delete(executionId)))
          )
          const fiber = yield* Effect.forkIn(follow, scope)
          return yield* Effect.onInterrupt(Deferred.await(begun), () => Fiber.interrupt(fiber))
        })
    }
  })
