/**
 * The way of the requests that run something and want its events: they are most of all requests, and go past the router. What
 * a request is that takes it, is said here; it is carried out by what the router's handlers use as well, and whatever is out of
 * the ordinary goes the router's way and gets its answer from there.
 */
import type * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ExecuteRequest, TerminalRequest } from "../Api.js"
import { Code } from "../api/Code.js"
import type { RequestError } from "../Errors.js"
import { ApiKeys } from "./ApiKeys.js"
import * as Body from "./Body.js"
import { keyOf } from "./Handlers.js"
import type { Problem } from "./Problem.js"
import { keyedBy } from "./Repeats.js"
import * as RunRequests from "./RunRequests.js"
import { knownBy, makeLetIn } from "./Security.js"
import * as Streams from "./Streams.js"

type Request = HttpServerRequest.HttpServerRequest

/** The paths of `Api`, but for what would have to be decoded. */
const PATH = /^\/api\/sandboxes\/([\w-]{1,128})\/(execute|terminal)$/

/**
 * A request that goes this way.
 */
export interface Taken {
  readonly id: string
  readonly kind: "code" | "command"
  readonly format: Streams.Format
}

/**
 * What it asks for; `undefined` when it is for the router.
 */
export const take = (request: Request): Taken | undefined => {
  if (request.method !== "POST") {
    return undefined
  }
  const [, id, name] = PATH.exec(request.url) ?? []
  const format = id === undefined ? undefined : Streams.formatOf(request)
  return id === undefined || format === undefined
    ? undefined
    : { id, format, kind: name === "execute" ? "code" : "command" }
}

/** The path as the interface has it, by which the router's spans name it. */
const routeOf = (kind: Taken["kind"]): string =>
  (kind === "code" ? Code.endpoints.execute : Code.endpoints.terminal)?.path ?? ""

const decodeCode = Body.decoder(ExecuteRequest)
const decodeCommand = Body.decoder(TerminalRequest)

type Failure = RequestError | Problem | HttpApiError.HttpApiDecodeError

/**
 * Makes what answers them. An answer is not to be interrupted but where it says so.
 */
export const make = Effect.gen(function*() {
  const keys = yield* ApiKeys
  const letIn = yield* makeLetIn
  const runs = yield* RunRequests.make

  return (
    { bytes, request }: Body.Limited,
    { format, id, kind }: Taken
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, Failure, Scope.Scope | Request> =>
    Effect.gen(function*() {
      yield* Effect.annotateCurrentSpan("http.route", routeOf(kind))
      const key = yield* keyOf(request)
      const caller = yield* knownBy(keys, request)
      yield* letIn(caller)
      const body = yield* Effect.interruptible(bytes)
      const json = yield* Body.parse(body)
      const { id: keyId, user: userId } = caller
      const keyed = key === undefined ? undefined : keyedBy(userId, key, request, body)
      const asking = { userId, keyId, keyed }
      return yield* Effect.interruptible(
        kind === "code"
          ? Effect.flatMap(decodeCode(json), (payload) => runs.code({ request, format, id, payload, asking }))
          : Effect.flatMap(decodeCommand(json), (payload) => runs.command({ request, format, id, payload, asking }))
      )
    })
})
