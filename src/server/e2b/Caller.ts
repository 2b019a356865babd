/**
 * On whose behalf, and about which sandbox, a request is.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CurrentUser } from "../../CurrentUser.js"
import type { RequestError } from "../../Errors.js"
import { FileReach } from "../../internal/fileReach.js"
import * as Quotas from "../../Quotas.js"
import type { SandboxInfo } from "../../SandboxInfo.js"
import type { Service } from "../../SandboxSDK.js"
import { Active } from "../Active.js"
import { ApiKeys, type KnownKey, wasRevoked } from "../ApiKeys.js"
import { metered } from "../Metered.js"
import { OpenStreams } from "../OpenStreams.js"
import { sandboxOf } from "./Addressed.js"
import { answerGone, answerPlain, isGone } from "./Failures.js"
import { Tokens } from "./Tokens.js"

type Response = HttpServerResponse.HttpServerResponse
type Request = HttpServerRequest.HttpServerRequest

/**
 * Turns an error into an answer.
 */
export type Answerer = (error: RequestError, request: Request) => Response

/** What a stream is run with when the handler has long returned. */
const asUser = (userId: string) => (response: Response): Response =>
  response.body._tag === "Stream"
    ? HttpServerResponse.setBody(
      response,
      HttpBody.stream(
        response.body.stream.pipe(
          Stream.provideService(CurrentUser, userId),
          Stream.provideService(FileReach, "sandbox")
        ),
        response.body.contentType,
        response.body.contentLength
      )
    )
    : response

/**
 * Makes what lets requests in.
 */
export const make = Effect.gen(function*() {
  const active = yield* Active
  const keys = yield* ApiKeys
  const openStreams = yield* OpenStreams
  const quotas = yield* Quotas.Quotas
  const tokens = yield* Tokens

  /** Goes on as this caller, for as long as the key is known. */
  const goOn = <R>(caller: KnownKey, handler: Effect.Effect<Response, RequestError, R>) =>
    Effect.gen(function*() {
      if (yield* keys.required) {
        yield* Effect.flatMap(active.cutOff, (cutOff) => keys.whileKnown(caller.id, cutOff(wasRevoked)))
      }
      yield* quotas.request(caller.user)
      return asUser(caller.user)(
        yield* handler.pipe(
          Effect.provideService(CurrentUser, caller.user),
          // E2B's programs use files anywhere, as their code does.
          Effect.provideService(FileReach, "sandbox")
        )
      )
    })

  return {
    /** A request to the control plane: by its API key. */
    byKey: <R>(handler: (caller: KnownKey) => Effect.Effect<Response, RequestError, R>) =>
      Effect.gen(function*() {
        const { headers } = yield* HttpServerRequest.HttpServerRequest
        const caller = yield* tokens.ofKey(headers["x-api-key"])
        return yield* goOn(caller, handler(caller))
      }).pipe(Effect.catchAll((error: RequestError) => Effect.succeed(answerPlain(error)))),

    /** A request to a sandbox: by the token of that sandbox. One that is not there is answered as a gateway does. */
    byToken: <R>(
      sdk: Service,
      handler: (id: string, request: Request, sandbox: SandboxInfo) => Effect.Effect<Response, RequestError, R>,
      answer: Answerer = (error) => answerPlain(error)
    ): Effect.Effect<Response, never, R | Scope.Scope | Request> =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const { headers } = request
        const id = sandboxOf(headers) ?? ""
        const caller = yield* tokens.ofToken(id, headers["x-access-token"] ?? headers["e2b-traffic-access-token"])
        const found = Effect.flatMap(sdk.getSandbox(id), (sandbox) => handler(id, request, sandbox))
        return yield* goOn(caller, found).pipe(
          Effect.catchAll((error) => Effect.succeed(isGone(error) ? answerGone(id) : answer(error, request)))
        )
      }).pipe(
        Effect.catchAll((error: RequestError) =>
          Effect.map(HttpServerRequest.HttpServerRequest, (request) => answer(error, request))
        )
      ),

    goOn,

    /** Counts the answer among the open streams of the user, until the request ends. */
    streaming: Effect.flatMap(CurrentUser, openStreams.enter),

    /** Counts the request among the executions of the user, until it ends. */
    executing: Effect.flatMap(CurrentUser, quotas.execution),

    /** What lets the bytes of an upload through, as far as the user may store them. */
    metered: (sdk: Service) =>
      Effect.flatMap(
        CurrentUser,
        (user) => metered(quotas, user, Effect.map(sdk.getUsage(), ({ storageBytes }) => storageBytes))
      ),

    /** Fails with `quota_exceeded` when the user may not store so many bytes more. */
    storing: (sdk: Service, more: number) =>
      Effect.flatMap(
        CurrentUser,
        (user) => quotas.storage(user, Effect.map(sdk.getUsage(), ({ storageBytes }) => storageBytes), more)
      )
  }
})

/**
 * What lets requests in.
 */
export type Caller = Effect.Effect.Success<typeof make>
