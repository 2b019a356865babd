/**
 * A port of a sandbox as a port of this machine: an HTTP server on 127.0.0.1 that lets requests with the token pass.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import type { IncomingMessage, Server } from "node:http"
import { createServer, ServerResponse } from "node:http"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { encodeError } from "../api/Encode.js"
import { statusOf } from "../api/Status.js"
import { type RequestError, SandboxError, SandboxSDKError } from "../Errors.js"
import * as Access from "./Access.js"
import { endToEnd, type Fields, fieldsOf, forwarded, ownCookies, relocated, without, withoutCookies } from "./Fields.js"
import { forward, wantsUpgrade } from "./Forward.js"
import { takeUpgrades } from "./Upgrades.js"

/**
 * What a listener stands before.
 */
export interface Behind {
  readonly sandboxId: string
  /** The port in the sandbox. */
  readonly port: number
  /** A connection to that port, closed with the scope. */
  readonly dial: Effect.Effect<Duplex, RequestError, Scope.Scope>
}

/**
 * One that listens.
 */
export interface Listener {
  /** `http://127.0.0.1:41234/`: with the token, all of the port. */
  readonly base: string
  readonly token: string
}

/** Connections of clients at a time. */
const MOST_CONNECTIONS = 1_024

const HEADERS_TIMEOUT = 30_000
const KEEP_ALIVE = 65_000

const HOST = "127.0.0.1"

const unauthorized = new SandboxSDKError({
  code: "unauthorized",
  message:
    "This port of a sandbox needs its token: use the URL that getPort gives, or send the token as X-Sandbox-Token."
})

/**
 * What a client is told when there was no answer, or none that is HTTP.
 */
export const unanswered = (sandboxId: string, port: number): SandboxError =>
  new SandboxError({
    code: "port_unavailable",
    message:
      `What listens at port ${port} of the sandbox closed the connection without an answer, or does not speak HTTP.`,
    sandboxId
  })

/** Answers with an error, if nothing has been answered yet. */
const answerError = (response: ServerResponse, error: RequestError): void => {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const body = JSON.stringify(encodeError(error))
  response.writeHead(statusOf(error), {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    ...(error._tag === "RateLimitError" ? { "retry-after": String(Math.ceil(error.retryAfter / 1_000)) } : {})
  }).end(body)
}

const DROPPED = new Set(["host", "expect"])

/** What no server in a sandbox may say: it would clear what a browser keeps for the names around it as well. */
const FORBIDDEN = new Set(["clear-site-data"])

const requestFields = (incoming: IncomingMessage, port: number, prefix: string): Fields => {
  const fields = withoutCookies(
    Access.withoutToken(without(endToEnd(fieldsOf(incoming.rawHeaders)), DROPPED)),
    Access.isOwnCookie
  )
  return [
    // The name by which a server knows itself, whatever it is called from outside.
    ["Host", `localhost:${port}`],
    ...forwarded(fields, { host: incoming.headers.host ?? "", proto: "http", prefix })
  ]
}

const handle = (incoming: IncomingMessage, response: ServerResponse, behind: Behind, token: string, cookie: string) =>
  Effect.gen(function*() {
    const url = incoming.url ?? "/"
    const bid = Access.bidsOf(incoming, url, cookie).find((bid) => Access.isSame(token, bid.token))
    if (bid === undefined) {
      return yield* unauthorized
    }
    const stream = yield* behind.dial
    const isVisit = bid.prefix !== "" && Access.isVisit(incoming)
    yield* forward(incoming, response, {
      connection: { createConnection: () => stream },
      path: Access.pathOf(url, bid),
      fields: requestFields(incoming, behind.port, bid.prefix),
      answer: (fields) => [
        ...ownCookies(relocated(without(fields, FORBIDDEN), bid.prefix), Access.isOwnCookie),
        ...(isVisit ? [Access.cookieField(cookie, token)] : [])
      ]
    }).pipe(Effect.mapError(() => unanswered(behind.sandboxId, behind.port)))
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) => Effect.sync(() => answerError(response, error))),
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("A request for a port of a sandbox failed in a way that nobody expected.", defect),
        Effect.sync(() => response.destroy())
      )
    ),
    // The listener was opened where nothing is interrupted, and what is forked takes after that.
    Effect.interruptible
  )

const listen = (server: Server) =>
  Effect.async<number, SandboxError>((resume) => {
    server.once("error", (cause) =>
      resume(
        new SandboxError({
          code: "quota_exceeded",
          message: `No port could be opened on this machine: ${cause.message}.`
        })
      ))
    server.listen(0, HOST, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/**
 * Opens one; it closes with the scope, and all connections to it with it.
 *
 * Fails with `SandboxError` `quota_exceeded` when this machine has no port left.
 */
export const make = Effect.fnUntraced(function*(
  behind: Behind
): Effect.fn.Return<Listener, SandboxError, Scope.Scope> {
  const token = Access.urlSafe(randomBytes(20))
  const server = createServer({
    noDelay: true,
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE
  })
  server.maxConnections = MOST_CONNECTIONS
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      server.closeAllConnections()
    })
  )
  const run = yield* FiberSet.makeRuntime<never>()
  const port = yield* listen(server)
  const cookie = `sandbox-port-${port}`
  const serve = (incoming: IncomingMessage, response: ServerResponse): void => {
    const fiber = run(handle(incoming, response, behind, token, cookie))
    response.on("close", () => fiber.unsafeInterruptAsFork(fiber.id()))
  }
  server.on("request", serve)
  takeUpgrades(server, wantsUpgrade, (incoming, socket) => {
    if (socket instanceof Socket) {
      const response = new ServerResponse(incoming)
      response.assignSocket(socket)
      response.on("finish", () => socket.end())
      serve(incoming, response)
    } else {
      socket.destroy()
    }
  })
  return { base: `http://${HOST}:${port}/`, token }
})
