/**
 * Values as results: every representation that a value offers, in the form that goes over the wire.
 */
import { inspect } from "node:util"
import { encodeJson } from "./framing.js"
import { plainJson } from "./plainJson.js"
import { capText } from "./text.js"

const { create, entries } = Object
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
  ["text/javascript", "javascript"]
])

const BINARY: ReadonlySet<string> = new Set(["png", "jpeg", "pdf"])

/** Longest result as a whole, in UTF-16 units: what the other side accepts, less a margin for UTF-8. */
const LONGEST = 20 * 1024 * 1024

/** Methods that give a media bundle: ours, and the one of Deno's kernel. */
const METHODS = [Symbol.for("sandbox.display"), Symbol.for("Jupyter.display")] as const

const base64 = (value: unknown): unknown => {
  if (ArrayBuffer.isView(value)) {
    return from(value.buffer, value.byteOffset, value.byteLength).toString("base64")
  }
  return value instanceof ArrayBuffer ? from(value).toString("base64") : value
}

const describe = (value: unknown): string => {
  try {
    return capText(inspect(value, { colors: false, depth: 4 }))
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

const limited = (result: EncodedResult): string => {
  const json = encodeJson(result)
  if (json.length <= LONGEST) {
    return json
  }
  return encodeJson({
    isMainResult: result.isMainResult,
    extra: create(null),
    text: `(the result is too large to send: ${json.length} characters, the limit is ${LONGEST})`
  })
}

/**
 * The result for a media bundle, as JSON. `value` gives the text if the bundle has none.
 */
export const encodeBundle = (bundle: MediaBundle, isMainResult: boolean, value?: unknown): string => {
  const formats: Record<string, unknown> = {}
  const extra: Record<string, unknown> = create(null)
  for (const [type, content] of entries(bundle)) {
    const format = FORMATS.get(type)
    if (content === undefined || content === null && format !== "json") {
      continue
    }
    if (format === undefined) {
      extra[type] = base64(content)
    } else if (format === "json") {
      formats[format] = content
    } else {
      const text = BINARY.has(format) ? base64(content) : content
      formats[format] = typeof text === "string" ? text : String(text)
    }
  }
  if (formats["text"] === undefined && value !== undefined) {
    formats["text"] = describe(value)
  }
  return limited({ isMainResult, ...formats, extra })
}

/**
 * The result for a value without a display method, as JSON.
 */
export const encodeValue = (value: unknown, isMainResult: boolean): string => {
  const json = plainJson(value)
  return limited({ isMainResult, text: describe(value), ...(json === undefined ? {} : { json }), extra: create(null) })
}

/** Whether what a display method gave is a bundle. */
export const isBundle = (value: unknown): value is MediaBundle =>
  typeof value === "object" && value !== null && !Array.isArray(value)
