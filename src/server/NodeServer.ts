/**
 * The server of Node underneath: its limits, and what it refuses by itself.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import { createServer } from "node:http"
import type { Duplex } from "node:stream"
import { encodeError } from "./Answer.js"
import { type Problem, problem } from "./Problem.js"
import type { Complete } from "./Settings.js"

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large"
}

/** An answer to what is no request: there is nothing yet that could answer it. */
const write = (socket: Duplex, { error, status }: Problem): void => {
  const body = Buffer.from(JSON.stringify(encodeError(error)))
  socket.end(Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${status} ${reasons[status] ?? "Bad Request"}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`
    ),
    body
  ]))
}

const codeOf = (error: Error): unknown => "code" in error ? error.code : undefined

/**
 * Whether the connection has ended in the middle of a request. A gateway whose client has gone, or whose own connection
 * broke, would pass an answer on as the word about the whole request, and nobody would make it again.
 */
const isBreak = (error: Error): boolean => {
  const code = codeOf(error)
  return code === "ECONNRESET" || code === "HPE_INVALID_EOF_STATE"
}

const problemOf = (error: Error, { maxHeaderBytes }: Complete): Problem => {
  switch (codeOf(error)) {
    case "HPE_HEADER_OVERFLOW":
      return problem(431, `The header fields and the URL are larger than ${maxHeaderBytes} bytes.`)
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return problem(408, "The request did not arrive in time.")
    default:
      return problem(400, "This is not a request of HTTP/1.1.")
  }
}

/**
 * Makes the server; it does not listen yet.
 */
export const make = (settings: Complete): Server => {
  const server = createServer({
    noDelay: true,
    maxHeaderSize: settings.maxHeaderBytes,
    headersTimeout: settings.headersTimeoutMs,
    // Bodies have a limit of their own: an upload may take hours, as long as it goes on.
    requestTimeout: 0,
    keepAliveTimeout: settings.idleTimeoutMs,
    connectionsCheckingInterval: 5_000
  })
  server.maxConnections = settings.maxConnections
  server.on("clientError", (error: Error, socket: Duplex) => {
    if (socket.writable && !isBreak(error)) {
      write(socket, problemOf(error, settings))
    } else {
      socket.destroy()
    }
  })
  server.on("checkExpectation", (_: IncomingMessage, response: ServerResponse) => {
    const { error } = problem(400, "The server cannot do what `Expect` asks for.", { field: "expect" })
    const body = JSON.stringify(encodeError(error))
    response.writeHead(417, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body)
  })
  server.on(
    "connect",
    (_: IncomingMessage, socket: Duplex) => write(socket, problem(400, "The server is no proxy.", { field: "method" }))
  )
  return server
}
