/**
 * Streams of events that outlive their connections. The events come in parts: each answer is read to its end, into bounded
 * memory, however slow the consumer is; then the next part is asked for, which tells the server what has arrived. An answer
 * that breaks off is no more than a part that ends early: what lies after the last event that has arrived is asked for.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import type * as Stream from "effect/Stream"
import * as Fields from "../api/Headers.js"
import { NDJSON } from "../api/Streams.js"
import { ConnectionError, type RequestError, SandboxError, SandboxSDKError } from "../Errors.js"
import { makeInbox } from "../internal/inbox.js"
import * as Pulls from "../internal/pulls.js"
import type { Answer, Client } from "./Client.js"
import { fold, type Peer, undecodable } from "./Failures.js"
import { makeReader, type RecordDecoder } from "./Records.js"
import { events, type Route } from "./Route.js"
import { limitOf, silent } from "./Silence.js"

/** What one answer has, in bytes of events. Not more than twice of it waits for the consumer. */
const PART_BYTES = 4 * 1024 * 1024

/** How often the server says that it is there, where it has not told. */
const DEFAULT_HEARTBEAT_MS = 5_000

/** How long the end of an answer is waited for after its last record, so that the connection can be used again. */
const SETTLE_MS = 100

/** Any event. The first one of an execution says which it is. */
interface Event {
  readonly _tag: string
  readonly seq: number
  readonly executionId?: string | undefined
}

/**
 * A stream of events: `start` begins what they tell of, or it has an id already, and the events after a number are wanted.
 */
export interface Resumable<A> {
  readonly operation: string
  /** The key of the request that starts it, and the name of who reads. */
  readonly key: string
  readonly decode: RecordDecoder<A>
  readonly isLast: (event: A) => boolean
  readonly from:
    | { readonly start: Effect.Effect<Either.Either<Route, ParseResult.ParseError>, RequestError> }
    | { readonly executionId: string; readonly after: number }
}

const beginning = ({ _tag, executionId }: Event): string | undefined =>
  _tag === "Started" || _tag === "BatchStarted" ? executionId : undefined

/** A server that does not know what it has begun has lost it. */
const forgotten = (peer: Peer, error: RequestError): RequestError =>
  error._tag !== "SandboxError"
    ? error
    : error.code === "execution_not_found"
    ? new SandboxError({
      code: "outcome_unknown",
      message:
        `${peer.url} knows this run no more: it was restarted, or could not be reached for too long. Nobody knows ` +
        "whether the run came to its end."
    })
    : error.code === "events_lost"
    ? new ConnectionError({
      message: `The connection to ${peer.url} broke too long ago: ${error.message}`,
      url: peer.url
    })
    : error

/** How an answer has ended, if it did not fail. */
type End = "complete" | "continues" | "broken" | { readonly failed: RequestError }

/**
 * The events, each of them once and in order. Fails when the execution fails; with `ConnectionError` when the connection
 * broke and could not be made again within the retries, whose number counts anew whenever something has arrived; and with
 * `SandboxError` `outcome_unknown` when the server has lost what it was.
 */
