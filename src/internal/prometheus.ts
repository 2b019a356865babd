/**
 * Metrics in the text format of Prometheus, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
 */
import type * as MetricKey from "effect/MetricKey"
import * as MetricKeyType from "effect/MetricKeyType"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"

type Label = readonly [name: string, value: string]

/**
 * A text for a `# HELP` line.
 */
export const escapeHelp = (text: string): string => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")

/**
 * A value between the quotes of a label.
 */
export const escapeLabel = (text: string): string => escapeHelp(text).replace(/"/g, "\\\"")

/** A name of a metric: a character that cannot be in one becomes an underscore. */
const metricName = (name: string): string => name.replace(/[^a-zA-Z0-9_:]/g, "_").replace(/^(?=[0-9])/, "_")

/** A name of a label; those that begin with two underscores are for Prometheus itself. */
const labelName = (name: string): string =>
  name.replace(/[^a-zA-Z0-9_]/g, "_").replace(/^(?=[0-9])/, "_").replace(/^__+/, "_") || "_"

const number = (value: number | bigint): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value)

const sample = (name: string, labels: ReadonlyArray<Label>, value: number | bigint): string => {
  const text = labels.map(([label, value]) => `${label}="${escapeLabel(value)}"`).join(",")
  return `${name}${text === "" ? "" : `{${text}}`} ${number(value)}\n`
}

/** One label for each name: of two that are called the same in this format, the last. */
const labelsOf = (key: MetricKey.MetricKey.Untyped): ReadonlyArray<Label> => [
  ...new Map(key.tags.map((tag) => [labelName(tag.key), tag.value])).entries()
]

interface Rendered {
  readonly type: "counter" | "gauge" | "histogram" | "summary"
  readonly samples: string
}

const renderPair = (name: string, { metricKey, metricState }: MetricPair.MetricPair.Untyped): Rendered | undefined => {
  const labels = labelsOf(metricKey)
  if (MetricState.isCounterState(metricState)) {
    const { keyType } = metricKey
    const onlyGrows = MetricKeyType.isCounterKey(keyType) && keyType.incremental
    return { type: onlyGrows ? "counter" : "gauge", samples: sample(name, labels, metricState.count) }
  }
  if (MetricState.isGaugeState(metricState)) {
    return { type: "gauge", samples: sample(name, labels, metricState.value) }
  }
  if (MetricState.isFrequencyState(metricState)) {
    const samples = [...metricState.occurrences].map(([word, count]) => sample(name, [...labels, ["key", word]], count))
    return { type: "counter", samples: samples.join("") }
  }
  if (MetricState.isHistogramState(metricState)) {
    const buckets = metricState.buckets.filter(([boundary]) => Number.isFinite(boundary))
    return {
      type: "histogram",
      samples: [
        ...buckets.map(([boundary, count]) => sample(`${name}_bucket`, [...labels, ["le", number(boundary)]], count)),
        sample(`${name}_bucket`, [...labels, ["le", "+Inf"]], metricState.count),
        sample(`${name}_sum`, labels, metricState.sum),
        sample(`${name}_count`, labels, metricState.count)
      ].join("")
    }
  }
  if (MetricState.isSummaryState(metricState)) {
    return {
      type: "summary",
      samples: [
        ...metricState.quantiles.map(([quantile, value]) =>
          sample(name, [...labels, ["quantile", number(quantile)]], Option.getOrElse(value, () => NaN))
        ),
        sample(`${name}_sum`, labels, metricState.sum),
        sample(`${name}_count`, labels, metricState.count)
      ].join("")
    }
  }
  return undefined
}

/**
 * Renders the metrics whose names begin with `prefix`, sorted by name; those of one name together, as the format wants.
 */
export const render = (pairs: Iterable<MetricPair.MetricPair.Untyped>, prefix: string): string => {
  const families = new Map<string, { readonly help: string; readonly type: Rendered["type"]; samples: string }>()
  for (const pair of pairs) {
    const name = metricName(pair.metricKey.name)
    const rendered = name.startsWith(prefix) ? renderPair(name, pair) : undefined
    if (rendered === undefined) {
      continue
    }
    const family = families.get(name)
    if (family === undefined) {
      const help = Option.getOrElse(pair.metricKey.description, () => "")
      families.set(name, { help, type: rendered.type, samples: rendered.samples })
    } else if (family.type === rendered.type) {
      family.samples += rendered.samples
    }
  }
  return [...families]
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, { help, samples, type }]) =>
      `${help === "" ? "" : `# HELP ${name} ${escapeHelp(help)}\n`}# TYPE ${name} ${type}\n${samples}`
    )
    .join("")
}
