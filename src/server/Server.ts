/**
 * The HTTP server over any layer of the SDK.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiSwagger from "@effect/platform/HttpApiSwagger"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Buffer } from "node:buffer"
import type { Server } from "node:http"
import { Api } from "../Api.js"
import { SandboxSDKError } from "../Errors.js"
import { wantsUpgrade } from "../ports/Forward.js"
import { takeUpgrades } from "../ports/Upgrades.js"
import * as Quotas from "../Quotas.js"
import type { SandboxSDK } from "../SandboxSDK.js"
import * as Active from "./Active.js"
import * as ApiKeys from "./ApiKeys.js"
import * as E2b from "./e2b/E2b.js"
import * as Edge from "./Edge.js"
import * as Code from "./handlers/Code.js"
import * as Contexts from "./handlers/Contexts.js"
import * as Executions from "./handlers/Executions.js"
import * as Files from "./handlers/Files.js"
import * as Ports from "./handlers/Ports.js"
import * as Processes from "./handlers/Processes.js"
import * as Sandboxes from "./handlers/Sandboxes.js"
import * as Service from "./handlers/Service.js"
import * as Snapshots from "./handlers/Snapshots.js"
import * as Templates from "./handlers/Templates.js"
import * as Idempotency from "./Idempotency.js"
import * as NodeServer from "./NodeServer.js"
import * as OpenStreams from "./OpenStreams.js"
import * as PortProxy from "./PortProxy.js"
import { routeOf } from "./PortRoutes.js"
import * as Security from "./Security.js"
import { type Complete, ServerAddress, type ServerOptions, Settings } from "./Settings.js"
import { complete, quotasOf } from "./SettingsCheck.js"

/** How long connections may take to close by themselves once nothing is being answered. */
const CLOSE_MS = 1_000
const STEP_MS = 20

const listensNo = (settings: Complete, cause: unknown): SandboxSDKError =>
  new SandboxSDKError({
    code: "invalid_config",
    field: "port",
    message: `The server cannot listen at ${settings.host}, port ${settings.port}: ` +
      (cause instanceof Error ? cause.message : String(cause)),
    cause
  })

/** Stops listening, lets what runs come to its end, and closes what is left. */
const shutDown = (server: Server, settings: Complete) =>
  Effect.gen(function*() {
    const active = yield* Active.Active
    let isClosed = false
    server.close(() => {
      isClosed = true
    })
    yield* active.end(settings.graceMs)
    // A connection that has nothing more to say is closed at once, the others may still be sending their last words.
    for (let waited = 0; !isClosed && waited < CLOSE_MS; waited += STEP_MS) {
      server.closeIdleConnections()
      yield* Effect.sleep(STEP_MS)
    }
    server.closeAllConnections()
  })

const handlers = Layer.mergeAll(
  Sandboxes.layer,
  Code.layer,
  Executions.layer,
  Processes.layer,
  Files.layer,
  Contexts.layer,
  Ports.layer,
  Snapshots.layer,
  Templates.layer,
  Service.layer
)

const routes = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiSwagger.layer({ path: "/docs" })),
  Layer.provide(HttpApiBuilder.middlewareOpenApi({ path: "/openapi.json" })),
  Layer.provide(Edge.layer),
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(handlers),
  Layer.provide(E2b.layer),
  Layer.provide(PortProxy.layer),
  Layer.provide(Security.layer),
  // Ids that are too long for the router would be paths that do not exist.
  Layer.provide(HttpRouter.setRouterConfig({
    maxParamLength: 4_096,
    ignoreTrailingSlash: true,
    ignoreDuplicateSlashes: false,
    caseSensitive: true
  }))
)

/**
 * Only ports of sandboxes speak another protocol: any other request that offers one is a request like all others
 * (RFC 9110, 7.8).
 */
const upgradePorts = (server: Server, { portsUrl }: Complete): void => {
  const [answer] = server.listeners("upgrade")
  server.removeAllListeners("upgrade")
  takeUpgrades(
    server,
    (incoming) =>
      answer !== undefined && wantsUpgrade(incoming) &&
      routeOf({ host: incoming.headers.host, url: incoming.url ?? "" }, portsUrl) !== undefined,
    (incoming, socket) => {
      Reflect.apply(answer ?? (() => {}), server, [incoming, socket, Buffer.alloc(0)])
    }
  )
}

const urlOf = (host: string, port: number): string => `http://${host.includes(":") ? `[${host}]` : host}:${port}`

const address = (server: Server) =>
  Layer.scoped(
    ServerAddress,
    Effect.gen(function*() {
      const settings = yield* Settings
      const { address } = yield* HttpServer.HttpServer
      const active = yield* Active.Active
      upgradePorts(server, settings)
      yield* Effect.addFinalizer(() => Effect.provideService(shutDown(server, settings), Active.Active, active))
      const port = address._tag === "TcpAddress" ? address.port : settings.port
      const found = { host: settings.host, port, url: urlOf(settings.host, port) }
      yield* Effect.annotateLogs(Effect.logDebug("The server listens."), found)
      return found
    })
  )

/**
 * The HTTP server over whatever layer of the SDK it is given: the routes of `Api`, `GET /openapi.json` (OpenAPI 3.1) and
 * `GET /docs` (a page to read and to try them). It listens as long as the layer lives; where, `ServerAddress` says. At
 * its end it takes no more requests, lets those that run come to their end for `graceMs`, tells those that are left
 * (`SandboxSDKError` `disconnected`, in a stream as its last record), and closes all connections.
 *
 * Fails with `SandboxSDKError` `invalid_config` for a malformed setting, when it cannot listen, and when it is to listen
 * beyond this machine without any API key.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { layerLocal } from "sandbox-sdk/local"
 * import { layerServer } from "sandbox-sdk/server"
 *
 * const server = layerServer({ port: 3000, apiKeys: [Redacted.make("a-long-random-text")] }).pipe(
 *   Layer.provide(layerLocal())
 * )
 *
 * Effect.runFork(Layer.launch(server))
 * ```
 *
 * @category layers
 */
export const layerServer = (
  options: ServerOptions = {}
): Layer.Layer<ServerAddress | ApiKeys.ApiKeys, SandboxSDKError, SandboxSDK> =>
  Layer.unwrapEffect(Effect.map(complete(options), (settings) => {
    // Made once and kept: as a client may send more than we know of, so may it be described.
    OpenApi.fromApi(Api, { additionalPropertiesStrategy: "allow" })
    const server = NodeServer.make(settings)
    const services = Layer.mergeAll(
      Layer.succeed(Settings, settings),
      Layer.effect(Active.Active, Active.make),
      Quotas.layer(quotasOf(options.quotas)),
      Idempotency.layer(settings.idempotency, settings.idempotency.directory),
      OpenStreams.layer(settings.openStreams)
    )
    return address(server).pipe(
      // The URL of a port holds its token, a signed one its signature, which are for no trace; what passes to a port has
      // a span of its own.
      Layer.provide(HttpMiddleware.withTracerDisabledWhen(
        routes,
        ({ headers, url }) =>
          E2b.isSigned(url) || routeOf({ host: headers["host"], url }, settings.portsUrl) !== undefined
      )),
      Layer.provide(
        Layer.mapError(
          NodeHttpServer.layer(() => server, { host: settings.host, port: settings.port }),
          ({ cause }) => listensNo(settings, cause)
        )
      ),
      Layer.provide(services),
      Layer.provideMerge(ApiKeys.layer(options.apiKeys ?? []))
    )
  }))
