/**
 * Answers requests for the ports of sandboxes, by whatever the layer underneath gives as their address.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { IncomingMessage } from "node:http"
import type { PortAnswer } from "../api/Ports.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import { SandboxSDKError } from "../Errors.js"
import { baseOf } from "../internal/ports.js"
import type { PortAddress } from "../Port.js"
import * as Access from "../ports/Access.js"
import {
  endToEnd,
  type Fields,
  fieldsOf,
  forwarded,
  ownCookies,
  relocated,
  without,
  withoutCookies
} from "../ports/Fields.js"
import { forward, type Upstream, wantsUpgrade } from "../ports/Forward.js"
import { unanswered } from "../ports/Listener.js"
import { SandboxSDK } from "../SandboxSDK.js"
import { Active } from "./Active.js"
import { ApiKeys, type KnownKey, wasRevoked } from "./ApiKeys.js"
import { OpenStreams } from "./OpenStreams.js"
import { answerOf, type PortRoute } from "./PortRoutes.js"
import * as PortTokens from "./PortTokens.js"
import { LOCAL } from "./Security.js"
import { Settings } from "./Settings.js"

type Request = HttpServerRequest.HttpServerRequest

/**
 * The tag.
 */
export class PortProxy extends Context.Tag("sandbox-sdk/server/PortProxy")<PortProxy, {
  /** Passes a request on to a port of a sandbox and answers it. `isTrusted` says that it may do without any key. */
  readonly serve: (
    request: Request,
    route: PortRoute,
    isTrusted: boolean
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope>
  /** What is told of an address to who has asked for it by this request and this key. */
  readonly tell: (request: Request, keyId: string, address: PortAddress) => PortAnswer
}>() {}

/** Who asks, and what of the path was the key. `usesField` says that the key was in `Authorization`. */
interface Caller extends KnownKey {
  readonly address: PortAddress
  readonly prefix: string
  readonly usesField: boolean
}

const unauthorized = new SandboxSDKError({
  code: "unauthorized",
  message: "This port of a sandbox needs its token or an API key: use the URL that getPort gives, or send " +
    "`Authorization: Bearer <api key>`."
})

const NOTHING: Access.Bid = { token: "", prefix: "" }

const DROPPED = new Set(["host", "expect"])
const KEY = new Set(["authorization"])

/**
 * What code in a sandbox may not say where it answers in the name of the server: whatever a browser would keep, or take for
 * the whole of the server.
 */
const FORBIDDEN = new Set([
  "set-cookie",
  "clear-site-data",
  "service-worker-allowed",
  "strict-transport-security",
  "public-key-pins",
  "alt-svc",
  "nel",
  "report-to",
  "reporting-endpoints",
  "referrer-policy",
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-expose-headers"
])

/**
 * Under the server's own name a page is one of no origin at all (HTML, 7.1.5): it has no cookies, no storage, no service
 * worker, and may read nothing of the server's, nor of another port's. That it may ask its own port, it is told as a stranger.
 */
const CONFINED: Fields = [
  [
    "content-security-policy",
    "sandbox allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups allow-presentation allow-scripts"
  ],
  ["referrer-policy", "no-referrer"],
  ["x-content-type-options", "nosniff"],
  ["access-control-allow-origin", "*"],
  ["access-control-expose-headers", "*"]
]

const confined = (fields: Fields): Fields => [...without(fields, FORBIDDEN), ...CONFINED]

const CLEARING = new Set(["clear-site-data"])

/** A page of a port asks whether it may (Fetch Standard, 3.2.2): it has no origin, so it is always asked. */
const preflight = ({ headers, method }: IncomingMessage): HttpServerResponse.HttpServerResponse | undefined =>
  method !== "OPTIONS" || headers["access-control-request-method"] === undefined
    ? undefined
    : HttpServerResponse.empty({
      status: 204,
      headers: {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": headers["access-control-request-method"],
        "access-control-allow-headers": headers["access-control-request-headers"] ?? "*",
        "access-control-max-age": "600"
      }
    })

/**
 * Makes it, over the keys, the settings and the layer underneath.
 */
export const layer = Layer.effect(
  PortProxy,
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const keys = yield* ApiKeys
    const active = yield* Active
    const openStreams = yield* OpenStreams
    const { portsUrl } = yield* Settings
    const tokens = PortTokens.make()
    const isHttps = portsUrl?.protocol === "https:"
    const cookie = isHttps ? "__Host-sandbox-port" : "sandbox-port"

    const addressFor = (user: string, { id, port }: PortRoute) =>
      Effect.provideService(sdk.getPort(id, port), CurrentUser, user)

    /** By a token, or not at all: what is wrong with it is not told to strangers. */
    const byToken = (bid: Access.Bid, route: PortRoute): Effect.Effect<Option.Option<Caller>> =>
      Effect.gen(function*() {
        const keyId = tokens.keyOf(bid.token)
        const known = keyId === undefined
          ? Option.none<KnownKey>()
          : (yield* keys.required)
          ? yield* keys.find(keyId)
          : keyId === LOCAL.id
          ? Option.some<KnownKey>(LOCAL)
          : Option.none<KnownKey>()
        if (Option.isNone(known)) return Option.none()
        const address = yield* Effect.option(addressFor(known.value.user, route))
        return Option.map(
          Option.filter(address, (address) => tokens.verify(bid.token, known.value.id, address)),
          (address): Caller => ({ ...known.value, address, prefix: bid.prefix, usesField: false })
        )
      })

    const callerOf = (incoming: IncomingMessage, route: PortRoute, isTrusted: boolean) =>
      Effect.gen(function*() {
        for (const bid of Access.bidsOf(incoming, route.rest, route.isOwnOrigin ? cookie : undefined)) {
          const caller = yield* byToken(bid, route)
          if (Option.isSome(caller)) return caller.value
        }
        const bearer = Access.bearerOf(incoming.headers.authorization)
        if (!(yield* keys.required)) {
          return isTrusted
            ? { ...LOCAL, address: yield* addressFor(LOCAL.user, route), prefix: "", usesField: false }
            : yield* unauthorized
        }
        if (bearer === "") {
          return yield* unauthorized
        }
        const known = yield* keys.verify(Redacted.make(bearer))
        return { ...known, address: yield* addressFor(known.user, route), prefix: "", usesField: true }
      })

    /** Whether an API key of this server is in the field where a server in a sandbox would read it. */
    const bearsKey = (incoming: IncomingMessage) =>
      Effect.isSuccess(keys.verify(Redacted.make(Access.bearerOf(incoming.headers.authorization))))

    const upstreamOf = (
      incoming: IncomingMessage,
      route: PortRoute,
      { address, prefix }: Caller,
      isKeyTaken: boolean
    ): Upstream => {
      const target = new URL(baseOf(address))
      const isSecure = target.protocol === "https:"
      const own = route.isOwnOrigin ? "" : `/api/sandboxes/${encodeURIComponent(route.id)}/ports/${route.port}`
      const outside = `${own}${prefix}`
      const bid = { ...NOTHING, prefix }
      const fields = withoutCookies(
        Access.withoutToken(without(endToEnd(fieldsOf(incoming.rawHeaders)), DROPPED)),
        Access.isOwnCookie
      )
      const isVisit = route.isOwnOrigin && prefix !== "" && Access.isVisit(incoming)
      return {
        isSecure,
        connection: {
          host: target.hostname.replace(/^\[|\]$/g, ""),
          port: target.port === "" ? (isSecure ? 443 : 80) : Number(target.port),
          agent: false
        },
        path: `${target.pathname.replace(/\/$/, "")}${Access.pathOf(route.rest, bid)}`,
        fields: [
          ["Host", target.host],
          ...(address.token === undefined ? [] : [[Access.TOKEN_FIELD, address.token] as const]),
          ...forwarded(isKeyTaken ? without(fields, KEY) : fields, {
            host: incoming.headers.host ?? "",
            proto: isHttps ? "https" : "http",
            prefix: outside
          })
        ],
        answer: (fields) => {
          const here = relocated(fields, outside)
          return route.isOwnOrigin
            ? [
              ...ownCookies(without(here, CLEARING), Access.isOwnCookie),
              ...(isVisit ? [Access.cookieField(cookie, prefix.slice("/~".length))] : [])
            ]
            : confined(here)
        }
      }
    }

    return {
      tell: (request, keyId, address) =>
        answerOf(address, tokens.make(keyId, address), { host: request.headers["host"] ?? "", portsUrl }),
      serve: (request, route, isTrusted) =>
        Effect.gen(function*() {
          const incoming = NodeHttpServerRequest.toIncomingMessage(request)
          const asked = route.isOwnOrigin ? undefined : preflight(incoming)
          if (asked !== undefined) {
            return asked
          }
          const caller = yield* callerOf(incoming, route, isTrusted)
          if (yield* keys.required) {
            yield* Effect.flatMap(active.cutOff, (cutOff) => keys.whileKnown(caller.id, cutOff(wasRevoked)))
          }
          yield* openStreams.enter(caller.user)
          if (wantsUpgrade(incoming)) {
            yield* active.endless
          }
          const isKeyTaken = caller.usesField || (yield* bearsKey(incoming))
          yield* Effect.mapError(
            forward(
              incoming,
              NodeHttpServerRequest.toServerResponse(request),
              upstreamOf(incoming, route, caller, isKeyTaken)
            ),
            () => unanswered(route.id, route.port)
          )
          return HttpServerResponse.empty()
        }).pipe(
          Effect.withSpan("PortProxy.serve", { attributes: { sandboxId: route.id, port: route.port } }),
          // The platform answers upgrades where nothing is interrupted.
          Effect.interruptible
        )
    }
  })
)
