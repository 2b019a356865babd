/**
 * What programs say to the proxy of a sandbox before their connection is made, and what they are told.
 *
 * HTTP/1.1 (RFC 9110, 9.3.6 and RFC 9112, 3.2): `CONNECT host:port`, and plain requests with a whole URL. SOCKS version 5
 * (RFC 1928): connections, without authentication, by name or by address.
 */
import { Answer } from "./answers.js"
import { END_OF_HEAD, END_OF_LINE, fieldsOf, HOP_BY_HOP, MAX_HEAD, optionsOf, Refused, TOKEN } from "./heads.js"

const MAX_HOST = 255

const URL_OF_REQUEST = /^http:\/\/([^/?#]*)([^#]*)(?:#.*)?$/is
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+))(?::([0-9]{0,5}))?$/s

/** They say how the message itself goes on, and what it is for: no Connection header takes them away. */
const FRAMING: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host"])

/** What SOCKS says for a status of HTTP (RFC 1928, 6). */
const REPLIES: Readonly<Record<number, number>> = { 403: 2, 502: 4, 503: 1, 504: 6 }

/** How the address of a SOCKS request is given, and how many bytes it takes; a name has its length before it. */
const [IPV4, NAME, IPV6] = [1, 3, 4]

const EMPTY = Buffer.alloc(0)

/**
 * A connection that was asked for.
 */
export interface ProxyRequest {
  readonly host: string
  readonly port: number
  /** What the server is sent first. */
  readonly forward: Buffer
  /** What the client is told when the connection is there. */
  readonly established: Buffer
  /** What passes what the server says. */
  readonly answer?: Answer
  /** What the client is told when it is not made. */
  readonly refusal: (status: number, message: string) => Buffer
}

/**
 * What came of some bytes.
 */
export interface Heard {
  /** What to answer at once. */
  readonly answer: Buffer
  readonly request?: ProxyRequest
  /** What followed on the request. */
  readonly rest: Buffer
}

const socksReply = (code: number): Buffer => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0])

/** The sentence is in the status line too: of a CONNECT that fails, many programs show nothing else. */
const httpRefusal = (status: number, message: string): Buffer => {
  const line = message.replace(/[^ -~]/g, "?")
  return Buffer.from(
    `HTTP/1.1 ${status} ${line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${line.length + 1}\r\n` +
      `Connection: close\r\n\r\n${line}\n`
  )
}

/** The host and port of `host:port`, with the port of the scheme where there is none. */
const authority = (text: string, defaultPort: number): { readonly host: string; readonly port: number } => {
  const [, address, name, digits] = AUTHORITY.exec(text) ?? []
  const host = address ?? name ?? ""
  const port = digits === undefined || digits === "" ? defaultPort : Number(digits)
  if (host === "" || host.length > MAX_HOST || port === 0 || port > 65_535) {
    throw new Refused(400, "The request names no host and port, such as example.org:443.")
  }
  return { host, port }
}

/** The fields for the server: one request a connection, as each may be for another host. */
const requestFields = (lines: ReadonlyArray<string>): string => {
  const fields = fieldsOf(lines)
  const options = optionsOf(fields)
  const upgrades = options.has("upgrade") && fields.some(({ name }) => name === "upgrade")
  const isDropped = (name: string): boolean =>
    HOP_BY_HOP.has(name) || name === "host" ||
    (options.has(name) && !FRAMING.has(name) && !(upgrades && name === "upgrade"))
  const kept = fields.filter(({ name }) => !isDropped(name)).map(({ line }) => line)
  return [...kept, upgrades ? "Connection: upgrade" : "Connection: close", "", ""].join("\r\n")
}

