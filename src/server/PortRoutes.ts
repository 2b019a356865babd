/**
 * Which requests are for the port of a sandbox: by their path, or by the name of a host that belongs to that port alone.
 */
import type { PortAnswer } from "../api/Ports.js"
import { addressAt } from "../internal/ports.js"
import type { PortAddress } from "../Port.js"

/**
 * Where a request goes. `rest` is what is left of its URL: it begins with `/`. `isOwnOrigin` says that this host belongs to
 * the port alone, so that a browser keeps apart what is the port's and what is the server's.
 */
export interface PortRoute {
  readonly id: string
  readonly port: number
  readonly rest: string
  readonly isOwnOrigin: boolean
}

const PATH = /^\/api\/sandboxes\/([^/?]+)\/ports\/(\d{1,5})(\/.*)$/s

const portOf = (digits: string | undefined): number | undefined => {
  const port = Number(digits)
  return port >= 1 && port <= 65_535 ? port : undefined
}

const decoded = (segment: string | undefined): string | undefined => {
  // What is no escape stands for nothing.
  if (segment === undefined || /%(?![0-9A-Fa-f]{2})/.test(segment)) return undefined
  const bytes = Buffer.from(
    segment.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16))),
    "latin1"
  )
  return bytes.toString("utf8")
}

/** An id as a part of the name of a host, which has no underscores (RFC 1123, 2.1), and back. */
const toLabel = (id: string): string => id.replace(/^sbx_/, "sbx-")
const fromLabel = (label: string): string => label.replace(/^sbx-(?=[a-z2-7]{20}$)/, "sbx_")

const byHost = (host: string, url: string, portsUrl: URL): PortRoute | undefined => {
  const name = host.toLowerCase()
  const below = `.${portsUrl.host}`
  if (!name.endsWith(below)) return undefined
  const [, digits, label] = /^(\d{1,5})-([a-z0-9_-]+)$/.exec(name.slice(0, -below.length)) ?? []
  const port = portOf(digits)
  return port === undefined || label === undefined
    ? undefined
    : { id: fromLabel(label), port, rest: url.startsWith("/") ? url : "/", isOwnOrigin: true }
}

/**
 * The port that a request is for, if it is for one.
 */
export const routeOf = (
  { host = "", url }: { readonly host: string | undefined; readonly url: string },
  portsUrl: URL | undefined
): PortRoute | undefined => {
  const own = portsUrl === undefined ? undefined : byHost(host, url, portsUrl)
  if (own !== undefined) return own
  const [, segment, digits, rest] = PATH.exec(url) ?? []
  const port = portOf(digits)
  const id = decoded(segment)
  return port === undefined || id === undefined || rest === undefined
    ? undefined
    : { id, port, rest, isOwnOrigin: false }
}

/**
 * Where a port is reached with this token. `host` is what the server was called in the request that asks.
 */
export const answerOf = (
  address: PortAddress,
  token: string,
  { host, portsUrl }: { readonly host: string; readonly portsUrl: URL | undefined }
): PortAnswer => {
  const { port, sandboxId } = address
  const named = { sandboxId, port, token }
  if (portsUrl !== undefined) {
    return addressAt(`${portsUrl.protocol}//${port}-${toLabel(sandboxId)}.${portsUrl.host}/`, named)
  }
  const base = `/api/sandboxes/${encodeURIComponent(sandboxId)}/ports/${port}/`
  return { ...addressAt(`http://${host}${base}`, named), path: `${base}~${token}/` }
}
