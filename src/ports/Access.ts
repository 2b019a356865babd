/**
 * Who may pass to a port: the ways in which a request can bear the token, and what is left of the request without it.
 */
import { Buffer } from "node:buffer"
import { createHash, timingSafeEqual } from "node:crypto"
import type { IncomingHttpHeaders, IncomingMessage } from "node:http"
import { type Fields, without } from "./Fields.js"

/**
 * The header field that bears a token.
 */
export const TOKEN_FIELD = "x-sandbox-token"

/** The segment of a path that bears one: `/~token/…`. */
const SEGMENT = /^\/~([A-Za-z0-9._-]{1,200})(?=[/?]|$)/

/**
 * Whether that is the token, in a time that does not say how much of it is right.
 */
export const isSame = (expected: string, given: string): boolean => {
  const [one, other] = [expected, given].map((text) => createHash("sha256").update(text).digest())
  return one !== undefined && other !== undefined && timingSafeEqual(one, other)
}

/**
 * A token that a request bears. `prefix` is what it takes of the path: nothing, or `/~token`.
 */
export interface Bid {
  readonly token: string
  readonly prefix: string
}

/**
 * Names of cookies that are the proxy's own: the server must not see them, nor set them.
 */
export const isOwnCookie = (name: string): boolean => /^(?:__host-)?sandbox-port(?:-|$)/i.test(name)

const cookieOf = ({ cookie = "" }: IncomingHttpHeaders, name: string): string | undefined =>
  cookie.split(";").map((part) => part.trim()).find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1)

/**
 * Whether a request is one that a page of another origin may not make with the cookies that the browser adds: it comes
 * from a page of this origin, from no page, or is a mere link that was followed.
 */
const isOwnPage = ({ headers, method }: IncomingMessage): boolean => {
  const { host, origin, "sec-fetch-mode": mode, "sec-fetch-site": site } = headers
  if (mode === "navigate" && method === "GET") {
    return true
  }
  return (origin === undefined || origin.replace(/^\w+:\/\//, "") === host) &&
    (site === undefined || site === "same-origin" || site === "none")
}

/**
 * The tokens that a request bears: by a segment of its path, by a header field, or by a cookie of that name, where it is
 * known that the page is one of this origin. `path` is what is left of the URL when the port's own address is taken away.
 */
export const bidsOf = (
  incoming: IncomingMessage,
  path: string,
  cookie: string | undefined
): ReadonlyArray<Bid> => {
  const bids: Array<Bid> = []
  const [prefix, inPath] = SEGMENT.exec(path) ?? []
  const field = incoming.headers[TOKEN_FIELD]
  if (prefix !== undefined && inPath !== undefined) {
    bids.push({ token: inPath, prefix })
  }
  if (typeof field === "string") {
    bids.push({ token: field, prefix: "" })
  }
  const inCookie = cookie === undefined || !isOwnPage(incoming) ? undefined : cookieOf(incoming.headers, cookie)
  if (inCookie !== undefined) {
    bids.push({ token: inCookie, prefix: "" })
  }
  return bids
}

/**
 * Whether a person follows a link: the page that is answered may name things by their whole path, where the token is not.
 */
export const isVisit = ({ headers }: IncomingMessage): boolean => headers["sec-fetch-mode"] === "navigate"

/**
 * What has the browser send the token with all that this page asks for.
 */
export const cookieField = (name: string, token: string): readonly [string, string] => [
  "set-cookie",
  `${name}=${token}; Path=/; HttpOnly; SameSite=Lax${name.startsWith("__Host-") ? "; Secure" : ""}`
]

const TOKEN_FIELDS = new Set([TOKEN_FIELD])

/**
 * The fields without the token.
 */
export const withoutToken = (fields: Fields): Fields => without(fields, TOKEN_FIELDS)

/**
 * A path as it may be logged: without the token that may be in it.
 */
export const shownPath = (path: string): string => path.replace(/\/~[^/]*/g, "/~…")

/**
 * The path that is left for the server: it begins with `/`.
 */
export const pathOf = (path: string, { prefix }: Bid): string => {
  const rest = path.slice(prefix.length)
  return rest.startsWith("/") ? rest : `/${rest}`
}

/**
 * The API key of a request, if it bears one: `Authorization: Bearer <api key>` (RFC 6750, 2.1).
 */
export const bearerOf = (authorization: string | undefined): string =>
  /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1] ?? ""

/** A text that can stand in a URL. */
export const urlSafe = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")
