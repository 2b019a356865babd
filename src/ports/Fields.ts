/**
 * Header fields on their way through a proxy. Their order, case and number stay as they are; what is dropped is what
 * concerns one connection alone (RFC 9110, 7.6.1), and what is not for the other side.
 */

/**
 * Fields, as they came.
 */
export type Fields = ReadonlyArray<readonly [name: string, value: string]>

/**
 * The fields of a message of Node, from its `rawHeaders`.
 */
export const fieldsOf = (raw: ReadonlyArray<string>): Fields => {
  const fields: Array<readonly [string, string]> = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    fields.push([raw[at] ?? "", raw[at + 1] ?? ""])
  }
  return fields
}

/**
 * As Node takes them.
 */
export const flat = (fields: Fields): Array<string> => fields.flat()

/**
 * Without those of these names, which are in lower case.
 */
export const without = (fields: Fields, names: ReadonlySet<string>): Fields =>
  fields.filter(([name]) => !names.has(name.toLowerCase()))

/**
 * The values of all fields with that name.
 */
export const valuesOf = (fields: Fields, wanted: string): ReadonlyArray<string> =>
  fields.flatMap(([name, value]) => name.toLowerCase() === wanted ? [value] : [])

const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
]

/** They say how the message itself goes on, and what it is for: no `Connection` takes them away. */
const FRAMING = new Set(["content-length", "host"])

/**
 * Those that are meant for the other end.
 */
export const endToEnd = (fields: Fields): Fields => {
  const named = valuesOf(fields, "connection")
    .flatMap((value) => value.split(","))
    .map((option) => option.trim().toLowerCase())
    .filter((option) => !FRAMING.has(option))
  return without(fields, new Set([...HOP_BY_HOP, ...named]))
}

/** What a proxy says about the request that it passes on (the usual names; RFC 7239 has others, which few programs read). */
const FORWARDED = ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"] as const

/**
 * Adds what a server needs to know to write links to itself, where an outer proxy has not said it already.
 */
export const forwarded = (
  fields: Fields,
  said: Readonly<Record<"host" | "proto" | "prefix", string>>
): Fields => {
  if (FORWARDED.some((name) => valuesOf(fields, name).length > 0)) {
    return fields
  }
  return [
    ...fields,
    ["x-forwarded-host", said.host],
    ["x-forwarded-proto", said.proto],
    ...(said.prefix === "" ? [] : [["x-forwarded-prefix", said.prefix] as const])
  ]
}

/**
 * A redirection to a path of the server's leads to that path below `prefix`, which the server does not know of.
 */
export const relocated = (fields: Fields, prefix: string): Fields =>
  fields.map(([name, value]) =>
    name.toLowerCase() === "location" && /^\/(?!\/)/.test(value) ? [name, `${prefix}${value}`] : [name, value]
  )

const nameOf = (cookie: string): string => cookie.split("=")[0]?.trim() ?? ""

/**
 * Cookies without those of the proxy.
 */
export const withoutCookies = (fields: Fields, isOwn: (name: string) => boolean): Fields =>
  fields.flatMap(([name, value]) => {
    if (name.toLowerCase() !== "cookie") {
      return [[name, value] as const]
    }
    const kept = value.split(";").filter((cookie) => !isOwn(nameOf(cookie))).join(";").trim()
    return kept === "" ? [] : [[name, kept] as const]
  })

/**
 * Cookies that a server sets, for itself alone: not for the names around it, and none that is the proxy's.
 */
export const ownCookies = (fields: Fields, isOwn: (name: string) => boolean): Fields =>
  fields.flatMap(([name, value]) => {
    if (name.toLowerCase() !== "set-cookie") {
      return [[name, value] as const]
    }
    return isOwn(nameOf(value.split(";")[0] ?? ""))
      ? []
      : [[name, value.split(";").filter((part) => !/^\s*domain\s*(?:=|$)/i.test(part)).join(";")] as const]
  })
