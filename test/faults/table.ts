/**
 * What has come of it, for people.
 */
import type { Phase } from "./Setting.js"
import type { Outcome, Tally } from "./Tally.js"

const SHOWN = 25

const sum = <A>(all: ReadonlyArray<A>, number: (one: A) => number): number =>
  all.reduce((total, one) => total + number(one), 0)

/** The numbers of some of the runs. */
const numbers = (tally: Tally, phase: string | undefined) => {
  const isIn = (one: { readonly phase: string }) => phase === undefined || one.phase === phase
  const outcomes = tally.outcomes.filter(isIn)
  const of = (counts: ReadonlyMap<string, number>) =>
    sum([...counts].filter(([name]) => phase === undefined || name === phase), ([, count]) => count)
  const completed = outcomes.filter(({ end }) => end === "completed").length
  const hung = outcomes.filter(({ isHung }) => isHung).length
  return [
    tally.faults(phase),
    outcomes.length,
    completed,
    outcomes.length - completed - hung,
    sum(outcomes, ({ lost }) => lost),
    sum(outcomes, ({ duplicated }) => duplicated),
    of(tally.twice),
    hung,
    of(tally.left)
  ]
}

const grouped = <A>(all: ReadonlyArray<A>, name: (one: A) => string, count: (one: A) => number = () => 1): string => {
  const groups = new Map<string, number>()
  for (const one of all) groups.set(name(one), (groups.get(name(one)) ?? 0) + count(one))
  return [...groups].sort(([, a], [, b]) => b - a).map(([what, times]) => `${what} ${times}`).join(", ")
}

const heads = [
  ["", "faults"],
  ["", "runs"],
  ["", "completed"],
  ["typed", "failures"],
  ["bytes", "lost"],
  ["bytes", "duplicated"],
  ["run", "twice"],
  ["hangs", "over 5 s"],
  ["processes,", "mounts left"]
]

const failures = (outcomes: ReadonlyArray<Outcome>) =>
  outcomes.filter(({ end, isHung }) => end !== "completed" && !isHung)

/** How to see one of them again. */
const again = (seed: number, phase: string, index: number): string =>
  index < 0
    ? `npm run faults -- --seed ${seed} --only ${phase}`
    : `npm run faults -- --seed ${seed} --only ${phase}:${index}`

/**
 * The table, what there was of each kind, and what must not be, with how to see it again.
 */
export const table = (phases: ReadonlyArray<Phase>, tally: Tally, seed: number): string => {
  const made = phases.filter(({ id }) => tally.outcomes.some(({ phase }) => phase === id))
  const rows = [
    ...made.map(({ id, title }) => [title, ...numbers(tally, id)]),
    ["all", ...numbers(tally, undefined)]
  ]
  const width = Math.max(...rows.map(([title]) => String(title).length))
  const line = (first: string, cells: ReadonlyArray<string | number>) =>
    [
      first.padEnd(width),
      ...cells.map((cell, index) => cell.toLocaleString("en").padStart(Math.max(9, heads[index]?.[1]?.length ?? 0)))
    ].join("  ")
  const lines = [
    line("", heads.map(([above = ""]) => above)),
    line("", heads.map(([, below = ""]) => below)),
    ...rows.map(([title, ...cells]) => line(String(title), cells)),
    "",
    `faults: ${grouped(tally.injected, ({ kind }) => kind, ({ times }) => times)}`,
    `failures: ${grouped(failures(tally.outcomes), ({ end }) => end) || "none"}`,
    ...new Set(tally.skipped.map((what) => `not made here: ${what}`)),
    `seed: ${seed}`
  ]
  if (tally.violations.length > 0) {
    lines.push("", `${tally.violations.length} of these must not be:`)
    for (const { index, phase, what } of tally.violations.slice(0, SHOWN)) {
      lines.push(`  ${again(seed, phase, index)}`, `    ${what.slice(0, 400)}`)
    }
    if (tally.violations.length > SHOWN) lines.push(`  and ${tally.violations.length - SHOWN} more`)
  }
  return lines.join("\n")
}
