/**
 * Makes `fetch`, `http` and `https` go by HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in a Node that does not do so itself: it
 * is loaded first by every Node of a sandbox that has a network of named hosts. From 22.21 and 24.5 on, Node does it by
 * NODE_USE_ENV_PROXY, and this does nothing.
 *
 * Every connection is asked of the proxy by CONNECT, so that what is above it (requests, TLS, keep-alive) stays as it is.
 */
import * as http from "node:http"
import * as https from "node:https"
import * as net from "node:net"
import * as tls from "node:tls"

type Connected = (error: Error | null, socket?: net.Socket) => void

interface Target {
  readonly host: string
  readonly port: number
  readonly secure: boolean
}

const MAX_ANSWER = 64 * 1024

const variable = (name: string): string => process.env[name.toLowerCase()] || process.env[name] || ""

const bare = (host: string): string => host.toLowerCase().replace(/^\[|\]$|\.$/g, "")

/** The proxy for a host; `undefined` when it is to be reached directly. */
const proxyFor = ({ host, port, secure }: Target): URL | undefined => {
  const name = bare(host)
  const isDirect = variable("NO_PROXY").toLowerCase().split(/[\s,]+/).some((entry) =>
    entry === "*" || entry === name || entry === `${name}:${port}` ||
    (entry !== "" && name.endsWith(entry.startsWith(".") ? entry : `.${entry}`))
  )
  const proxy = variable(secure ? "HTTPS_PROXY" : "HTTP_PROXY")
  const url = isDirect || !proxy.startsWith("http://") || !URL.canParse(proxy) ? undefined : new URL(proxy)
  // A library that goes by the variables itself asks for the proxy.
  return url !== undefined && bare(url.hostname) === name && Number(url.port || 80) === port ? undefined : url
}

/** A connection through the proxy. */
const connect = (proxy: URL, { host, port }: Target, connected: Connected): void => {
  const name = bare(host)
  const target = `${name.includes(":") ? `[${name}]` : name}:${port}`
  const socket = net.connect(Number(proxy.port || 80), bare(proxy.hostname))
  let answer = Buffer.alloc(0)
  const finish = (error: Error | null): void => {
    socket.off("readable", onReadable).off("error", finish).off("end", onEnd)
    if (error === null) {
      connected(null, socket)
    } else {
      socket.destroy()
      connected(error)
    }
  }
  const onEnd = (): void => finish(new Error(`The proxy closed the connection for ${target}.`))
  const onReadable = (): void => {
    for (let chunk: unknown = socket.read(); chunk instanceof Buffer; chunk = socket.read()) {
      answer = Buffer.concat([answer, chunk])
    }
    const end = answer.indexOf("\r\n\r\n")
    if (end < 0) {
      return answer.length > MAX_ANSWER ? onEnd() : undefined
    }
    const [, status = "", reason = ""] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)/.exec(answer.toString("latin1")) ?? []
    if (!status.startsWith("2")) {
      return finish(
        Object.assign(new Error(reason || `The proxy did not connect to ${target}.`), {
          code: "ERR_PROXY_TUNNEL",
          statusCode: Number(status)
        })
      )
    }
    const rest = answer.subarray(end + 4)
    finish(null)
    if (rest.length > 0) socket.unshift(rest)
  }
  socket.on("readable", onReadable).on("error", finish).on("end", onEnd)
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`)
}

const isNetwork = (options: unknown): options is net.TcpNetConnectOpts & { readonly socketPath?: string | null } =>
  typeof options === "object" && options !== null

const isCallback = (value: unknown): value is Connected => typeof value === "function"

/** Puts the proxy under an agent: under every one, for many libraries make their own. */
const patch = (prototype: object, secure: boolean): void => {
  const original = Reflect.get(prototype, "createConnection")
  Reflect.set(prototype, "createConnection", function(this: unknown, ...args: Array<unknown>): unknown {
    const [options, connected] = args
    if (!isNetwork(options) || !isCallback(connected) || options.socketPath || "socket" in options) {
      return Reflect.apply(original, this, args)
    }
    const target = { host: options.host ?? "localhost", port: Number(options.port), secure }
    const proxy = proxyFor(target)
    if (proxy === undefined) {
      return Reflect.apply(original, this, args)
    }
    connect(proxy, target, (error, socket) => {
      const made: unknown = error === null && secure ? Reflect.apply(original, this, [{ ...options, socket }]) : socket
      connected(error, made instanceof net.Socket ? made : undefined)
    })
    return undefined
  })
}

interface FetchTarget {
  readonly hostname: string
  readonly port?: string
  readonly protocol: string
  readonly servername?: string | null
}

/** Connects for `fetch`, directly or through the proxy. */
const connectForFetch = (options: FetchTarget, connected: Connected): void => {
  const secure = options.protocol === "https:"
  const target = { host: options.hostname, port: Number(options.port || (secure ? 443 : 80)), secure }
  const host = bare(target.host)
  const begin: Connected = (error, socket) => {
    if (error !== null || socket === undefined) {
      return connected(error)
    }
    if (!secure) {
      return connected(null, socket)
    }
    const name = options.servername || host
    const secured = tls.connect({
      socket,
      ALPNProtocols: ["http/1.1"],
      ...(net.isIP(name) ? {} : { servername: name })
    })
    const fail = (error: Error): void => connected(error)
    secured.once("error", fail).once("secureConnect", () => {
      secured.off("error", fail)
      connected(null, secured)
    })
  }
  const proxy = proxyFor(target)
  if (proxy !== undefined) {
    return connect(proxy, target, begin)
  }
  const socket = net.connect({ host, port: target.port, noDelay: true })
  const fail = (error: Error): void => begin(error)
  socket.once("error", fail).once("connect", () => {
    socket.off("error", fail)
    begin(null, socket)
  })
}

/** What `fetch` of Node takes its connections from; it is there once `fetch` has been used (undici, lib/global.js). */
const DISPATCHER = Symbol.for("undici.globalDispatcher.1")

/** Node does not give out the class of that, but one that is there tells it. */
const installForFetch = (): void => {
  new Response()
  const current: unknown = Reflect.get(globalThis, DISPATCHER)
  if (typeof current === "object" && current !== null) {
    const made: unknown = Reflect.construct(current.constructor, [{ connect: connectForFetch }])
    Reflect.set(globalThis, DISPATCHER, made)
  }
}

/** Loading what is behind `fetch` takes as long as starting Node: that waits for its first use. */
const patchFetch = (): void => {
  const original = globalThis.fetch
  let installed = false
  globalThis.fetch = function fetch(...args: Parameters<typeof original>) {
    if (!installed) {
      installed = true
      installForFetch()
    }
    return original(...args)
  }
}

if (!process.allowedNodeEnvironmentFlags.has("--use-env-proxy")) {
  patch(http.Agent.prototype, false)
  patch(https.Agent.prototype, true)
  patchFetch()
}
