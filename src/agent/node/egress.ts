/**
 * The way out of a sandbox: a proxy on its loopback, whose connections the engine makes.
 *
 * What a program sends is read only while there is credit for it, and what the engine sends is paid for when the program
 * has taken it: a side that does not read makes the other wait.
 */
import { createServer, type Server, type Socket } from "node:net"
import { NET_FRAME_COST, NET_WINDOW } from "../Limits.js"
import type { AgentMessage, EngineMessage } from "../Protocol.js"
import { Refused } from "./heads.js"
import type { Link } from "./link.js"
import { Handshake, type ProxyRequest } from "./proxy.js"

const CHUNK = 64 * 1024

/** How much of a request that was refused is read and thrown away, so that its sender sees the refusal and no broken pipe. */
const MOST_DISCARDED = 1024 * 1024

const EMPTY = Buffer.alloc(0)

type NetMessage = Extract<EngineMessage, { readonly op: `net.${string}` }>
type Saying = Extract<AgentMessage, { readonly ev: `net.${string}` }>
type WithoutNumber<T> = T extends unknown ? Omit<T, "net"> : never

export class Egress {
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #numbered = new Map<number, Connection>()
  #last = 0

  /** Listens on a port of the loopback for at most so many connections at a time; further ones are turned away. */
  constructor(readonly link: Link, port: number, most: number) {
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
      this.#connections.add(new Connection(this, client))
    })
    this.#server.maxConnections = most
    this.#server.on("error", (error) => process.stderr.write(`agent: the proxy: ${error.message}\n`))
    this.#server.listen(port, "127.0.0.1")
  }

  number(connection: Connection): number {
    this.#last += 1
    this.#numbered.set(this.#last, connection)
    return this.#last
  }

  /** Whether the engine knows of it. */
  isKnown(number: number): boolean {
    return this.#numbered.has(number)
  }

  unnumber(number: number): void {
    this.#numbered.delete(number)
  }

  forget(connection: Connection, number: number): void {
    this.#connections.delete(connection)
    this.#numbered.delete(number)
  }

  onMessage(message: NetMessage, blob: Buffer): void {
    this.#numbered.get(message.net)?.onMessage(message, blob)
  }

  /** The engine has read on. */
  pump(): void {
    for (const connection of [...this.#connections]) {
      connection.pump()
    }
  }
}

/**
 * One program that has connected to the proxy.
 */
class Connection {
  #number = 0
  #handshake: Handshake | undefined = new Handshake()
  #request: ProxyRequest | undefined
  #opened = false
  #refused = false
  #credit = 0
  /** What the program said that there was no credit for, or before its connection was made. */
  #unsent: Buffer = EMPTY
  /** Whether the program has ended its direction, and whether the engine has been told. */
  #ended = false
  #saidAll = false
  #owed = 0
  /** What has been put to the program and not yet taken. */
  #underway = 0
  #finishing = false
  #shut = false
  #discarded = 0
  #closed = false

