/**
 * Charts as data: what a plotting library drew, so that a program can draw it again in its own way. All numbers are
 * finite, so that every chart survives being written as JSON.
 */
import * as Schema from "effect/Schema"

/**
 * A position on an axis: a number, or the text of a category or of a date (ISO 8601). `null` is a gap: what was to be
 * drawn there was no number, or an infinite one, which JSON (RFC 8259, 6) has no way to write.
 *
 * @category models
 */
export const Coordinate = Schema.Union(Schema.Finite, Schema.String, Schema.Null)

/**
 * @category models
 */
export type Coordinate = typeof Coordinate.Type

/**
 * How an axis is scaled.
 *
 * @category models
 */
export const Scale = Schema.Literal(
  "linear",
  "log",
  "symlog",
  "logit",
  "datetime",
  "categorical",
  "function",
  "unknown"
)

/**
 * @category models
 */
export type Scale = typeof Scale.Type

const axes = {
  xLabel: Schema.optional(Schema.String),
  yLabel: Schema.optional(Schema.String),
  xUnit: Schema.optional(Schema.String),
  yUnit: Schema.optional(Schema.String)
}

const pointAxes = {
  ...axes,
  xTicks: Schema.Array(Coordinate),
  xTickLabels: Schema.Array(Schema.String),
  xScale: Scale,
  yTicks: Schema.Array(Coordinate),
  yTickLabels: Schema.Array(Schema.String),
  yScale: Scale
}

const titled = { title: Schema.optional(Schema.String) }

/**
 * One series of points, in drawing order.
 *
 * @category models
 */
export const PointData = Schema.Struct({
  label: Schema.String,
  points: Schema.Array(Schema.Tuple(Coordinate, Coordinate))
})

/**
 * One bar; `group` is the series that it belongs to, `value` its length. It begins at `base`, where that is not 0, as the
 * upper ones of a stack do.
 *
 * @category models
 */
export const BarData = Schema.Struct({
  label: Schema.String,
  group: Schema.String,
  value: Coordinate,
  base: Schema.optional(Coordinate)
})

/**
 * One wedge; `angle` in degrees, `radius` in the units of the axes.
 *
 * @category models
 */
export const PieData = Schema.Struct({
  label: Schema.String,
  angle: Schema.Finite,
  radius: Schema.Finite
})

/**
 * One box with its whiskers and the points beyond them.
 *
 * @category models
 */
export const BoxAndWhiskerData = Schema.Struct({
  label: Schema.String,
  min: Schema.Finite,
  firstQuartile: Schema.Finite,
  median: Schema.Finite,
  thirdQuartile: Schema.Finite,
  max: Schema.Finite,
  outliers: Schema.Array(Schema.Finite)
})

/**
 * Lines through points: one series for each line.
 *
 * @category models
 */
export const LineChart = Schema.Struct({
  type: Schema.Literal("line"),
  ...titled,
  ...pointAxes,
  elements: Schema.Array(PointData)
})

/**
 * Points: one series for each set of them.
 *
 * @category models
 */
export const ScatterChart = Schema.Struct({
  type: Schema.Literal("scatter"),
  ...titled,
  ...pointAxes,
  elements: Schema.Array(PointData)
})

/**
 * Bars, one element each: standing, or lying (`orientation`).
 *
 * @category models
 */
export const BarChart = Schema.Struct({
  type: Schema.Literal("bar"),
  ...titled,
  ...axes,
  orientation: Schema.optional(Schema.Literal("vertical", "horizontal")),
  xScale: Schema.optional(Scale),
  yScale: Schema.optional(Scale),
  elements: Schema.Array(BarData)
})

/**
 * A pie, one element for each wedge.
 *
 * @category models
 */
export const PieChart = Schema.Struct({
  type: Schema.Literal("pie"),
  ...titled,
  elements: Schema.Array(PieData)
})

/**
 * Distributions: one box for each.
 *
 * @category models
 */
export const BoxAndWhiskerChart = Schema.Struct({
  type: Schema.Literal("box_and_whisker"),
  ...titled,
  ...axes,
  elements: Schema.Array(BoxAndWhiskerData)
})

/**
 * A drawing that holds something this list has no type for; its axes are still described.
 *
 * @category models
 */
export const UnknownChart = Schema.Struct({
  type: Schema.Literal("unknown"),
  ...titled,
  ...axes,
  elements: Schema.Array(Schema.Unknown)
})

/**
 * A chart of one pair of axes.
 *
 * @category models
 */
export const SimpleChart = Schema.Union(LineChart, ScatterChart, BarChart, PieChart, BoxAndWhiskerChart, UnknownChart)

/**
 * A figure with several pairs of axes: one chart each, and one each for bars and lines on the same axes.
 *
 * @category models
 */
export const SuperChart = Schema.Struct({
  type: Schema.Literal("superchart"),
  ...titled,
  elements: Schema.Array(SimpleChart)
})

/**
 * Any chart; `type` tells which.
 *
 * @category models
 */
export const Chart = Schema.Union(
  LineChart,
  ScatterChart,
  BarChart,
  PieChart,
  BoxAndWhiskerChart,
  SuperChart,
  UnknownChart
)

/**
 * @category models
 */
export type Chart = typeof Chart.Type
