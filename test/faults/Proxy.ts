/**
 * What lies between a client and a server: a proxy that does to connections what networks do.
 *
 * Each connection is used for one request, so that a fault is always one of a certain exchange.
 */
import { Effect } from "effect"
import { once } from "node:events"
import * as Net from "node:net"
import { setImmediate, setTimeout as sleep } from "node:timers/promises"
import { type AtFault, type Direction, type Duplicate, type Fault, type Gateway, isAt, type Size } from "./Faults.js"
import { requestOf } from "./Framing.js"

/** How long a gateway waits for an answer that it then loses. */
const LOST_MS = 2_000

/** How much later a request comes that comes later. */
const LATER_MS = 40

/** How long it may take a client to notice that nothing is passed on any more. */
const NOTICE_MS = 60_000

/** How long an exchange whose caller has gone may take to be over. */
const SETTLE_MS = 15_000

/**
 * What happens between two calls of {@link Proxy.arm}.
 */
export interface Exchange {
  /** The faults that have happened. */
  readonly fired: ReadonlyArray<Fault>
  /** The bytes that have been passed on. */
  readonly size: () => Size
  /** When the last fault was over, by `performance.now()`; `Infinity` while one goes on. */
  readonly lastFault: () => number
  /** Waits for the requests that nobody waits for, and closes what is open. */
  readonly settle: Effect.Effect<void>
}

export interface Proxy {
  readonly url: string
  /** These faults from now on. */
  readonly arm: (faults: ReadonlyArray<Fault>) => Exchange
}

class State implements Exchange {
  readonly fired: Array<Fault> = []
  readonly passed = { request: 0, answer: 0 }
  readonly waiting: Set<Promise<unknown>> = new Set()
  readonly sockets: Set<Net.Socket> = new Set()
  readonly trickle = { request: { bytes: 0, ms: 0 }, answer: { bytes: 0, ms: 0 } }
  requests = 0
  private goingOn = 0
  private over = performance.now()
  private readonly pending: Set<Fault>

  /** `everySocket` are those of all exchanges of a proxy. */
  constructor(faults: ReadonlyArray<Fault>, private readonly everySocket: Set<Net.Socket>) {
    this.pending = new Set(faults)
  }

  readonly size = () => ({ ...this.passed })

  readonly lastFault = () => this.goingOn > 0 && performance.now() - this.over < NOTICE_MS ? Infinity : this.over

  readonly settle = Effect.promise(async () => {
    await Promise.race([Promise.all(this.waiting), sleep(SETTLE_MS, undefined, { ref: false })])
    for (const socket of this.sockets) socket.destroy()
  })

  /** The next fault in this direction that lies within so many bytes. */
  next(direction: Direction, bytes: number): AtFault | undefined {
    let found: AtFault | undefined
    for (const fault of this.pending) {
      if (
        isAt(fault) && fault.direction === direction && fault.at <= this.passed[direction] + bytes &&
        (found === undefined || fault.at < found.at)
      ) {
        found = fault
      }
    }
    return found
  }

  /** The fault that concerns a request as a whole. */
  whole(request: number): Gateway | Duplicate | undefined {
    for (const fault of this.pending) {
      if (!isAt(fault) && fault.request === request) return fault
    }
    return undefined
  }

  /** Counts a fault, for as long as it takes. */
  async fire(fault: Fault, during: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.pending.delete(fault)
    this.fired.push(fault)
    this.goingOn += 1
    this.over = performance.now()
    try {
      await during()
    } finally {
      this.goingOn -= 1
      this.over = performance.now()
    }
  }

  keep(work: Promise<unknown>): void {
    const kept = work.catch(() => {}).finally(() => this.waiting.delete(kept))
    this.waiting.add(kept)
  }

  hold(socket: Net.Socket): Net.Socket {
    const sets = [this.sockets, this.everySocket]
    for (const set of sets) set.add(socket)
    // Whoever reads from it or writes to it finds out by that.
    socket.on("error", () => {}).on("close", () => sets.forEach((set) => set.delete(socket)))
    return socket
  }
}

const isOver = (socket: Net.Socket): boolean => socket.destroyed || socket.writableEnded

const write = async (socket: Net.Socket, bytes: Buffer): Promise<void> => {
  if (!isOver(socket) && !socket.write(bytes)) {
    await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {})
  }
}

/** What comes over a connection, which stays open when nobody reads on. */
const bytesOf = (socket: Net.Socket): AsyncIterator<Buffer> & AsyncIterable<Buffer> =>
  socket.iterator({ destroyOnReturn: false })

/** Reads and forgets. */
const drain = async (socket: Net.Socket, ms: number): Promise<void> => {
  socket.resume()
  const limit = new AbortController()
  await Promise.race([
    once(socket, "close", { signal: limit.signal }).catch(() => {}),
    once(socket, "end", { signal: limit.signal }).catch(() => {}),
    sleep(ms, undefined, { signal: limit.signal }).catch(() => {})
  ])
  limit.abort()
}

/** One connection of a client. */
class Connection {
  private isStalled = false

  constructor(private readonly state: State, private readonly client: Net.Socket, private readonly port: number) {}

  private connect(): Net.Socket {
    return this.state.hold(Net.connect({ port: this.port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true }))
  }