export const resumable = <A extends Event>(
  client: Client,
  { decode, from, isLast, key, operation }: Resumable<A>
): Stream.Stream<A, RequestError> =>
  client.limitStream(Pulls.makeIn((scope) =>
    Effect.suspend(() => {
      const { metrics, peer } = client
      let executionId = "start" in from ? undefined : from.executionId
      let after = "start" in from ? -1 : from.after
      let heartbeatMs = DEFAULT_HEARTBEAT_MS
      let isBroken = false
      // Until a connection has broken: then each piece of an answer is worth having.
      let readsWhole = true
      let waiting = 0
      let wake: (() => void) | undefined

      const inbox = makeInbox<A, RequestError>((taken) => {
        waiting -= taken
        wake?.()
      })

      /** Takes in what has arrived, but for what was there before; whether it is complete up to here. */
      const accept = (events: ReadonlyArray<A>, bytes: number): boolean => {
        let weight = bytes
        for (const event of events) {
          if (event.seq > after + 1) {
            return false
          }
          if (event.seq === after + 1) {
            after = event.seq
            executionId ??= beginning(event)
            waiting += weight
            inbox.push(event, weight)
            weight = 0
          }
        }
        return true
      }

      const silenceMs = () => limitOf(heartbeatMs)

      const read = (answer: Answer): Effect.Effect<End, RequestError> =>
        Effect.suspend(() => {
          const before = after
          const reader = makeReader(decode, { peer, isLast })
          const { finish, isWhole, next, within } = answer
          heartbeatMs = Option.getOrElse(answer.heartbeatMs, () => heartbeatMs)
          const taken = isBroken ? metrics.resumed(operation) : Effect.void
          isBroken = false

          const ended = Option.getOrElse(() => reader.cutOff())
          const pull = Option.isNone(answer.heartbeatMs)
            ? Effect.mapError(next, ended)
            : Effect.matchEffect(within(silenceMs()), {
              onFailure: (end) => Effect.fail(ended(end)),
              onSuccess: (pieces) =>
                pieces === undefined ? Effect.fail(silent(peer, silenceMs())) : Effect.succeed(pieces)
            })

          /** What is left of the answer, if it ends soon. */
          const settle = (deadline: number): Effect.Effect<void> =>
            Effect.flatMap(Clock.currentTimeMillis, (now) =>
              now >= deadline ? Effect.void : Effect.matchEffect(within(deadline - now), {
                onFailure: () => Effect.void,
                onSuccess: () => settle(deadline)
              }))

          const toEnd = Effect.gen(function*(): Effect.fn.Return<End, RequestError> {
            yield* taken
            for (;;) {
              const pieces = yield* pull
              let bytes = 0
              for (const piece of pieces) {
                bytes += piece.length
              }
              yield* metrics.bytes("out", bytes)
              const { end, records } = reader.push(pieces)
              if (!accept(records, bytes)) {
                return { failed: undecodable(peer, "left out events.") }
              }
              if (Either.isLeft(end)) {
                return { failed: end.left }
              }
              if (end.right !== "open") {
                yield* isWhole
                  ? Effect.sync(finish)
                  : Effect.flatMap(Clock.currentTimeMillis, (now) => settle(now + SETTLE_MS))
                return end.right
              }
            }
          })

          return toEnd.pipe(
            Effect.catchAll((error): Effect.Effect<End, RequestError> => {
              isBroken = true
              readsWhole = false
              // Something has arrived, or may have: what follows is a new attempt, and not a further one.
              return error._tag === "ConnectionError" && (after > before || isWhole) && answer.isResumable
                ? Effect.succeed("broken")
                : Effect.fail(error)
            })
          )
        })

      const opening = () => ({ ms: silenceMs(), late: () => silent(peer, silenceMs()) })

      const headersOf = (bytes: number) => ({ [Fields.SEGMENT]: String(bytes), [Fields.READER]: key })

      const next = () => events(executionId ?? "", after)

      const part = Effect.suspend(() => {
        const common = { operation, accept: NDJSON, headers: headersOf(PART_BYTES) }
        return executionId === undefined && "start" in from
          ? Effect.flatMap(
            from.start,
            Either.match({
              onLeft: (error) => Effect.fail(fold(peer)(error)),
              onRight: (route) => client.answer({ ...common, effect: "once", key }, route, !readsWhole, read)
            })
          )
          : client.answer({ ...common, effect: "none", opening: opening() }, next(), !readsWhole, read).pipe(
            Effect.mapError((error) => "start" in from || after > from.after ? forgotten(peer, error) : error)
          )
      })

      /** While the consumer is slow, nothing is asked for but that somebody is there. */
      const room: Effect.Effect<void> = Effect.suspend(() => {
        const hasRoom = () => waiting <= PART_BYTES / 2
        if (hasRoom()) {
          return Effect.void
        }
        const emptier = Effect.async<void>((resume) => {
          // Since the look that found none, this fiber may have given way to the consumer.
          if (hasRoom()) return resume(Effect.void)
          wake = () => resume(Effect.void)
          return Effect.sync(() => {
            wake = undefined
          })
        })
        const show = client.answer(
          { operation, effect: "none", accept: NDJSON, headers: headersOf(0), opening: opening(), onlyOnce: true },
          next(),
          true,
          () => Effect.void
        )
        return Effect.timeoutOption(emptier, heartbeatMs).pipe(
          Effect.flatMap((isEmptier) => Option.isSome(isEmptier) ? Effect.void : Effect.ignore(show)),
          Effect.zipRight(room)
        )
      })

      const all: Effect.Effect<void, RequestError> = Effect.flatMap(Effect.zipRight(room, part), (end) => {
        if (typeof end === "object") {
          return Effect.fail(end.failed)
        }
        return end === "complete" ? Effect.void : all
      })

      const reading = all.pipe(
        Effect.matchCause({
          onFailure: (cause) =>
            inbox.fail(Option.getOrElse(
              Cause.failureOption(cause),
              () => new SandboxSDKError({ code: "internal", message: `${operation}: the stream died.`, cause })
            )),
          onSuccess: () => inbox.end()
        })
      )
      return Effect.zipRight(Effect.forkIn(reading, scope), Pulls.toPullIn(inbox.stream, scope))
    })
  ))
