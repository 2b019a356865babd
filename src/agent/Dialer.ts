/**
 * Connections from the outside to the ports of a sandbox: the engine's side of `net.dial`. Each is a stream whose other
 * end is a socket on the loopback inside. Nothing is believed of what the agent says: credit is checked, and bytes wait
 * nowhere beyond it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Buffer } from "node:buffer"
import { Duplex } from "node:stream"
import type { AgentMessage, EngineMessage } from "./Protocol.js"
import { NET_FRAME_COST, NET_WINDOW, PORT_CONNECTIONS } from "./Protocol.js"

/**
 * A connection that is not made: nothing listens there (`closed`), there are too many (`full`), or there is no answer
 * any more (`lost`).
 */
export class NotDialed extends Data.TaggedError("NotDialed")<{ readonly reason: "closed" | "full" | "lost" }> {}

type NetMessage = Extract<AgentMessage, { readonly net: number }>

/**
 * What the connection to the agent gives.
 */
export interface DialerPort {
  readonly send: (message: Extract<EngineMessage, { readonly net: number }>, blob?: Uint8Array) => void
  /** Whether what was sent so far still waits to be written. */
  readonly congested: () => boolean
  /** The agent did what no agent does. */
  readonly violated: (what: string) => void
}

/**
 * The connections into one sandbox.
 */
export interface Dialer {
  /** A connection to a port of the sandbox's loopback. It is closed with the scope, and breaks with the sandbox. */
  readonly dial: (port: number) => Effect.Effect<Duplex, NotDialed, Scope.Scope>
  readonly receive: (message: NetMessage, blob: Buffer) => void
  /** What was sent has been written. */
  readonly resume: () => void
  /** The agent is gone: all of them are broken. */
  readonly lost: () => void
}

interface Connection {
  readonly stream: Duplex
  readonly data: (bytes: Buffer) => void
  readonly end: () => void
  readonly broken: () => void
  readonly allow: (bytes: number) => void
  readonly pump: () => void
}

/** Somebody who waits for the answer to `net.dial`. */
interface Waiting {
  readonly opened: () => void
  readonly failed: (reason: NotDialed["reason"]) => void
}

/** How much of what came waits for who reads the stream, beside what is under way, in bytes. */
const BUFFERED = 64 * 1024

/**
 * Makes the connections into a sandbox.
 */
export const makeDialer = (port: DialerPort): Dialer => {
  const connections = new Map<number, Connection>()
  const waiting = new Map<number, Waiting>()
  let last = 0
  let gone = false

  const connect = (net: number): Duplex => {
    let mayReceive = NET_WINDOW
    let maySend = NET_WINDOW
    let owed = 0
    let endedInside = false
    let endedOutside = false
    let unsent: { bytes: Uint8Array; readonly done: () => void } | undefined

    /** Gives back what has been taken. */
    const pay = (): void => {
      if (owed > 0 && connections.has(net)) {
        mayReceive += owed
        port.send({ op: "net.credit", net, bytes: owed })
        owed = 0
      }
    }

    const pump = (): void => {
      while (unsent !== undefined && maySend > NET_FRAME_COST && !port.congested()) {
        const piece = unsent.bytes.subarray(0, maySend - NET_FRAME_COST)
        maySend -= piece.length + NET_FRAME_COST
        port.send({ op: "net.data", net }, piece)
        const rest = unsent.bytes.subarray(piece.length)
        if (rest.length > 0) {
          unsent.bytes = rest
        } else {
          const { done } = unsent
          unsent = undefined
          done()
        }
      }
    }

    const stream = new Duplex({
      allowHalfOpen: true,
      readableHighWaterMark: BUFFERED,
      writableHighWaterMark: BUFFERED,
      read: pay,
      write: (bytes: Buffer, _, done) => {
        unsent = { bytes, done }
        pump()
      },
      final: (done) => {
        endedOutside = true
        if (connections.has(net)) port.send({ op: "net.end", net })
        done()
      },
      destroy: (error, done) => {
        if (connections.delete(net) && !(endedInside && endedOutside)) port.send({ op: "net.close", net })
        done(error)
      }
    })
    // Without a listener an error would end this program. Who uses the stream has one of its own.
    stream.on("error", () => {})
    connections.set(net, {
      stream,
      pump,
      data: (bytes) => {
        const cost = bytes.length + NET_FRAME_COST
        mayReceive -= cost
        if (mayReceive < 0 || endedInside) {
          return port.violated("more of a connection than it was allowed to send")
        }
        owed += cost
        if (stream.push(bytes)) pay()
      },
      end: () => {
        if (!endedInside) {
          endedInside = true
          stream.push(null)
        }
      },
      broken: () => {
        connections.delete(net)
        stream.destroy(new Error("The connection was closed from inside of the sandbox."))
      },
      allow: (bytes) => {
        maySend += bytes
        if (maySend > NET_WINDOW) {
          return port.violated("more credit for a connection than it had taken")
        }
        pump()
      }
    })
    return stream
  }

  /** Takes out whoever waits for this answer. */
  const answered = (net: number): Waiting | undefined => {
    const found = waiting.get(net)
    waiting.delete(net)
    return found
  }

  const dial: Dialer["dial"] = (to) =>
    Effect.suspend(() => {
      let made: Duplex | undefined
      const opening = Effect.async<Duplex, NotDialed>((resume) => {
        const fail = (reason: NotDialed["reason"]) => resume(new NotDialed({ reason }))
        if (gone || connections.size + waiting.size >= PORT_CONNECTIONS) {
          return fail(gone ? "lost" : "full")
        }
        last -= 1
        const net = last
        waiting.set(net, {
          failed: fail,
          opened: () => {
            made = connect(net)
            resume(Effect.succeed(made))
          }
        })
        port.send({ op: "net.dial", net, port: to })
        return Effect.sync(() => {
          if (waiting.delete(net)) port.send({ op: "net.close", net })
        })
      })
      return Effect.zipRight(Effect.addFinalizer(() => Effect.sync(() => made?.destroy())), opening)
    })

  return {
    dial,
    resume: () => {
      for (const connection of connections.values()) connection.pump()
    },
    lost: () => {
      gone = true
      const left = [...connections.values()]
      connections.clear()
      for (const net of [...waiting.keys()]) answered(net)?.failed("lost")
      for (const { broken } of left) broken()
    },
    receive: (message, blob) => {
      const { net } = message
      switch (message.ev) {
        case "net.opened":
          return answered(net)?.opened()
        case "net.refused":
          return answered(net)?.failed(message.status === 503 ? "full" : "closed")
        case "net.data":
          return connections.get(net)?.data(blob)
        case "net.end":
          return connections.get(net)?.end()
        case "net.credit":
          return connections.get(net)?.allow(message.bytes)
        case "net.close":
          return connections.get(net)?.broken()
        case "net.open":
          return port.violated("a number of a connection that is not its own")
      }
    }
  }
}
