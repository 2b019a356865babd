/**
 * Cost curves as SVG.
 */
import * as Vega from "vega"
import * as VegaLite from "vega-lite"
import type { Finding, Outcome } from "./Row.js"

const plot = (title: string, finding: Finding): Promise<string> => {
  const { spec } = VegaLite.compile({
    title: { text: title, subtitle: `fitted exponent ${finding.value.toFixed(2)}` },
    width: 480,
    height: 320,
    background: "white",
    data: { values: [...finding.curve ?? []] },
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "size", type: "quantitative", scale: { type: "log" }, title: finding.part },
      y: { field: "cost", type: "quantitative", scale: { type: "log" }, title: finding.unit }
    }
  })
  return new Vega.View(Vega.parse(spec), { renderer: "none" }).toSVG()
}

/**
 * A file for each curve: its name and its content.
 */
export const plots = (outcomes: ReadonlyArray<Outcome>): Promise<ReadonlyArray<readonly [string, string]>> =>
  Promise.all(
    outcomes.flatMap((outcome) =>
      "missing" in outcome ? [] : outcome.findings
        .filter(({ curve }) => curve !== undefined)
        .map(async (finding) => {
          const name = `${outcome.row.id}-${finding.part.replace(/[^a-z0-9]+/gi, "-").toLowerCase()}.svg`
          return [name, await plot(`${outcome.row.title}: ${finding.part}`, finding)] as const
        })
    )
  )
