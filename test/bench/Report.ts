/**
 * The findings, for people and for programs.
 */
import { cpus, release, totalmem } from "node:os"
import type { Finding, Outcome, Series } from "./Row.js"
import { reached } from "./Row.js"

const digits = (value: number): string =>
  Number.isNaN(value) ? "-" : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(2)

const shown = (found: Series | undefined, unit: string): string =>
  found === undefined ? "-" : `${digits(found.median)} ${unit} (p99 ${digits(found.p99)})`

const goalOf = ({ goal }: Finding): string =>
  goal === undefined ? "-" : "atMost" in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`

const verdict = (finding: Finding): string => {
  const isReached = reached(finding)
  return isReached === undefined ? "" : isReached ? "reached" : "NOT REACHED"
}

const HEAD = ["row", "part", "ours", "reference", "value", "goal", ""]

const cells = (outcome: Outcome): ReadonlyArray<ReadonlyArray<string>> =>
  "missing" in outcome
    ? [[outcome.row.id, "", `not measured: ${outcome.missing}`]]
    : outcome.findings.map((finding) => [
      outcome.row.id,
      finding.part,
      shown(finding.ours, finding.unit),
      shown(finding.reference, finding.unit),
      digits(finding.value),
      goalOf(finding),
      verdict(finding)
    ])

/**
 * A table: what was measured, beside what, and whether that is what was to be reached. What a row compares with stands
 * above its lines.
 */
export const table = (outcomes: ReadonlyArray<Outcome>): string => {
  const lines = [HEAD, ...outcomes.flatMap(cells)]
  // What was not measured takes a line of its own, as wide as it is.
  const widths = HEAD.map((_, column) =>
    Math.max(...lines.filter((line) => line.length === HEAD.length).map((line) => line[column]?.length ?? 0))
  )
  const titles = outcomes.map(({ row }) => `${row.id}: ${row.title} | beside: ${row.reference}`)
  return [
    ...titles,
    "",
    ...lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
  ].join("\n")
}

/**
 * The same for programs, with what it was measured on.
 */
export const json = (outcomes: ReadonlyArray<Outcome>, at: Date): string =>
  JSON.stringify(
    {
      at: at.toISOString(),
      machine: {
        processors: cpus().length,
        model: cpus()[0]?.model ?? "unknown",
        memoryMb: Math.round(totalmem() / 1024 / 1024),
        kernel: release(),
        node: process.version
      },
      rows: outcomes.map((outcome) => ({
        id: outcome.row.id,
        title: outcome.row.title,
        reference: outcome.row.reference,
        ...("missing" in outcome
          ? { missing: outcome.missing }
          : { findings: outcome.findings.map((finding) => ({ ...finding, reached: reached(finding) })) })
      }))
    },
    null,
    2
  )
