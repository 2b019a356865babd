/**
 * The way into a sandbox: connections to its own loopback, which the engine asks for.
 *
 * What a program sends is read only while there is credit for it, and what the engine sends is paid for when the program
 * has taken it: a side that does not read makes the other wait.
 */
import { connect, type Socket } from "node:net"
import { NET_FRAME_COST, NET_WINDOW } from "../Limits.js"
import type { EngineMessage } from "../Protocol.js"
import { codeOf } from "./errors.js"
import type { Link } from "./link.js"

const CHUNK = 64 * 1024

/** A server listens at one of the two, or at both. */
const LOOPBACK = ["127.0.0.1", "::1"] as const

/** There is no room for another connection. */
const FULL = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])

type NetMessage = Extract<EngineMessage, { readonly op: `net.${string}` }>

export class Ingress {
  readonly #connections = new Map<number, Inbound>()

  constructor(readonly link: Link) {}

  /** Makes a connection. */
  dial({ net, port }: Extract<EngineMessage, { readonly op: "net.dial" }>): void {
    this.#connections.set(net, new Inbound(this.link, net, port, () => this.#connections.delete(net)))
  }

  onMessage(message: NetMessage, blob: Buffer): void {
    this.#connections.get(message.net)?.onMessage(message, blob)
  }

  /** The engine has read on. */
  pump(): void {
    for (const connection of [...this.#connections.values()]) {
      connection.pump()
    }
  }
}

/**
 * One connection that the engine wants.
 */
class Inbound {
  #client: Socket | undefined
  #credit = 0
  #opened = false
  #ended = false
  #saidAll = false
  #shut = false
  #closed = false

  constructor(
    private readonly link: Link,
    private readonly net: number,
    private readonly port: number,
    private readonly forget: () => void
  ) {
    this.#dial(0, "ECONNREFUSED")
  }

  /** Tries the next address. */
  #dial(index: number, why: unknown): void {
    const host = LOOPBACK[index]
    if (host === undefined) {
      this.#forget()
      return this.link.send({ ev: "net.refused", net: this.net, status: FULL.has(String(why)) ? 503 : 502 })
    }
    const client = connect({ host, port: this.port, allowHalfOpen: true, noDelay: true })
    this.#client = client
    client.once("connect", () => {
      // Where nobody listens, a connection may find itself: by chance its own end has the number of that port.
      if (client.localPort === client.remotePort) {
        client.destroy()
        return this.#closed ? undefined : this.#dial(index + 1, why)
      }
      this.#connected(client)
    })
    client.on("error", (error) => {
      if (this.#opened) {
        this.#abort()
      } else if (!this.#closed) {
        const code = codeOf(error)
        this.#dial(index + 1, FULL.has(String(why)) ? why : code)
      }
    })
  }

  #connected(client: Socket): void {
    this.#opened = true
    this.#credit = NET_WINDOW
    this.link.send({ ev: "net.opened", net: this.net })
    client.on("readable", () => this.pump())
    client.on("end", () => {
      this.#ended = true
      this.pump()
    })
    client.on("close", () => this.#abort())
  }

  /** Sends what the program has said, as far as there is credit. */
  pump(): void {
    const client = this.#client
    if (this.#closed || !this.#opened || this.#saidAll || client === undefined) {
      return
    }
    while (this.#credit > NET_FRAME_COST && client.readableLength > 0 && !this.link.congested) {
      const piece: unknown = client.read(Math.min(CHUNK, this.#credit - NET_FRAME_COST, client.readableLength))
      if (!(piece instanceof Uint8Array)) {
        break
      }
      this.#credit -= piece.length + NET_FRAME_COST
      this.link.send({ ev: "net.data", net: this.net }, piece)
    }
    if (this.#ended) {
      this.#saidAll = true
      this.link.send({ ev: "net.end", net: this.net })
      this.#settle()
    } else if (client.readableLength === 0) {
      // Asks for more, and has the end told when there is no more.
      client.read(0)
    }
  }

  #settle(): void {
    if (this.#shut && this.#saidAll) {
      this.#forget()
      this.#client?.destroy()
    }
  }

  /** One side has gone without a proper end: neither may take what it got for all. */
  #abort(): void {
    if (!this.#closed) {
      this.link.send({ ev: "net.close", net: this.net })
      this.#reset()
    }
  }

  #reset(): void {
    this.#forget()
    this.#client?.resetAndDestroy()
  }

  #forget(): void {
    this.#closed = true
    this.forget()
  }

  // ---- the engine ---------------------------------------------------------------------------------------------------

  onMessage(message: NetMessage, blob: Buffer): void {
    switch (message.op) {
      case "net.data": {
        const cost = blob.length + NET_FRAME_COST
        this.#client?.write(blob, (error) => {
          if (!this.#closed && (error === undefined || error === null)) {
            this.link.send({ ev: "net.credit", net: this.net, bytes: cost })
          }
        })
        return
      }
      case "net.end":
        return void this.#client?.end(() => {
          this.#shut = true
          this.#settle()
        })
      case "net.credit": {
        this.#credit += message.bytes
        return this.pump()
      }
      case "net.close":
        return this.#opened ? this.#reset() : this.#giveUp()
      default:
        return
    }
  }

  /** It is not wanted any more before it is made. */
  #giveUp(): void {
    this.#forget()
    this.#client?.destroy()
  }
}
