/**
 * What the handlers of all groups share: whose request it is, and what may be told of it.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Stream from "effect/Stream"
import { Caller } from "../Api.js"
import { CurrentUser } from "../CurrentUser.js"
import type { SandboxSDKError } from "../Errors.js"
import type { ExecutionInfo } from "../ExecutionInfo.js"
import type { Service } from "../SandboxSDK.js"
import { Active, type ActiveService } from "./Active.js"
import { Idempotency } from "./Idempotency.js"
import { OpenStreams } from "./OpenStreams.js"
import { type Problem, problem } from "./Problem.js"

/** The answer to what gives nothing back. */
export const done = { success: true } as const

/**
 * Does something on behalf of the user whose API key the request bears.
 */
export const asCaller = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Caller> =>
  Effect.flatMap(Caller, ({ userId }) => Effect.provideService(effect, CurrentUser, userId))

/**
 * Provides for all that this fiber still does: it is that of one request, so that nothing has to be taken back. To provide for
 * a part of it costs twenty steps.
 */
export const provideForRest = <A>(services: Context.Context<A>): Effect.Effect<void> =>
  FiberRef.update(FiberRef.currentContext, Context.merge(services))

/**
 * Which sandbox it is about: the span and all that is logged from now on say so.
 */
export const tellSandbox = (sandboxId: string): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.annotateCurrentSpan({ sandboxId }),
    // The fiber is that of this one request, so that nothing has to be taken back.
    FiberRef.update(FiberRef.currentLogAnnotations, HashMap.set<string, unknown>("sandboxId", sandboxId))
  )

/**
 * Does something about one sandbox, on behalf of the user whose API key the request bears.
 */
export const about = (sandboxId: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.zipRight(tellSandbox(sandboxId), asCaller(effect))

/**
 * A stream on behalf of the user whose API key the request bears, wherever it will be run.
 */
export const streamAsCaller = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Caller, ({ userId }) => Stream.provideService(stream, CurrentUser, userId))

/**
 * Counts the answer among the open streams of the user, until the request ends.
 */
export const openStream = Effect.flatMap(
  Caller,
  ({ userId }) => Effect.flatMap(OpenStreams, ({ enter }) => enter(userId))
)

/** What a request is called that a user has given a key: no other user can mean the same. */
export const nameOf = (userId: string, key: string) => `${userId}\n${key}`

const MAX_KEY_LENGTH = 255

const isKey = (key: string): boolean => key !== "" && key.length <= MAX_KEY_LENGTH

/**
 * The `Idempotency-Key` of a request, if it has one.
 */
export const keyOf = (request: HttpServerRequest.HttpServerRequest): Effect.Effect<string | undefined, Problem> => {
  const key = request.headers["idempotency-key"]
  return key === undefined || isKey(key)
    ? Effect.succeed(key)
    : Effect.fail(
      problem(400, `Idempotency-Key must have 1 to ${MAX_KEY_LENGTH} characters.`, { field: "idempotency-key" })
    )
}

/**
 * Lets the request be stopped by its `Idempotency-Key`, if it has one.
 */
export const stoppable = (
  { name }: ActiveService,
  userId: string,
  request: HttpServerRequest.HttpServerRequest
): Effect.Effect<void, SandboxSDKError> =>
  Effect.flatMap(Effect.orDie(keyOf(request)), (key) => key === undefined ? Effect.void : name(nameOf(userId, key)))

const isUnderWay = ({ status }: ExecutionInfo): boolean => status === "queued" || status === "running"

/** Ends a run for certain, also when it goes on without the request that has started it; whether there was one. */
const cancel = (sdk: Service, executionId: string) =>
  asCaller(Effect.gen(function*() {
    const wasUnderWay = isUnderWay(yield* sdk.getExecution(executionId))
    yield* sdk.cancelExecution(executionId)
    return wasUnderWay
  })).pipe(
    Effect.catchTag(
      "SandboxError",
      (error) => error.code === "execution_not_found" ? Effect.succeed(false) : Effect.fail(error)
    )
  )

/**
 * Stops the request of this user that has the key, and what it has started.
 */
export const stop = (sdk: Service, key: string) =>
  Effect.gen(function*() {
    const { userId } = yield* Caller
    const active = yield* Active
    const { executionOf } = yield* Idempotency
    if (!isKey(key)) {
      return { stopped: false }
    }
    const hasStopped = yield* active.stop(nameOf(userId, key))
    const executionId = executionOf(userId, key)
    const hasCancelled = executionId !== undefined && (yield* cancel(sdk, executionId))
    return { stopped: hasStopped || hasCancelled }
  })

/**
 * How many bytes the files of the user take whose API key the request bears.
 */
export const storedBytes = (sdk: Service) => asCaller(Effect.map(sdk.getUsage(), (usage) => usage.storageBytes))