const readHttp = (head: string): ProxyRequest => {
  const [first = "", ...lines] = head.split(END_OF_LINE)
  const [method = "", target = "", version = "", ...more] = first.split(" ")
  if (more.length > 0 || !TOKEN.test(method) || (version !== "HTTP/1.1" && version !== "HTTP/1.0")) {
    throw new Refused(400, "This is a proxy for HTTP/1.1 and SOCKS 5, and the request is neither.")
  }
  if (method === "CONNECT") {
    return {
      ...authority(target, 0),
      forward: EMPTY,
      established: Buffer.from("HTTP/1.1 200 Connection established\r\n\r\n"),
      refusal: httpRefusal
    }
  }
  const [, before, after] = URL_OF_REQUEST.exec(target) ?? []
  if (before === undefined || after === undefined) {
    throw new Refused(
      400,
      target.toLowerCase().startsWith("https:")
        ? "Ask for https by CONNECT: the proxy does not look into it."
        : "This is the proxy of the sandbox and no web server: name the whole URL, http://host/path."
    )
  }
  const named = before.slice(before.lastIndexOf("@") + 1)
  const path = after.startsWith("/") ? after : method === "OPTIONS" && after === "" ? "*" : `/${after}`
  return {
    ...authority(named, 80),
    forward: Buffer.from(`${method} ${path} ${version}\r\nHost: ${named}\r\n${requestFields(lines)}`, "latin1"),
    established: EMPTY,
    answer: new Answer(),
    refusal: httpRefusal
  }
}

/** An address of version 6 in words, as short as it goes (RFC 5952). */
const ipv6 = (bytes: Buffer): string => {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)
}

/**
 * Takes what a client says, piece by piece.
 */
export class Handshake {
  #buffer: Buffer = EMPTY
  #greeted = false
  #greeting: Buffer = EMPTY

  /** Throws `Refused`. */
  feed(data: Buffer): Heard {
    this.#buffer = Buffer.concat([this.#buffer, data])
    if (this.#buffer[0] === 5) {
      return this.#socks()
    }
    const text = this.#buffer.toString("latin1", 0, MAX_HEAD + 4)
    const found = END_OF_HEAD.exec(text)
    if (found === null || found.index + found[0].length > MAX_HEAD) {
      if (this.#buffer.length > MAX_HEAD) {
        throw new Refused(431, `The header of the request is longer than ${MAX_HEAD} bytes.`)
      }
      return { answer: EMPTY, rest: EMPTY }
    }
    return {
      answer: EMPTY,
      request: readHttp(text.slice(0, found.index)),
      rest: this.#buffer.subarray(found.index + found[0].length)
    }
  }

  /** How a client is told that it was not understood. */
  refusal({ message, status }: Refused): Buffer {
    if (this.#buffer[0] !== 5) {
      return httpRefusal(status, message)
    }
    return this.#greeted ? Buffer.concat([this.#greeting, socksReply(status)]) : Buffer.from([5, 0xff])
  }

  #socks(): Heard {
    this.#greeting = EMPTY
    if (!this.#greeted) {
      const methods = this.#buffer[1]
      if (methods === undefined || this.#buffer.length < 2 + methods) {
        return { answer: EMPTY, rest: EMPTY }
      }
      if (!this.#buffer.subarray(2, 2 + methods).includes(0)) {
        throw new Refused(255, "")
      }
      // What is left begins with the version of the greeting, which is that of the request too.
      this.#buffer = Buffer.concat([Buffer.from([5]), this.#buffer.subarray(2 + methods)])
      this.#greeted = true
      this.#greeting = Buffer.from([5, 0])
    }
    const request = this.#buffer.subarray(1)
    const [version, command, , kind, length] = request
    if (length === undefined) {
      return { answer: this.#greeting, rest: EMPTY }
    }
    const size = kind === IPV4 ? 4 : kind === IPV6 ? 16 : kind === NAME ? 1 + length : undefined
    if (version !== 5 || size === undefined) {
      throw new Refused(8, "")
    }
    if (command !== 1) {
      throw new Refused(7, "")
    }
    if (request.length < 4 + size + 2) {
      return { answer: this.#greeting, rest: EMPTY }
    }
    const address = request.subarray(4, 4 + size)
    const host = kind === NAME ? address.toString("latin1", 1) : kind === IPV4 ? address.join(".") : ipv6(address)
    const port = request.readUInt16BE(4 + size)
    if (host === "" || port === 0) {
      throw new Refused(1, "")
    }
    return {
      answer: this.#greeting,
      request: {
        host,
        port,
        forward: EMPTY,
        established: socksReply(0),
        refusal: (status) => socksReply(REPLIES[status] ?? 1)
      },
      rest: request.subarray(4 + size + 2)
    }
  }
}
