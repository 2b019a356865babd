/**
 * Runs whose answer is a stream: started, or found again by the key of the request that has started them.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Caller } from "../Api.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import { ExecutionHooks, type Hooks } from "../internal/executionHooks.js"
import type { AttachOptions } from "../Options.js"
import { Active } from "./Active.js"
import * as Admission from "./Admission.js"
import { debug } from "./Debug.js"
import { provideForRest } from "./Handlers.js"
import { CurrentKey, Idempotency, type Keyed, type RunClaim } from "./Idempotency.js"
import { OpenStreams } from "./OpenStreams.js"
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

/**
 * Who asks for it, by which key, and what the request is known by when it is made again.
 */
export interface Asking extends Admission.Asking {
  readonly keyed: Keyed | undefined
}

/**
 * Who asks, as the router has found it out.
 */
export const asking: Effect.Effect<Asking, never, Caller> = Effect.flatMap(
  Caller,
  (caller) => Effect.map(CurrentKey, (keyed) => ({ ...caller, keyed }))
)

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

/** Lets a scope do something once, at its end at the latest. */
const onceIn = (scope: Scope.Scope, effect: Effect.Effect<void>): Effect.Effect<Effect.Effect<void>> => {
  let isDone = false
  const once = Effect.suspend(() => {
    if (isDone) {
      return Effect.void
    }
    isDone = true
    return effect
  })
  return Effect.as(Scope.addFinalizer(scope, once), once)
}

/**
 * Makes what answers with runs: with the events of one, or a part of them. With a key the run survives the connection for a
 * while; whoever comes back with that key finds it.
 */
export const make = Effect.gen(function*() {
  const admit = yield* Admission.make
  const openStreams = yield* OpenStreams
  const { run: claimRun } = yield* Idempotency
  const settings = yield* Settings
  const records = Streams.recordsOf(yield* Active, settings)

  /** Begun for certain, counted as an execution from now to its end. */
  const begin = (run: Pick<Run<never>, "cancel">, asking: Asking, claim: Fresh, scope: Scope.Scope) =>
    Effect.flatMap(admit(asking, run.cancel), (admission) => {
      let isHooked = false
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
      /** Nothing comes any more: what is still known of a run without hooks ends with its events. */
      const over = Effect.suspend(() => {
        if (!isHooked) {
          claim.ended()
          admission.ended()
        }
        return claim.release
      }).pipe(Effect.uninterruptible)
      // The scope of the request closes after its stream, whichever way that ends.
      return Effect.map(onceIn(scope, over), (over) => ({ hooks, over, witness }))
    })

  return <A extends Begins>(run: Run<A>, asking: Asking) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const { keyed, userId } = asking
        const scope = yield* Effect.scope
        const segment = yield* Effect.orDie(segmentOf(run.request))
        const leave = yield* openStreams.take(userId)
        yield* Scope.addFinalizer(scope, Effect.sync(leave))
        const hold = segment?.reader
        const claim = keyed === undefined ? unclaimed : yield* restore(claimRun(keyed))
        const respond = (
          stream: Stream.Stream<A, RequestError>,
          watch?: Streams.RecordOptions<A>["watch"]
        ) => records(run.request, stream, { ...run.events, format: run.format, segment, watch })
        if (claim._tag === "Known") {
          yield* provideForRest(Context.make(CurrentUser, userId))
          return yield* restore(respond(run.follow(claim.executionId, { hold })))
        }
        const outlives = keyed !== undefined || segment !== undefined
        const lifetime = {
          hold,
          detachGraceMs: outlives ? run.lifetime.detachGraceMs || settings.detachGraceMs : run.lifetime.detachGraceMs
        }
        const { hooks, over, witness } = yield* Effect.onError(begin(run, asking, claim, scope), () => claim.release)
        yield* provideForRest(Context.add(Context.make(CurrentUser, userId), ExecutionHooks, hooks))
        return yield* restore(respond(run.start(lifetime), (pull) =>
          Effect.matchCauseEffect(pull, {
            onFailure: (cause) => Effect.zipRight(over, Effect.failCause(cause)),
            onSuccess: (chunk) => {
              const event = chunk.length === 0 ? undefined : Chunk.unsafeGet(chunk, 0)
              return beginning(event) === undefined ? Effect.succeed(chunk) : Effect.as(witness(event), chunk)
            }
          }))).pipe(
            Effect.catchAllCause((cause) => Effect.zipRight(claim.release, Effect.failCause(cause)))
          )
      })
    )
})

/**
 * Answers with runs.
 */
export type Answer = Effect.Effect.Success<typeof make>