  constructor(private readonly egress: Egress, private readonly client: Socket) {
    client.on("data", (data: Buffer) => this.#onData(data))
    client.on("end", () => this.#onEnd())
    client.on("error", () => this.#abort())
    client.on("close", () => this.#abort())
    client.resume()
  }

  // ---- the program --------------------------------------------------------------------------------------------------

  #onData(data: Buffer): void {
    if (this.#refused) {
      this.#discarded += data.length
      if (this.#discarded > MOST_DISCARDED) {
        this.#close()
      }
    } else if (this.#handshake !== undefined) {
      this.#converse(this.#handshake, data)
    } else {
      this.#unsent = this.#unsent.length === 0 ? data : Buffer.concat([this.#unsent, data])
      this.pump()
    }
  }

  #converse(handshake: Handshake, data: Buffer): void {
    try {
      const { answer, request, rest } = handshake.feed(data)
      this.#put(answer)
      if (request !== undefined) {
        this.#handshake = undefined
        this.#request = request
        this.#unsent = Buffer.concat([request.forward, rest])
        this.#number = this.egress.number(this)
        this.client.pause()
        this.#say({ ev: "net.open", host: request.host, port: request.port })
      }
    } catch (error) {
      if (!(error instanceof Refused)) {
        throw error
      }
      this.#refuse(handshake.refusal(error))
    }
  }

  #onEnd(): void {
    if (this.#refused || this.#handshake !== undefined) {
      this.#close()
      return
    }
    this.#ended = true
    this.pump()
  }

  /** Sends what the program has said, as far as there is credit, and reads on when all of it is sent. */
  pump(): void {
    if (this.#closed || !this.#opened || this.#saidAll) {
      return
    }
    const { link } = this.egress
    while (this.#unsent.length > 0 && this.#credit > NET_FRAME_COST && !link.congested) {
      const piece = this.#unsent.subarray(0, Math.min(CHUNK, this.#credit - NET_FRAME_COST))
      this.#unsent = this.#unsent.subarray(piece.length)
      this.#credit -= piece.length + NET_FRAME_COST
      this.#say({ ev: "net.data" }, piece)
    }
    if (this.#unsent.length > 0 || this.#credit <= NET_FRAME_COST || link.congested) {
      this.client.pause()
    } else {
      this.client.resume()
    }
    if (this.#ended && this.#unsent.length === 0) {
      this.#saidAll = true
      this.#say({ ev: "net.end" })
      this.#settle()
    }
  }

  /** Passes something on to the program; `cost` is given back to the engine when it has taken it. */
  #put(data: Buffer, cost = 0): void {
    if (this.#closed || (data.length === 0 && cost === 0)) {
      return
    }
    this.#underway += 1
    this.client.write(data, (error) => {
      this.#underway -= 1
      if (error === undefined || error === null) {
        this.#taken(cost)
      }
    })
  }

  #taken(cost: number): void {
    this.#owed += cost
    if (!this.#closed && this.#owed > 0 && (this.#underway === 0 || this.#owed >= NET_WINDOW / 4)) {
      this.#say({ ev: "net.credit", bytes: this.#owed })
      this.#owed = 0
    }
  }

  /** Ends the direction to the program once it has taken all. */
  #finish(): void {
    if (this.#finishing) {
      return
    }
    this.#finishing = true
    this.client.end(() => {
      this.#shut = true
      this.#settle()
    })
  }

  #settle(): void {
    if (this.#shut && this.#saidAll) {
      this.#close()
    }
  }

  /** Says no, and closes once the program has heard it. */
  #refuse(answer: Buffer): void {
    this.#refused = true
    this.#request = undefined
    this.#handshake = undefined
    this.#unsent = EMPTY
    this.#put(answer)
    this.#finish()
    this.client.resume()
    if (this.#ended) {
      this.#saidAll = true
      this.#settle()
    }
  }

  /** One side has gone without a proper end: neither may take what it got for all. */
  #abort(): void {
    if (!this.#closed) {
      if (this.egress.isKnown(this.#number)) {
        this.#say({ ev: "net.close" })
      }
      this.#reset()
    }
  }

  #reset(): void {
    this.#forget()
    this.client.resetAndDestroy()
  }

  #close(): void {
    this.#forget()
    this.client.destroy()
  }

  #forget(): void {
    this.#closed = true
    this.#unsent = EMPTY
    this.egress.forget(this, this.#number)
  }

  // ---- the engine ---------------------------------------------------------------------------------------------------

  #say(message: WithoutNumber<Saying>, blob?: Uint8Array): void {
    this.egress.link.send({ ...message, net: this.#number }, blob)
  }

  onMessage(message: NetMessage, blob: Buffer): void {
    const request = this.#request
    if (request === undefined) {
      return
    }
    switch (message.op) {
      case "net.opened": {
        this.#opened = true
        this.#credit = NET_WINDOW
        this.#put(request.established)
        return this.pump()
      }
      case "net.refused": {
        this.egress.unnumber(this.#number)
        return this.#refuse(request.refusal(message.status, message.message))
      }
      case "net.data":
        return this.#put(request.answer?.feed(blob) ?? blob, blob.length + NET_FRAME_COST)
      case "net.end": {
        this.#put(request.answer?.end() ?? EMPTY)
        return this.#finish()
      }
      case "net.credit": {
        this.#credit += message.bytes
        return this.pump()
      }
      case "net.close":
        return this.#reset()
      case "net.dial":
        // It begins a connection of its own, and says nothing to one that is there.
        return
    }
  }
}
