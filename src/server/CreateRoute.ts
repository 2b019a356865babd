/**
 * The way of the requests that make a sandbox: whoever waits for one that a pool has ready waits for the router most of the time,
 * so they go past it. They are carried out by what the router's handlers use as well, and get the same answers.
 */
import type * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Scope from "effect/Scope"
import { Sandboxes } from "../api/Sandboxes.js"
import { CreatedSandbox } from "../api/Wire.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import { CreateSandboxOptions } from "../Options.js"
import { ApiKeys, type KnownKey } from "./ApiKeys.js"
import * as Body from "./Body.js"
import * as Creation from "./Creation.js"
import { keyOf, provideForRest } from "./Handlers.js"
import type { Problem } from "./Problem.js"
import { keyedBy, type Repeats } from "./Repeats.js"
import { knownBy, makeLetIn } from "./Security.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const PATH: string = Sandboxes.endpoints.create?.path ?? ""

/**
 * Whether a request goes this way.
 */
export const takes = ({ method, url }: Request): boolean => method === "POST" && url === PATH

const decode = Body.decoder(CreateSandboxOptions)
const encode = ParseResult.encodeEither(CreatedSandbox)

type Failure = RequestError | Problem | HttpApiError.HttpApiDecodeError

/**
 * Makes what answers them. An answer is not to be interrupted but where it says so.
 *
 * @param answered gives an answer to every failure but an interruption.
 */
export const make = (
  repeats: Repeats,
  answered: <R>(request: Request, app: Effect.Effect<Response, Failure, R>) => Effect.Effect<Response, never, R>
) =>
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const letIn = yield* makeLetIn
    const create = yield* Creation.make
    const tellRoute = Effect.annotateCurrentSpan("http.route", PATH)

    /** By a fiber that does nothing else. */
    const carryOut = (caller: KnownKey, bytes: Body.Limited["bytes"]): Effect.Effect<Response, Failure, Scope.Scope> =>
      Effect.interruptible(Effect.gen(function*() {
        yield* tellRoute
        yield* letIn(caller)
        const options = yield* decode(yield* Body.parse(yield* bytes))
        yield* provideForRest(Context.make(CurrentUser, caller.user))
        const created = yield* create(caller.user, options)
        return HttpServerResponse.unsafeJson(yield* Effect.orDie(encode(created)))
      }))

    return ({ bytes, request }: Body.Limited): Effect.Effect<Response, Failure, Scope.Scope> =>
      Effect.gen(function*() {
        const key = yield* keyOf(request)
        const caller = yield* Effect.either(knownBy(keys, request))
        if (Either.isLeft(caller)) {
          return yield* Effect.zipRight(tellRoute, Effect.fail(caller.left))
        }
        if (key === undefined) {
          return yield* carryOut(caller.right, bytes)
        }
        const body = yield* Effect.interruptible(bytes)
        return yield* repeats.once(
          keyedBy(caller.right.user, key, request, body),
          request,
          answered(request, carryOut(caller.right, Effect.succeed(body)))
        )
      })
  })
