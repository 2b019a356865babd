/**
 * Runs whose answer is a stream: started, or found again by the key of the request that has started them.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import { ExecutionHooks, type Hooks } from "../internal/executionHooks.js"
import type { AttachOptions } from "../Options.js"
import { admit } from "./Admission.js"
import { debug } from "./Debug.js"
import { openStream, streamAsCaller } from "./Handlers.js"
import { CurrentKey, Idempotency, type RunClaim } from "./Idempotency.js"
import { segmentOf } from "./Segments.js"
import { Settings } from "./Settings.js"
import * as Streams from "./Streams.js"

/**
 * How long a run goes on without anybody who reads, and for whom is kept what may not have arrived.
 */
export interface Lifetime {
  readonly detachGraceMs?: number | undefined
  readonly hold?: string | undefined
}

/**
 * A run.
 */
export interface Run<A> {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly events: Pick<Streams.RecordOptions<A>, "encode" | "id" | "isLast">
  readonly format: Streams.Format
  /** What the request says of it. */
  readonly lifetime: Lifetime
  readonly start: (lifetime: Lifetime) => Stream.Stream<A, RequestError>
  readonly follow: (executionId: string, from: AttachOptions) => Stream.Stream<A, RequestError>
  readonly cancel: (executionId: string) => Effect.Effect<unknown, RequestError>
}

/** Any event that says which execution has begun. */
interface Begins {
  readonly _tag: string
  readonly executionId?: string | undefined
  readonly sandboxId?: string | undefined
}

type Fresh = Extract<RunClaim, { readonly _tag: "Fresh" }>

/** A run that nobody can ask for again. */
const unclaimed: Fresh = { _tag: "Fresh", begun: () => undefined, ended: () => undefined, release: Effect.void }

/** Layers without hooks tell the id by the first event only. */
const beginning = (event: Begins | undefined): string | undefined =>
  event?._tag === "Started" || event?._tag === "BatchStarted" ? event.executionId : undefined

/**
 * Logs that one has begun.
 */
export const tellBegun = ({ executionId, sandboxId }: Pick<Begins, "executionId" | "sandboxId">): Effect.Effect<void> =>
  debug("An execution began.", () => ({ sandboxId, executionId }))

/** Begun for certain, counted as an execution from now to its end. */
const begin = (run: Pick<Run<never>, "cancel">, claim: Fresh) =>
  Effect.gen(function*() {
    const admission = yield* admit(run.cancel)
    let isHooked = false
    let isOver = false
    const hooks: Hooks = {
      created: (executionId) => {
        isHooked = true
        admission.begun(executionId)
        claim.begun(executionId)
      },
      ended: () => {
        claim.ended()
        admission.ended()
      }
    }
    /** Nothing comes any more: what is still known of a run without hooks ends with its events. */
    const over = Effect.suspend(() => {
      if (isOver) {
        return Effect.void
      }
      isOver = true
      if (!isHooked) {
        claim.ended()
        admission.ended()
      }
      return claim.release
    }).pipe(Effect.uninterruptible)
    const witness = (event: Begins | undefined): Effect.Effect<void> => {
      const executionId = beginning(event)
      if (executionId === undefined) {
        return Effect.void
      }
      if (!isHooked) {
        claim.begun(executionId)
      }
      return tellBegun({ executionId, sandboxId: event?.sandboxId })
    }
    // The scope of the request closes after its stream, whichever way that ends.
    yield* Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, over))
    return { hooks, over, witness }
  })

/**
 * The answer: the events of the run, or a part of them. With a key the run survives the connection for a while; whoever
 * comes back with that key finds it.
 */
export const answer = <A extends Begins>(run: Run<A>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const keyed = yield* CurrentKey
      const { run: claimRun } = yield* Idempotency
      const { detachGraceMs } = yield* Settings
      const segment = yield* Effect.orDie(segmentOf(run.request))
      const hold = segment?.reader
      yield* openStream
      const claim = keyed === undefined ? unclaimed : yield* restore(claimRun(keyed))
      const respond = (
        stream: Stream.Stream<A, RequestError>,
        watch?: Streams.RecordOptions<A>["watch"]
      ) => Streams.records(run.request, stream, { ...run.events, format: run.format, segment, watch })
      if (claim._tag === "Known") {
        return yield* restore(Effect.flatMap(streamAsCaller(run.follow(claim.executionId, { hold })), respond))
      }
      const outlives = keyed !== undefined || segment !== undefined
      const lifetime = {
        hold,
        detachGraceMs: outlives ? run.lifetime.detachGraceMs || detachGraceMs : run.lifetime.detachGraceMs
      }
      return yield* Effect.flatMap(begin(run, claim), ({ hooks, over, witness }) =>
        restore(respond(run.start(lifetime), (pull) =>
          Effect.matchCauseEffect(pull, {
            onFailure: (cause) =>
              Effect.zipRight(over, Effect.failCause(cause)),
            onSuccess: (chunk) => Effect.as(witness(chunk.length === 0 ? undefined : Chunk.unsafeGet(chunk, 0)), chunk)
          }))).pipe(
            Effect.provideService(ExecutionHooks, hooks)
          )).pipe(
          Effect.onError(() =>
            claim.release
          )
        )
    })
  )