  /** Does what the fault says; whether anything can be passed on afterwards. */
  private async apply(fault: AtFault, server: Net.Socket, to: Net.Socket): Promise<boolean> {
    const { client, state } = this
    switch (fault.kind) {
      case "cut":
        client.end()
        client.destroySoon()
        server.destroy()
        return false
      case "reset":
        client.resetAndDestroy()
        server.resetAndDestroy()
        return false
      case "half-close":
        to.end() // What still comes is read, and lost.
        ;(to === client ? server : client).resume()
        return false
      case "delay":
        await sleep(fault.ms)
        return true
      case "split":
        state.trickle[fault.direction] = { bytes: fault.bytes, ms: 0 }
        return true
      case "slow-loris":
        state.trickle[fault.direction] = { bytes: fault.bytes, ms: fault.ms }
        return true
      case "stall":
        // The server is told of nothing, even when the client has given up.
        this.isStalled = true
        server.pause()
        client.resume()
        if (!client.destroyed) await once(client, "close").catch(() => {})
        return false
    }
  }

  /** Passes bytes on, as they come, with the faults that happen to them; whether all of them have been. */
  private async pass(
    direction: Direction,
    pieces: AsyncIterable<Buffer>,
    server: Net.Socket,
    to: Net.Socket
  ): Promise<boolean> {
    const { state } = this
    const send = async (bytes: Buffer) => {
      const slow = state.trickle[direction]
      let from = 0
      while (slow.bytes > 0 && from < bytes.length && !isOver(to)) {
        slow.bytes -= 1
        await write(to, bytes.subarray(from, from + 1))
        from += 1
        await (slow.ms > 0 ? sleep(slow.ms) : setImmediate())
      }
      await write(to, bytes.subarray(from))
    }
    for await (const piece of pieces) {
      let rest = piece
      for (;;) {
        if (this.isStalled) return false
        const fault = state.next(direction, rest.length)
        const count = fault === undefined ? rest.length : Math.max(0, fault.at - state.passed[direction])
        if (count > 0) {
          await send(rest.subarray(0, count))
          state.passed[direction] += count
          rest = rest.subarray(count)
        }
        if (fault === undefined) break
        let goesOn = true
        await state.fire(fault, async () => {
          goesOn = await this.apply(fault, server, to)
        })
        if (!goesOn) return false
      }
    }
    return true
  }

  /** Answers in place of the server. */
  private async gateway(fault: Gateway, request: ReturnType<typeof requestOf>): Promise<void> {
    const { client, state } = this
    await state.fire(fault, async () => {
      const server = fault.when === "after" ? this.connect() : undefined
      for await (const bytes of request.bytes) {
        if (server !== undefined) await write(server, bytes)
      }
      if (server !== undefined) {
        await drain(server, LOST_MS)
        server.destroy()
      }
    })
    const page = `<html><head><title>${fault.kind}</title></head><body>upstream: größter Ärger</body></html>`
    client.end(
      `HTTP/1.1 ${fault.kind} Gateway\r\ncontent-type: text/html\r\nconnection: close\r\n` +
        `content-length: ${Buffer.byteLength(page)}\r\n\r\n${page}`
    )
  }

  /** Passes an answer on. */
  private async answered(server: Net.Socket): Promise<void> {
    const { client } = this
    client.on("close", () => {
      if (!this.isStalled) server.destroy()
    })
    const isWhole = await this.pass("answer", bytesOf(server), server, client).catch(() => {
      if (!this.isStalled) client.resetAndDestroy()
      return false
    })
    if (isWhole) client.end()
  }

  async serve(): Promise<void> {
    const { client, state } = this
    const request = requestOf(bytesOf(client))
    const number = state.requests++
    const fault = state.whole(number)
    if (fault !== undefined && fault.kind !== "duplicate") {
      return this.gateway(fault, request)
    }
    const server = this.connect()
    const said: Array<Buffer> = []
    const recorded = async function*() {
      for await (const bytes of request.bytes) {
        if (fault !== undefined) said.push(bytes)
        yield bytes
      }
    }
    const isFirst = fault === undefined || fault.answer === "first"
    const answer = isFirst ? this.answered(server) : drain(server, LOST_MS)
    const isSent = await this.pass("request", recorded(), server, server).catch(() => false)
    // The client can say nothing that has not been said, but that it is gone.
    client.resume()
    if (fault === undefined || !isSent || !request.isComplete()) {
      await answer
      if (!isFirst) client.end()
      return
    }
    if (fault.when === "later") await sleep(LATER_MS)
    if (fault.when === "after") await answer
    const second = this.connect()
    for (const bytes of said) await write(second, bytes)
    await state.fire(fault)
    if (isFirst) {
      await Promise.all([answer, drain(second, LOST_MS)])
      second.destroy()
    } else {
      await Promise.all([this.answered(second), answer])
      server.destroy()
    }
  }
}

/**
 * A proxy before the server at this port of this machine, until the scope closes.
 */
export const make = (port: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly close: () => void; readonly port: number; readonly arm: Proxy["arm"] }>((resume) => {
        const sockets = new Set<Net.Socket>()
        let state = new State([], sockets)
        const arm: Proxy["arm"] = (faults) => {
          state = new State(faults, sockets)
          return state
        }
        const close = () => {
          listener.close()
          sockets.forEach((socket) => socket.destroy())
        }
        const listener = Net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
          const exchange = state
          exchange.hold(client)
          exchange.keep(new Connection(exchange, client, port).serve())
        })
        listener.listen(0, "127.0.0.1", () => {
          const address = listener.address()
          if (typeof address === "object" && address !== null) {
            resume(Effect.succeed({ close, port: address.port, arm }))
          }
        })
      }),
      ({ close }) => Effect.sync(close)
    ),
    ({ arm, port }): Proxy => ({ url: `http://127.0.0.1:${port}`, arm })
  )
