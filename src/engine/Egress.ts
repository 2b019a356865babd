/**
 * What a sandbox may reach, decided on this side of the wall: by the name that was asked for, and again by the address
 * that this name turns out to have. What is connected to is the address that was looked at, so that a name which means
 * something else a moment later gains nothing.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Socket } from "node:net"
import { Refusal } from "../agent/Tunnels.js"
import { canonicalHost, covers, type Endpoint, showEndpoint } from "../internal/hosts.js"
import type { Network } from "../Options.js"
import { specialUse } from "./Addresses.js"
import { endpoints, type NetworkPolicy, permits } from "./NetworkPolicy.js"
import type { SocketsService } from "./Sockets.js"

/**
 * The way out of one sandbox.
 */
export interface Egress {
  /**
   * A connection, which ends with the scope. `host` and `port` are what code in the sandbox said.
   *
   * Fails with `Refusal`: 400 for what is no host, 403 for one that may not be reached, 502 when it has no address or
   * does not answer, 504 when that took too long.
   */
  readonly connect: (host: string, port: number) => Effect.Effect<Socket, Refusal, Scope.Scope>
}

const LOOKUP_TIMEOUT = Duration.seconds(10)

/** For an address when there are others to try, and for the last one. */
const ATTEMPT_TIMEOUT = Duration.seconds(5)
const LAST_ATTEMPT_TIMEOUT = Duration.seconds(15)

/** How many addresses of a name are tried. */
const MOST_ADDRESSES = 4

/** Lookups of one sandbox at a time: they are made by few threads, which all sandboxes share. */
const LOOKUPS = 2

const timedOut = (what: string): Refusal => new Refusal({ status: 504, message: `${what} did not answer in time.` })

const describe = (code: string): string => {
  switch (code) {
    case "ECONNREFUSED":
      return "refused the connection"
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return "cannot be reached from this machine"
    case "ECONNRESET":
      return "closed the connection at once"
    default:
      return `cannot be connected to (${code})`
  }
}

/**
 * The way out of a sandbox that was made with `network`; none when that allows nothing.
 */
export const make = Effect.fnUntraced(function*(
  network: Network | undefined,
  policy: NetworkPolicy,
  sockets: SocketsService
): Effect.fn.Return<Option.Option<Egress>> {
  const allowed = endpoints(network)
  if (allowed.length === 0) {
    return Option.none()
  }
  const turn = yield* Effect.makeSemaphore(LOOKUPS)

  const resolve = (name: string) =>
    turn.withPermits(1)(Effect.uninterruptible(sockets.lookup(name))).pipe(
      // A thread that looks something up cannot be called back: it keeps its permit, but nobody waits for it.
      Effect.disconnect,
      Effect.mapError(() => new Refusal({ status: 502, message: `There is no host ${name}.` })),
      Effect.timeoutFail({ duration: LOOKUP_TIMEOUT, onTimeout: () => timedOut(`The name service for ${name}`) })
    )

  const attempt = (address: string, target: Endpoint, timeout: Duration.Duration) =>
    sockets.connect(address, target.port).pipe(
      Effect.mapError(({ code }) =>
        code === "ETIMEDOUT"
          ? timedOut(showEndpoint(target))
          : new Refusal({ status: 502, message: `${showEndpoint(target)} ${describe(code)}.` })
      ),
      Effect.timeoutFail({ duration: timeout, onTimeout: () => timedOut(showEndpoint(target)) })
    )

  const addressesOf = Effect.fnUntraced(function*(target: Endpoint, own: ReadonlySet<string>) {
    if (target.isAddress) {
      return [target.host]
    }
    const found = (yield* resolve(target.host)).map((address) => ({
      address,
      use: own.has(address) ? "this machine" : specialUse(address)
    }))
    const open = found.flatMap(({ address, use }) => use === undefined ? [address] : [])
    const use = found[0]?.use
    return open.length > 0 ? open : yield* new Refusal(
      use === undefined
        ? { status: 502, message: `There is no host ${target.host}.` }
        : {
          status: 403,
          message:
            `${target.host} leads to ${use}, where a sandbox reaches only an address that network.allow names itself.`
        }
    )
  })

  const connect: Egress["connect"] = Effect.fn("Egress.connect")(function*(host, port) {
    const canonical = canonicalHost(host)
    if (Option.isNone(canonical)) {
      return yield* new Refusal({ status: 400, message: "That is no name of a host, and no address." })
    }
    const target: Endpoint = { ...canonical.value, port, below: false }
    const named = showEndpoint(target)
    yield* Effect.annotateCurrentSpan({ host: target.host, port })
    if (!allowed.some((endpoint) => covers(endpoint, target))) {
      return yield* new Refusal({
        status: 403,
        message: `This sandbox may not reach ${named}: it is not in network.allow. Create a sandbox with ` +
          `network: { allow: ["${named}"] }.`
      })
    }
    const own = yield* sockets.ownAddresses
    // Asked again: the sandbox may have been made under an engine that allowed more.
    if (!permits(policy, own)(target)) {
      return yield* new Refusal({ status: 403, message: `The engine lets no sandbox reach ${named}.` })
    }
    const addresses = (yield* addressesOf(target, own)).slice(0, MOST_ADDRESSES)
    return yield* Effect.firstSuccessOf(
      addresses.map((address, index) =>
        attempt(address, target, index + 1 < addresses.length ? ATTEMPT_TIMEOUT : LAST_ATTEMPT_TIMEOUT)
      )
    )
  })

  return Option.some({ connect })
})
