/**
 * One value that code displayed: the value of its last expression, or what it passed to `display`.
 */
import * as Schema from "effect/Schema"
import { Chart } from "./Chart.js"

/** Anything that JSON can say. It comes out of a JSON text, so nothing is checked. */
const Json = Schema.Unknown.annotations({ arbitrary: () => (fc) => fc.jsonValue() })

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
  json: Schema.optional(Json),
  javascript: Schema.optional(Schema.String),
  /** Rows of a data frame, by column. */
  data: Schema.optional(Json),
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
 * Images and PDFs are base64. `extra` holds representations of other media types, by media type; what was too long is not
 * silently missing: `extra["application/vnd.sandbox-sdk.cut+json"]` holds the names of the representations that were cut
 * (`text`) or left out (all others), each with its length: in characters, for `data` that was not written out in cells,
 * and for such a `chart` in points.
 *
 * @category models
 */
export class Result extends Schema.Class<Result>("Result")({
  isMainResult: Schema.Boolean,
  ...representations,
  extra: Schema.Record({ key: Schema.String, value: Json })
}) {
  /**
   * The names of the representations that this result has, `extra` media types last.
   */
  formats(): ReadonlyArray<string> {
    return [...formatNames.filter((name) => this[name] !== undefined), ...Object.keys(this.extra)]
  }

  /**
   * All representations by name in one flat object, `extra` media types among them, and `is_main_result`: the form that
   * clients of the HTTP API know.
   */
  get raw(): Readonly<Record<string, unknown>> {
    return { ...this.extra, ...named(this), is_main_result: this.isMainResult }
  }

  /**
   * A plain object with the fields that are there, as `JSON.stringify` writes it. The schema of this class decodes it.
   */
  toJSON(): Readonly<Record<string, unknown>> {
    return { isMainResult: this.isMainResult, ...named(this), extra: this.extra }
  }
}

const named = (result: Result): Readonly<Record<string, unknown>> =>
  Object.fromEntries(formatNames.filter((name) => result[name] !== undefined).map((name) => [name, result[name]]))
