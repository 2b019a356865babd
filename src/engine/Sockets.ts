/**
 * Connections to the outside: the one module of the engine that resolves names and opens sockets.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Dns from "node:dns/promises"
import * as Net from "node:net"
import * as Os from "node:os"

/**
 * A name without an address, or an address that does not answer. `code` is the system's (`ENOTFOUND`, `ECONNREFUSED`).
 */
export class SocketError extends Data.TaggedError("SocketError")<{ readonly code: string }> {}

/**
 * The outside.
 */
export interface SocketsService {
  /** The addresses of a name, in the order in which the system would try them (RFC 6724). */
  readonly lookup: (name: string) => Effect.Effect<ReadonlyArray<string>, SocketError>
  /**
   * A connection to exactly this address; no name is looked up. Nothing is read before somebody does, its two directions
   * end one by one, and it is closed with the scope.
   */
  readonly connect: (address: string, port: number) => Effect.Effect<Net.Socket, SocketError, Scope.Scope>
  /** The addresses of this machine. */
  readonly ownAddresses: Effect.Effect<ReadonlySet<string>>
}

/** A peer that has vanished without a word is noticed, at the earliest after this, in milliseconds. */
const KEEP_ALIVE = 60_000

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

const connect: SocketsService["connect"] = Effect.fnUntraced(function*(address, port) {
  if (Net.isIP(address) === 0) {
    return yield* new SocketError({ code: "EINVAL" })
  }
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Net.connect({
        host: address,
        port,
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE
      })
      // Without a listener an error would end this program. That it is closed is all that matters, and is seen.
      return socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  return yield* Effect.async<Net.Socket, SocketError>((resume) => {
    socket.once("connect", () => resume(Effect.succeed(socket)))
    socket.once("error", (cause) => resume(new SocketError({ code: codeOf(cause) })))
    socket.once("close", () => resume(new SocketError({ code: "ECONNRESET" })))
    return Effect.sync(() => socket.destroy())
  })
})

const system: SocketsService = {
  // By getaddrinfo(3), so that /etc/hosts and whatever else this machine is set up with count, as for any program here.
  lookup: (name) =>
    Effect.tryPromise({
      try: () => Dns.lookup(name, { all: true, verbatim: true }),
      catch: (cause) => new SocketError({ code: codeOf(cause) })
    }).pipe(Effect.map((found) => found.map(({ address }) => address))),
  connect,
  ownAddresses: Effect.sync(() =>
    new Set(Object.values(Os.networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address)))
  )
}

/**
 * The outside as this machine has it; another can be given in its place.
 */
export class Sockets extends Context.Reference<Sockets>()("sandbox-sdk/engine/Sockets", {
  defaultValue: () => system
}) {}
