/**
 * One value that code displayed: the value of its last expression, or what it passed to `display`.
 */
import * as Schema from "effect/Schema"
import { Chart } from "./Chart.js"

const representations = {
  /** Plain text (`repr` in Python, `util.inspect` in JavaScript). */
  text: Schema.optional(Schema.String),
  html: Schema.optional(Schema.String),
  markdown: Schema.optional(Schema.String),
  svg: Schema.optional(Schema.String),
  /** Base64 (RFC 4648). */
  png: Schema.optional(Schema.String),
  /** Base64 (RFC 4648). */
  jpeg: Schema.optional(Schema.String),
  /** Base64 (RFC 4648). */
  pdf: Schema.optional(Schema.String),
  latex: Schema.optional(Schema.String),
  json: Schema.optional(Schema.Unknown),
  javascript: Schema.optional(Schema.String),
  /** Rows of a data frame, by column. */
  data: Schema.optional(Schema.Unknown),
  chart: Schema.optional(Chart)
}

const formatNames = [
  "text",
  "html",
  "markdown",
  "svg",
  "png",
  "jpeg",
  "pdf",
  "latex",
  "json",
  "javascript",
  "data",
  "chart"
] as const

/**
 * The name of a representation that {@link Result} has a field for.
 *
 * @category models
 */
export type Format = typeof formatNames[number]

/**
 * One displayed value in every representation that it offered.
 *
 * `isMainResult` marks the value of the last expression of the code; the others were displayed on the way.
 * Images and PDFs are base64. `extra` holds representations of other media types, by media type.
 *
 * @category models
 */
export class Result extends Schema.Class<Result>("Result")({
  isMainResult: Schema.Boolean,
  ...representations,
  extra: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}) {
  /**
   * The names of the representations that this result has, `extra` media types last.
   */
  formats(): ReadonlyArray<string> {
    return [...formatNames.filter((name) => this[name] !== undefined), ...Object.keys(this.extra)]
  }

  /**
   * The result as it goes over the wire: each representation by its name, and `is_main_result`.
   */
  get raw(): Readonly<Record<string, unknown>> {
    const raw: Record<string, unknown> = { is_main_result: this.isMainResult }
    for (const name of formatNames) {
      if (this[name] !== undefined) {
        raw[name] = this[name]
      }
    }
    return { ...raw, ...this.extra }
  }

  /**
   * A plain object with the representations that are there.
   */
  toJSON(): Readonly<Record<string, unknown>> {
    const { is_main_result: isMainResult, ...formats } = this.raw
    return { isMainResult, ...formats }
  }
}
