/**
 * The outcomes as a table for people.
 */
import type { Guarantee } from "../../src/isolation/Guarantee.js"
import type { Outcome } from "./Arena.js"
import type { Described } from "./runs.js"

interface Column {
  readonly user: string
  readonly guarantees: ReadonlyArray<Guarantee>
  readonly outcomes: ReadonlyArray<Outcome>
}

const WIDTH = 72

const plain = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, " ")

const short = (text: string, width = WIDTH): string => {
  const line = plain(text)
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`
}

const words: Readonly<Record<Outcome["outcome"], string>> = {
  held: "stopped",
  escaped: "GOT OUT",
  unclear: "UNCLEAR",
  soft: "soft",
  "not made": "not made"
}

/** What could not be tried on this machine. */
const untried = (columns: ReadonlyArray<Column>, isRoot: boolean): ReadonlyArray<string> => {
  const mechanisms = columns.flatMap(({ guarantees }) => guarantees.map(({ mechanism }) => mechanism)).join("\n")
  return [
    process.arch === "x64"
      ? "arm64: its table of system calls is checked against the headers only"
      : "x64: its table of system calls is checked against the headers only",
    ...mechanisms.includes("cgroup v2")
      ? []
      : ["control groups of version 2: this machine limits by version 1, or not at all"],
    ...mechanisms.includes("cgroup v1") ? [] : ["control groups of version 1"],
    ...isRoot ? [] : ["the engine as root"],
    "hosts with AppArmor or SELinux, and kernels other than this one"
  ]
}

/**
 * One line for each attempt: what became of it as each user, and what stopped it.
 */
export const table = (families: ReadonlyArray<Described>, columns: ReadonlyArray<Column>, isRoot: boolean): string => {
  const lines: Array<string> = []
  const outcomeOf = (column: Column, id: string) => column.outcomes.find((outcome) => outcome.id === id)
  const known = families.flatMap(({ attempts }) => attempts)
  const idWidth = Math.max(...known.map(({ id }) => id.length))
  const titleWidth = Math.min(WIDTH, Math.max(...known.map(({ title }) => title.length)))
  const userWidth = Math.max(8, ...columns.map(({ user }) => user.length))
  lines.push(
    ["attempt".padEnd(idWidth), "".padEnd(titleWidth), ...columns.map(({ user }) => user.padEnd(userWidth)), "by"].join(
      "  "
    )
  )
  for (const family of families) {
    const made = family.attempts.filter(({ id }) => columns.some((column) => outcomeOf(column, id) !== undefined))
    if (made.length === 0) continue
    lines.push("", family.title)
    for (const { id, title, wall } of made) {
      const found = columns.map((column) => outcomeOf(column, id))
      lines.push([
        id.padEnd(idWidth),
        short(title, titleWidth).padEnd(titleWidth),
        ...found.map((outcome) => (outcome === undefined ? "" : words[outcome.outcome]).padEnd(userWidth)),
        wall
      ].join("  "))
      const said = [...new Set(found.map((outcome) => outcome?.how ?? ""))]
      if (said.length === 1) {
        lines.push(`${" ".repeat(idWidth)}  ${short(said[0] ?? "", 140)}`)
      } else {
        for (const [index, outcome] of found.entries()) {
          lines.push(`${" ".repeat(idWidth)}  ${columns[index]?.user ?? ""}: ${short(outcome?.how ?? "", 130)}`)
        }
      }
    }
  }
  const count = (outcome: Outcome["outcome"]) => (column: Column) =>
    column.outcomes.filter((one) => one.outcome === outcome).length
  lines.push("")
  for (const column of columns) {
    const parts = (["held", "soft", "not made", "unclear", "escaped"] as const)
      .map((outcome) => [words[outcome], count(outcome)(column)] as const)
      .filter(([, number]) => number > 0)
    lines.push(`${column.user}: ${parts.map(([word, number]) => `${number} ${word}`).join(", ")}`)
  }
  if (columns.some((column) => count("soft")(column) > 0)) {
    lines.push(
      "soft: nothing enforces this limit for this user; `sandbox doctor` says so, and what would"
    )
  }
  lines.push(...untried(columns, isRoot).map((what) => `not tried here: ${what}`))
  return lines.join("\n")
}
