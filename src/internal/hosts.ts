/**
 * Hosts and ports as they are written, in one spelling. Runs anywhere: nothing is resolved here.
 */
import * as Option from "effect/Option"

/**
 * A host and a port that may be reached. With `below`, the hosts below `host` in its place (`*.example.org:443`).
 */
export interface Endpoint {
  /** In canonical spelling, an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  readonly below: boolean
  /** Whether `host` is an address. */
  readonly isAddress: boolean
}

const label = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
const name = new RegExp(`^${label}(?:\\.${label})*\\.?$`)
const address4 = /^\d{1,3}(?:\.\d{1,3}){3}$/

/** RFC 1035, 2.3.4, without the length of the root. */
const LONGEST_NAME = 253

const parseUrl = Option.liftThrowable((text: string) => new URL(text))

/**
 * The one spelling of a host: lower case, no dot at the end, addresses as RFC 5952 and dotted decimals write them. None
 * for what is no host, and for old spellings of IPv4 (`127.1`, `0x7f000001`), which would pass for a name.
 */
export const canonicalHost = (text: string): Option.Option<Pick<Endpoint, "host" | "isAddress">> => {
  const isAddress6 = text.includes(":")
  if (isAddress6 ? !/^[0-9A-Fa-f:.]+$/.test(text) : !name.test(text)) {
    return Option.none()
  }
  return Option.flatMap(parseUrl(isAddress6 ? `http://[${text}]/` : `http://${text}/`), ({ hostname }) => {
    const host = hostname.replace(/^\[|\]$|\.$/g, "")
    const isAddress = isAddress6 || address4.test(host)
    const isOldSpelling = isAddress && !isAddress6 && host !== text.replace(/\.$/, "")
    return host.length > LONGEST_NAME || isOldSpelling ? Option.none() : Option.some({ host, isAddress })
  })
}

/**
 * Reads `example.org:443`, `*.example.org:443`, `192.0.2.1:80` or `[2001:db8::1]:443`.
 */
export const parseEndpoint = (text: string): Option.Option<Endpoint> => {
  const [, address6, star, rest = "", digits = ""] = /^(?:\[([^\]]*)\]|(\*\.)?([^:]*)):([1-9]\d{0,4})$/.exec(text) ?? []
  const port = Number(digits)
  if (port < 1 || port > 65_535 || (address6 !== undefined && !address6.includes(":"))) {
    return Option.none()
  }
  const below = star !== undefined
  return canonicalHost(address6 ?? rest).pipe(
    Option.filter(({ isAddress }) => !(below && isAddress)),
    Option.map((found) => ({ ...found, port, below }))
  )
}

/**
 * As it is written in an `allow` list.
 */
export const showEndpoint = ({ below, host, port }: Omit<Endpoint, "isAddress">): string =>
  `${below ? "*." : ""}${host.includes(":") ? `[${host}]` : host}:${port}`

/**
 * Whether whatever `inner` names is named by `outer` as well.
 */
export const covers = (outer: Endpoint, inner: Endpoint): boolean =>
  outer.port === inner.port &&
  (outer.host === inner.host
    ? outer.below === inner.below
    : outer.below && !inner.isAddress && inner.host.endsWith(`.${outer.host}`))
