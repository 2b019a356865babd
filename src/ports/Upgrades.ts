/**
 * Requests that want their connection for another protocol (RFC 9110, 7.8). Node asks once for a whole server whether it
 * has any; here it is asked for each request.
 */
import { Buffer } from "node:buffer"
import type { IncomingMessage, Server } from "node:http"
import type { Duplex } from "node:stream"
import { type Fields, fieldsOf, valuesOf, without } from "./Fields.js"

const UPGRADE = new Set(["upgrade", "connection"])

/** The same without the wish: a request like any other. */
const withoutUpgrade = (fields: Fields): Fields => {
  const options = valuesOf(fields, "connection").flatMap((value) => value.split(",")).map((option) => option.trim())
  const kept = options.filter((option) => option !== "" && option.toLowerCase() !== "upgrade")
  return [...without(fields, UPGRADE), ...(kept.length === 0 ? [] : [["Connection", kept.join(", ")] as const])]
}

/** The head of a request as Node has parsed it; so nothing in it can be the beginning of another. */
const headOf = ({ httpVersion, method, rawHeaders, url }: IncomingMessage): Buffer =>
  Buffer.from(
    `${method} ${url} HTTP/${httpVersion}\r\n` +
      withoutUpgrade(fieldsOf(rawHeaders)).map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n",
    "latin1"
  )

/**
 * Gives the connections of those requests for which `wants` holds to `take`; all others are answered by the server as if
 * they had not asked.
 */
export const takeUpgrades = (
  server: Server,
  wants: (incoming: IncomingMessage) => boolean,
  take: (incoming: IncomingMessage, socket: Duplex) => void
): void => {
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    const isTaken = wants(incoming)
    const first = isTaken ? head : Buffer.concat([headOf(incoming), head])
    if (first.length > 0) {
      socket.unshift(first)
    }
    if (isTaken) {
      take(incoming, socket)
    } else {
      server.emit("connection", socket)
    }
  })
}
