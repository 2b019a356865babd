/**
 * The heads of HTTP/1.1 messages (RFC 9112), as text in which each character is a byte.
 */

export const MAX_HEAD = 64 * 1024

export const END_OF_HEAD = /\r?\n\r?\n/
export const END_OF_LINE = /\r?\n/
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** What concerns one connection alone (RFC 9110, 7.6.1). */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "proxy-authorization"
])

/**
 * It is not a request, or none that is served.
 */
export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message)
  }
}

export interface HeadField {
  /** In lower case. */
  readonly name: string
  readonly value: string
  readonly line: string
}

/** Throws `Refused`. */
export const fieldsOf = (lines: ReadonlyArray<string>): ReadonlyArray<HeadField> =>
  lines.map((line) => {
    const colon = line.indexOf(":")
    const name = line.slice(0, Math.max(0, colon))
    if (!TOKEN.test(name)) {
      throw new Refused(400, "A header field of the request is malformed.")
    }
    return { name: name.toLowerCase(), value: line.slice(colon + 1), line }
  })

/** What the fields about the connection name, in lower case. */
export const optionsOf = (fields: ReadonlyArray<HeadField>): ReadonlySet<string> =>
  new Set(
    fields.filter(({ name }) => name === "connection" || name === "proxy-connection").flatMap(({ value }) =>
      value.split(",").map((option) => option.replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase())
    )
  )
