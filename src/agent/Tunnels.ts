/**
 * Connections of a sandbox to the outside: the engine's side of `net.*`. Nothing is believed of what the agent says:
 * numbers, order and credit are checked, and bytes wait nowhere beyond the credit.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Buffer } from "node:buffer"
import type { Socket } from "node:net"
import type { AgentMessage, EngineMessage } from "./Protocol.js"
import { NET_CONNECTIONS, NET_FRAME_COST, NET_WINDOW } from "./Protocol.js"

/**
 * A connection that is not made. `status` is one of HTTP; `message` is a sentence for whoever runs code in the sandbox.
 */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly status: number; readonly message: string }> {}

/**
 * Makes a connection, or refuses to. The socket is closed with the scope; nothing has been read from it.
 */
export type Dial = (host: string, port: number) => Effect.Effect<Socket, Refusal, Scope.Scope>

/** What concerns them; the answers to `net.dial` do not. */
type NetMessage = Exclude<
  Extract<AgentMessage, { readonly net: number }>,
  { readonly ev: "net.opened" | "net.refused" }
>

/**
 * What the connection to the agent gives.
 */
export interface TunnelPort {
  readonly dial: Dial
  readonly send: (message: Extract<EngineMessage, { readonly net: number }>, blob?: Uint8Array) => void
  /** Whether what was sent so far still waits to be written. */
  readonly congested: () => boolean
  /** The agent did what no agent does. */
  readonly violated: (what: string) => void
}

/**
 * The connections of one sandbox.
 */
export interface Tunnels {
  readonly receive: (message: NetMessage, blob: Buffer) => void
  /** What was sent has been written. */
  readonly resume: () => void
}

/** One that is made. */
interface Tunnel {
  readonly data: (bytes: Buffer) => void
  readonly end: () => void
  readonly close: () => void
  readonly allow: (bytes: number) => void
  readonly pump: () => void
}

/** How long a connection lives on without a byte after the program inside has ended its half, in milliseconds. */
const HALF_OPEN = 120_000

/**
 * Makes the connections of a sandbox; all are closed with the scope.
 */
export const makeTunnels = Effect.fnUntraced(function*(
  port: TunnelPort
): Effect.fn.Return<Tunnels, never, Scope.Scope> {
  const tunnels = new Map<number, Tunnel>()
  const fibers = yield* FiberMap.make<number>()
  const fork = yield* FiberMap.runtime(fibers)()
  let last = 0
  let active = 0

  /** Carries bytes both ways, until both have ended or one has broken. */
  const carry = (net: number, socket: Socket) =>
    Effect.async<void>((resume) => {
      let mayReceive = NET_WINDOW
      let maySend = NET_WINDOW
      let endedInside = false
      let endedOutside = false
      let closedInside = false

      const pump = (): void => {
        while (maySend > NET_FRAME_COST && socket.readableLength > 0 && !port.congested()) {
          const bytes: unknown = socket.read(Math.min(maySend - NET_FRAME_COST, socket.readableLength))
          if (!(bytes instanceof Uint8Array)) return
          maySend -= bytes.length + NET_FRAME_COST
          port.send({ op: "net.data", net }, bytes)
        }
        // Asks for more, and has the end told when there is no more.
        if (socket.readableLength === 0) socket.read(0)
      }

      const onClose = (): void => {
        if (!(endedInside && endedOutside) && !closedInside) port.send({ op: "net.close", net })
        resume(Effect.void)
      }

      tunnels.set(net, {
        pump,
        data: (bytes) => {
          const cost = bytes.length + NET_FRAME_COST
          mayReceive -= cost
          if (mayReceive < 0 || endedInside) {
            return port.violated("more of a connection than it was allowed to send")
          }
          socket.write(bytes, () => {
            mayReceive += cost
            if (tunnels.has(net)) port.send({ op: "net.credit", net, bytes: cost })
          })
        },
        end: () => {
          endedInside = true
          socket.end()
          socket.setTimeout(HALF_OPEN, () => socket.resetAndDestroy())
        },
        close: () => {
          closedInside = true
          socket.resetAndDestroy()
        },
        allow: (bytes) => {
          maySend += bytes
          if (maySend > NET_WINDOW) {
            return port.violated("more credit for a connection than it had taken")
          }
          pump()
        }
      })
      port.send({ op: "net.opened", net })
      if (socket.destroyed) {
        return onClose()
      }
      socket.on("close", onClose)
      socket.on("end", () => {
        endedOutside = true
        port.send({ op: "net.end", net })
      })
      socket.on("readable", pump)
    })

  const refuse = (net: number, { message, status }: Pick<Refusal, "message" | "status">) =>
    Effect.sync(() => port.send({ op: "net.refused", net, status, message }))

  const connection = (net: number, host: string, to: number) =>
    port.dial(host, to).pipe(
      Effect.flatMap((socket) => carry(net, socket)),
      Effect.scoped,
      Effect.catchAll((refusal) => refuse(net, refusal)),
      Effect.catchAllDefect((defect) =>
        Effect.zipRight(
          Effect.logError("A connection of a sandbox could not be made", defect),
          refuse(net, { status: 502, message: "The connection could not be made." })
        )
      ),
      // The sandbox may have been started where nothing is interrupted, and what is forked takes after that.
      Effect.interruptible,
      Effect.ensuring(Effect.sync(() => {
        active -= 1
        tunnels.delete(net)
      }))
    )

  const open = ({ host, net, port: to }: Extract<NetMessage, { readonly ev: "net.open" }>): void => {
    if (net <= last) {
      return port.violated("a number of a connection for the second time")
    }
    last = net
    if (active >= NET_CONNECTIONS) {
      return port.send({
        op: "net.refused",
        net,
        status: 503,
        message: `This sandbox has ${NET_CONNECTIONS} connections, as many as it may have at a time. Close some first.`
      })
    }
    active += 1
    fork(net, connection(net, host, to))
  }

  return {
    resume: () => {
      for (const tunnel of tunnels.values()) tunnel.pump()
    },
    receive: (message, blob) => {
      switch (message.ev) {
        case "net.open":
          return open(message)
        case "net.data":
          return tunnels.get(message.net)?.data(blob)
        case "net.end":
          return tunnels.get(message.net)?.end()
        case "net.credit":
          return tunnels.get(message.net)?.allow(message.bytes)
        case "net.close": {
          const tunnel = tunnels.get(message.net)
          // One that is not made yet is given up.
          return tunnel === undefined
            ? Option.match(FiberMap.unsafeGet(fibers, message.net), {
              onNone: () => {},
              onSome: (fiber) => fiber.unsafeInterruptAsFork(FiberId.none)
            })
            : tunnel.close()
        }
      }
    }
  }
})
