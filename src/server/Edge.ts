/**
 * What every request passes first and every answer last: limits, web pages of other origins, and errors that no handler
 * made.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Cookies from "@effect/platform/Cookies"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { statusOf } from "../Api.js"
import * as Headers from "../api/Headers.js"
import type { SandboxSDKError } from "../Errors.js"
import { shownPath } from "../ports/Access.js"
import { Active } from "./Active.js"
import { answerCause, answerProblem, encodeError } from "./Answer.js"
import { ApiKeys } from "./ApiKeys.js"
import * as Body from "./Body.js"
import * as CreateRoute from "./CreateRoute.js"
import { debug } from "./Debug.js"
import { E2b } from "./e2b/E2b.js"
import { PortProxy } from "./PortProxy.js"
import { routeOf } from "./PortRoutes.js"
import { problem } from "./Problem.js"
import * as Repeats from "./Repeats.js"
import { methodsOf } from "./Routes.js"
import * as RunRoute from "./RunRoute.js"
import { type Complete, Settings } from "./Settings.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Fields of answers that a web page may read. */
const EXPOSED = "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, idempotent-replayed, " +
  `${Headers.IDEMPOTENCY}, ${Headers.HEARTBEAT}, ${Headers.FILE_SIZE}`

const originHeaders = (request: Request, { cors }: Complete): Readonly<Record<string, string>> | undefined => {
  const origin = request.headers["origin"]
  if (origin === undefined) {
    return undefined
  }
  if (cors === "any") {
    return { "access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED }
  }
  return cors.includes(origin)
    ? { "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED, vary: "Origin" }
    : undefined
}

/** The answer to a web page that asks whether it may (Fetch Standard, 3.2.2). */
const preflight = (request: Request, settings: Complete): Response | undefined => {
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
    return undefined
  }
  const allowed = originHeaders(request, settings)
  return allowed === undefined ? undefined : HttpServerResponse.empty({
    status: 204,
    headers: {
      ...allowed,
      "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
      "access-control-allow-headers": request.headers["access-control-request-headers"] ??
        "authorization, content-type",
      "access-control-max-age": "600"
    }
  })
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/**
 * Without API keys, a web page that is open on this machine must not use the server: it would come with an `Origin`, or,
 * by a name of its own that leads here, with that name as `Host`.
 */
const isForeign = (request: Request, settings: Complete): boolean => {
  const { host, origin } = request.headers
  return !LOOPBACK.test(host ?? "") ||
    (origin !== undefined && originHeaders(request, settings) === undefined && origin !== `http://${host}`)
}

const notFound = (request: Request): Response => {
  const methods = methodsOf(request.url)
  return answerProblem(
    methods.length === 0
      ? problem(404, "There is no such path here; /docs lists those that there are.", { field: "path" })
      : problem(405, `This path takes ${methods.join(", ")}, not ${request.method}.`, {
        field: "method",
        headers: { allow: methods.join(", ") }
      })
  )
}

/** The last word to a request that was interrupted: it is written at once, by who cannot wait any more. */
const farewell = (request: Request, reason: SandboxSDKError | undefined): void => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  if (reason !== undefined && !response.destroyed && !response.headersSent) {
    const body = JSON.stringify(encodeError(reason))
    response.writeHead(statusOf(reason), {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      connection: "close"
    }).end(body)
  }
}

/** An answer that has not more bytes fits into what the connection holds, so that nobody has to wait until it is taken. */
const SHORT_BYTES = 16 * 1024

const isShort = (request: Request, { body, cookies }: Response): boolean =>
  body._tag === "Uint8Array" && body.body.length <= SHORT_BYTES && request.method !== "HEAD" && Cookies.isEmpty(cookies)

/** Sends a short answer, when nothing is left to be said in its head. The platform sees that it has ended. */
const sendShort = (request: Request, response: Response): Effect.Effect<Response> =>
  Effect.sync(() => {
    const to = NodeHttpServerRequest.toServerResponse(request)
    if (response.body._tag === "Uint8Array" && !to.headersSent) {
      to.writeHead(response.status, response.headers).end(response.body.body)
    }
    return response
  })

/**
 * The same answer, sent in a way that ends when its reader leaves: the platform would wait for ever for the rest of a body
 * to be taken.
 */
const abandonable = (response: Response): Response =>
  response.body._tag === "Uint8Array"
    ? HttpServerResponse.setBody(
      response,
      HttpBody.stream(Stream.succeed(response.body.body), response.body.contentType, response.body.contentLength)
    )
    : response

/** What failed, as an answer; nothing when it was interrupted and nobody is there to be told. */
const answer = (
  request: Request,
  reason: SandboxSDKError | undefined,
  cause: Cause.Cause<unknown>
): Effect.Effect<Response> => {
  if (Cause.isInterruptedOnly(cause)) {
    return Effect.zipRight(Effect.sync(() => farewell(request, reason)), Effect.interrupt)
  }
  if (Option.exists(Cause.failureOption(cause), (error) => error instanceof HttpServerError.RouteNotFound)) {
    return Effect.succeed(notFound(request))
  }
  const { response, unexpected } = answerCause(cause)
  return unexpected
    ? Effect.as(Effect.logError("A request failed in a way that nobody expected.", cause), response)
    : Effect.succeed(response)
}

const tell = (request: Request, response: Response, clock: Clock.Clock, start: number) =>
  debug("A request was answered.", () => ({
    method: request.method,
    path: shownPath(request.url.split("?")[0] ?? ""),
    status: response.status,
    duration: clock.unsafeCurrentTimeMillis() - start
  }))

/**
 * Goes around all routes.
 */
export const layer = HttpApiBuilder.middleware(
  Effect.gen(function*() {
    const settings = yield* Settings
    const active = yield* Active
    const keys = yield* ApiKeys
    const repeats = yield* Repeats.make
    const ports = yield* PortProxy
    const e2b = yield* E2b
    const run = yield* RunRoute.make

    const answered = <E, R>(request: Request, app: Effect.Effect<Response, E, R>): Effect.Effect<Response, never, R> =>
      Effect.catchAllCause(
        app,
        (cause) => Cause.isInterruptedOnly(cause) ? Effect.interrupt : answer(request, undefined, cause)
      )

    const create = yield* CreateRoute.make(repeats, answered)

    const tooLong = ({ url }: Request): Response | undefined =>
      url.length > settings.maxUrlLength
        ? answerProblem(problem(414, `The URL has ${url.length} characters; ${settings.maxUrlLength} are the most.`))
        : undefined

    const refusal = (request: Request, required: boolean): Response | undefined =>
      preflight(request, settings) ?? (!required && isForeign(request, settings)
        ? answerProblem(problem(403, "This server has no API keys, and answers programs on its own machine alone."))
        : undefined)

    return (app) => {
      /** What is no port of a sandbox. */
      const serve = (request: Request, speaksE2b: boolean) =>
        Effect.flatMap(keys.required, (required) => {
          const refused = refusal(request, required)
          if (refused !== undefined) {
            return Effect.succeed(refused)
          }
          const limited = Body.limited(request, settings.bodies)
          if (speaksE2b) {
            return Effect.provideService(e2b.answer, HttpServerRequest.HttpServerRequest, limited.request)
          }
          if (CreateRoute.takes(request)) {
            return create(limited)
          }
          const taken = RunRoute.take(request)
          return taken === undefined ? repeats.answer(limited, answered(request, app)) : run(limited, taken)
        })

      return Effect.clockWith((clock) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          const start = clock.unsafeCurrentTimeMillis()
          const route = routeOf({ host: request.headers["host"], url: request.url }, settings.portsUrl)
          const speaksE2b = route === undefined && e2b.speaks(request)
          const refused = tooLong(request)
          const served = refused !== undefined
            ? Effect.succeed(refused)
            : route === undefined
            ? serve(request, speaksE2b)
            : ports.serve(request, route, !isForeign(request, settings))
          return active.during(served).pipe(
            Effect.catchAllCause((cause) =>
              Effect.flatMap(active.reason, (reason) => answer(request, reason(), cause))
            ),
            Effect.flatMap((response) => {
              Body.drain(request)
              const short = isShort(request, response)
              const complete = HttpServerResponse.setHeaders(short ? response : abandonable(response), {
                "x-content-type-options": "nosniff",
                ...(route === undefined && !speaksE2b ? { [Headers.IDEMPOTENCY]: "honoured" } : {}),
                ...originHeaders(request, settings),
                ...(active.isEnding() ? { connection: "close" } : {})
              })
              const told = tell(request, response, clock, start)
              return Effect.as(
                short ? Effect.zipRight(told, HttpApp.appendPreResponseHandler(sendShort)) : told,
                complete
              )
            })
          )
        })
      )
    }
  })
)
