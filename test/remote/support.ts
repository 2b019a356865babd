import { Effect, Layer, Redacted } from "effect"
import type { Socket } from "node:net"
import { createServer } from "node:net"
import { SandboxConfig, type SandboxConfigOptions } from "../../src/SandboxConfig.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"

/** A key that must appear nowhere. */
export const KEY = "sk-remote-5e3c1b9a7d"

/** A request as it arrived. */
export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A server that says what it likes: it gets each request, whole, and a socket to answer on. */
export interface RawServer {
  readonly url: string
  readonly port: number
  readonly received: ReadonlyArray<Received>
  /** How many connections there have been. */
  readonly connections: () => number
  /** How many of them are closed. */
  readonly closed: () => number
}

const parseHead = (head: string): Omit<Received, "body"> => {
  const [first = "", ...lines] = head.split("\r\n")
  const [method = "", path = ""] = first.split(" ")
  return {
    method,
    path,
    headers: Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
  }
}

const dechunk = (body: string): string | undefined => {
  let rest = body
  let text = ""
  for (;;) {
    const end = rest.indexOf("\r\n")
    if (end < 0) {
      return undefined
    }
    const size = parseInt(rest.slice(0, end), 16)
    if (rest.length < end + 2 + size + 2) {
      return undefined
    }
    if (size === 0) {
      return text
    }
    text += rest.slice(end + 2, end + 2 + size)
    rest = rest.slice(end + 2 + size + 2)
  }
}

export const rawServer = (answer: (socket: Socket, request: Received, index: number) => void, port = 0) =>
  Effect.acquireRelease(
    Effect.async<RawServer & { readonly close: () => void }>((resume) => {
      const received: Array<Received> = []
      const sockets = new Set<Socket>()
      let connections = 0
      let closed = 0
      const server = createServer((socket) => {
        sockets.add(socket)
        connections += 1
        let data = ""
        socket.setEncoding("latin1")
        socket.on("error", () => {})
        socket.on("close", () => {
          closed += 1
          sockets.delete(socket)
        })
        socket.on("data", (text: string) => {
          data += text
          for (;;) {
            const end = data.indexOf("\r\n\r\n")
            if (end < 0) {
              return
            }
            const head = parseHead(data.slice(0, end))
            const rest = data.slice(end + 4)
            const isChunked = head.headers["transfer-encoding"] === "chunked"
            const length = Number(head.headers["content-length"] ?? 0)
            const body = isChunked ? dechunk(rest) : rest.length >= length ? rest.slice(0, length) : undefined
            if (body === undefined) {
              return
            }
            data = isChunked ? "" : rest.slice(length)
            const request = { ...head, body }
            received.push(request)
            answer(socket, request, received.length - 1)
          }
        })
      })
      server.listen(port, "127.0.0.1", () => {
        const address = server.address()
        const actual = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({
          url: `http://127.0.0.1:${actual}`,
          port: actual,
          received,
          connections: () => connections,
          closed: () => closed,
          close: () => {
            for (const socket of sockets) {
              socket.destroy()
            }
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** A port that nobody listens on. */
export const freePort = Effect.scoped(Effect.map(rawServer(() => {}), ({ port }) => port))

/** An answer that is whole. */
export const reply = (
  socket: Socket,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = { "content-type": "application/json" }
): void => {
  const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body)) })
  socket.write(`HTTP/1.1 ${status} X\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`)
}

/** The head of an answer that is a stream. */
export const streamHead = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"

/** A piece of it. */
export const piece = (bytes: string | Uint8Array): Buffer => {
  const data = Buffer.from(bytes)
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")])
}

/** The end of it. */
export const lastPiece = "0\r\n\r\n"

export const started = { _tag: "Started", seq: 0, executionId: "exe_1", sandboxId: "sbx_1", timestamp: 1 }
export const stdout = (seq: number, text: string) => ({ _tag: "Stdout", seq, text, timestamp: 1_000 })
export const ended = (seq: number) => ({ _tag: "Ended", seq, duration: 5, timestamp: 6 })
export const line = (record: object): string => `${JSON.stringify(record)}\n`

/** The layer under test. Its retries are quick. */
export const remote = (url: string, options: Partial<SandboxConfigOptions> = {}): Layer.Layer<SandboxSDK> =>
  SandboxSDK.layerFetch.pipe(
    Layer.provide(SandboxConfig.layer({ apiKey: Redacted.make(KEY), serverUrl: url, retryDelay: 1, ...options })),
    Layer.orDie
  )

export const info = {
  id: "sbx_1",
  userId: "u",
  templateId: "python-3.11",
  templateConfig: { name: "Python", language: "python", version: "3.11" },
  status: "ready",
  createdAt: 1,
  updatedAt: 1
}
