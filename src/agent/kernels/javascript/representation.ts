/**
 * Values as results: every representation that a value offers, in the form that goes over the wire.
 */
import { inspect } from "node:util"
import { encodeJson } from "./framing.js"
import { plainJson } from "./plainJson.js"
import { capText, LONGEST } from "./text.js"

const { create, entries, keys } = Object
const { apply, get } = Reflect
const { from } = Buffer

/** The encoded form of a result. */
export interface EncodedResult {
  readonly isMainResult: boolean
  readonly extra: Readonly<Record<string, unknown>>
  readonly [format: string]: unknown
}

/** Representations by media type. */
export type MediaBundle = Readonly<Record<string, unknown>>

const FORMATS: ReadonlyMap<string, string> = new Map([
  ["text/plain", "text"],
  ["text/html", "html"],
  ["text/markdown", "markdown"],
  ["image/svg+xml", "svg"],
  ["image/png", "png"],
  ["image/jpeg", "jpeg"],
  ["application/pdf", "pdf"],
  ["text/latex", "latex"],
  ["application/json", "json"],
  ["application/javascript", "javascript"],
  ["text/javascript", "javascript"],
  ["application/vnd.sandbox-sdk.data+json", "data"]
])

/** Those that are data and no text. */
const JSON_FORMATS: ReadonlySet<string> = new Set(["json", "data"])

const BINARY: ReadonlySet<string> = new Set(["png", "jpeg", "pdf"])

/** Longest result as a whole, in UTF-16 units: what the other side accepts, less a margin for UTF-8. */
const LONGEST_RESULT = 20 * 1024 * 1024

/** Under this media type `extra` says which representations were cut or left out, and how long they were, in characters. */
const CUT = "application/vnd.sandbox-sdk.cut+json"

/** Methods that give a media bundle: ours, and the one of Deno's kernel. */
const METHODS = [Symbol.for("sandbox.display"), Symbol.for("Jupyter.display")] as const

const base64 = (value: unknown): unknown => {
  if (ArrayBuffer.isView(value)) {
    return from(value.buffer, value.byteOffset, value.byteLength).toString("base64")
  }
  return value instanceof ArrayBuffer ? from(value).toString("base64") : value
}

/** What was cut or left out, and how long it was. */
type Cuts = Record<string, number>

const capped = (text: string, cuts: Cuts): string => {
  if (text.length > LONGEST) {
    cuts["text"] = text.length
  }
  return capText(text)
}

const describe = (value: unknown, cuts: Cuts): string => {
  try {
    return capped(inspect(value, { colors: false, depth: 4 }), cuts)
  } catch (error) {
    try {
      return `(the value cannot be shown: ${String(error)})`
    } catch {
      return "(the value cannot be shown)"
    }
  }
}

/** The method of a value that says how it is displayed. */
export const displayMethod = (value: unknown): (() => unknown) | undefined => {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") {
    return undefined
  }
  for (const name of METHODS) {
    const method: unknown = get(value, name)
    if (typeof method === "function") {
      return () => apply(method, value, [])
    }
  }
  return undefined
}

interface Part {
  readonly where: Record<string, unknown>
  readonly name: string
  /** Its length: that of a text, or of the JSON of anything else. */
  readonly length: number
  /** How much it takes in the JSON of the whole. */
  readonly size: number
}

/** The result as JSON: what is too long is left out, and told; text has been cut. */
const limited = (
  isMainResult: boolean,
  formats: Record<string, unknown>,
  extra: Record<string, unknown>,
  cuts: Cuts
): string => {
  const parts: Array<Part> = []
  const measure = (where: Record<string, unknown>, name: string): void => {
    const content = where[name]
    const size = encodeJson({ [name]: content }).length
    parts.push({ where, name, length: typeof content === "string" ? content.length : size, size })
  }
  for (const name of keys(formats)) {
    measure(formats, name)
  }
  for (const name of keys(extra)) {
    measure(extra, name)
  }
  let total = parts.reduce((sum, { size }) => sum + size, 0)
  const leaveOut = ({ length, name, size, where }: Part): void => {
    delete where[name]
    cuts[name] = length
    total -= size
  }
  parts.sort((one, other) => other.size - one.size)
  for (const part of parts) {
    if (part.name !== "text" && (part.length > LONGEST || total > LONGEST_RESULT)) {
      leaveOut(part)
    }
  }
  if (keys(cuts).length > 0) {
    extra[CUT] = cuts
  }
  return encodeJson({ isMainResult, ...formats, extra } satisfies EncodedResult)
}

/**
 * The result for a media bundle, as JSON. `value` gives the text if the bundle has none.
 */
export const encodeBundle = (bundle: MediaBundle, isMainResult: boolean, value?: unknown): string => {
  const formats: Record<string, unknown> = {}
  const extra: Record<string, unknown> = create(null)
  const cuts: Cuts = create(null)
  for (const [type, content] of entries(bundle)) {
    const format = FORMATS.get(type)
    if (content === undefined || content === null && format !== "json") {
      continue
    }
    if (format === undefined) {
      extra[type] = base64(content)
    } else if (JSON_FORMATS.has(format)) {
      formats[format] = content
    } else {
      const text = BINARY.has(format) ? base64(content) : content
      formats[format] = typeof text === "string" ? text : String(text)
    }
  }
  const { text } = formats
  if (typeof text === "string") {
    formats["text"] = capped(text, cuts)
  } else if (value !== undefined) {
    formats["text"] = describe(value, cuts)
  }
  return limited(isMainResult, formats, extra, cuts)
}

/**
 * The result for a value without a display method, as JSON.
 */
export const encodeValue = (value: unknown, isMainResult: boolean): string => {
  const cuts: Cuts = create(null)
  const { isTooLong, json } = plainJson(value)
  const text = describe(value, cuts)
  if (isTooLong) {
    // How long it would be nobody has counted: about as long as its text.
    cuts["json"] = text.length
  }
  return limited(isMainResult, { text, ...(json === undefined ? {} : { json }) }, create(null), cuts)
}

/** Whether what a display method gave is a bundle. */
export const isBundle = (value: unknown): value is MediaBundle =>
  typeof value === "object" && value !== null && !Array.isArray(value)
