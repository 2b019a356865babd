/**
 * What has come of all the faults.
 */
import type { Difference } from "./Oracle.js"

/** What became of one run. */
export interface Outcome extends Difference {
  /** Its name in the file that it left its mark in. */
  readonly mark: string
  readonly phase: string
  readonly index: number
  readonly workload: string
  /** `completed`, or the tag and code of the error. */
  readonly end: string
  /** Whether nothing that happened excuses the failure. */
  readonly isUnfounded: boolean
  /** What the error says. */
  readonly message: string
  readonly isHung: boolean
  readonly isCounted: boolean
  /** How often it took place, where the caller can tell. */
  readonly times?: number | undefined
}

/** Faults of one kind that have happened in a phase. */
export interface Injected {
  readonly phase: string
  readonly kind: string
  readonly times: number
}

/** What must not be: at which place, and what. */
export interface Violation {
  readonly phase: string
  readonly index: number
  readonly what: string
}

export class Tally {
  readonly injected: Array<Injected> = []
  readonly outcomes: Array<Outcome> = []
  readonly violations: Array<Violation> = []
  /** Executions beyond the first, by phase. */
  readonly twice = new Map<string, number>()
  /** What was left, by phase. */
  readonly left = new Map<string, number>()
  /** What could not be done here. */
  readonly skipped: Array<string> = []

  constructor(private readonly onProgress: (faults: number) => void = () => {}) {}

  faults(phase?: string): number {
    return this.injected.reduce((sum, one) => phase === undefined || one.phase === phase ? sum + one.times : sum, 0)
  }

  inject(phase: string, kind: string, times = 1): void {
    this.injected.push({ phase, kind, times })
    this.onProgress(this.faults())
  }

  add(outcome: Outcome, faults: ReadonlyArray<string> = []): void {
    this.outcomes.push(outcome)
    const { end, index, isHung, isUnfounded, message, phase, where, workload } = outcome
    const context = `${workload}${faults.length === 0 ? "" : ` (${faults.join("; ")})`}`
    const told = [
      ...where,
      ...isUnfounded ? [`failed without a cause: ${end}: ${message}`] : [],
      ...isHung ? ["was silent for more than 5 s"] : []
    ]
    for (const what of told) this.violations.push({ phase, index, what: `${context}: ${what}` })
    if (outcome.times !== undefined) this.count(outcome, outcome.times)
  }

  private count({ end, index, mark, phase, workload }: Outcome, times: number): void {
    if (times > 1) {
      this.twice.set(phase, (this.twice.get(phase) ?? 0) + times - 1)
      this.violations.push({ phase, index, what: `${workload}: took place ${times} times (${mark})` })
    }
    if (times === 0 && end === "completed") {
      this.violations.push({ phase, index, what: `${workload}: was a success and never took place (${mark})` })
    }
  }

  /** Takes what a sandbox has counted: a line for each run that began. A batch has a line for each job. */
  counted(phase: string, lines: ReadonlyArray<string>): void {
    const times = new Map<string, number>()
    for (const line of lines) {
      if (line !== "") times.set(line, (times.get(line) ?? 0) + 1)
    }
    for (const outcome of this.outcomes) {
      if (outcome.phase !== phase || !outcome.isCounted) continue
      const own = [...times].filter(([mark]) => mark.split("~")[0] === outcome.mark)
      this.count(outcome, Math.max(0, ...own.map(([, count]) => count)))
    }
  }

  /** Takes what was left of a host. */
  leave(phase: string, what: ReadonlyArray<string>): void {
    this.left.set(phase, (this.left.get(phase) ?? 0) + what.length)
    for (const one of what) this.violations.push({ phase, index: 0, what: `left: ${one}` })
  }
}
