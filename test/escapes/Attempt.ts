/**
 * Attempts to get out of a sandbox, and what they are judged by.
 */
import { Effect, type Scope } from "effect"
import type { Language } from "../../src/CodeContext.js"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import type { CreateSandboxOptions } from "../../src/Options.js"
import type { Arena } from "./Arena.js"

/**
 * What an attempt showed: whether the wall held, and what the wall said, or what was reached.
 */
export interface Verdict {
  readonly outcome: "held" | "escaped" | "unclear" | "not made"
  readonly how: string
}

/**
 * The limits that a host may lack the means to enforce; the names are those of the guarantees of `sandbox doctor`, and
 * `pausing` is that of a freezer.
 */
export type Limit =
  | "memory"
  | "process-count"
  | "processor-time"
  | "disk"
  | "user-allowances"
  | "crash-handler"
  | "pausing"

/**
 * What a sandbox may use.
 */
export type Resources = Exclude<CreateSandboxOptions["resources"], undefined>

/**
 * One attempt.
 */
export interface Attempt {
  readonly id: string
  readonly title: string
  /** What is to stop it. */
  readonly wall: string
  /** A sandbox for it alone, with these resources: for what would disturb the other attempts. */
  readonly alone?: Resources
  /** The limit that it runs against. Where the host says of it that it is `soft`, getting past it is that, and no escape. */
  readonly limit?: Limit
  /**
   * What it is about, where not every agent has that: an interpreter for Python; an agent that is the first process of its
   * namespace, which no code can end; terminals.
   */
  readonly about?: "interpreter" | "first process" | "terminal"
  /** Why it cannot be made here, if so. */
  readonly without?: () => string | undefined
  readonly make: (arena: Arena) => Effect.Effect<Verdict, AnySandboxSDKError, Scope.Scope>
}

/**
 * A family of attempts.
 */
export interface Family {
  readonly name: string
  readonly title: string
  readonly attempts: ReadonlyArray<Attempt>
}

export const held = (how: string): Verdict => ({ outcome: "held", how })
export const escaped = (how: string): Verdict => ({ outcome: "escaped", how })
export const unclear = (how: string): Verdict => ({ outcome: "unclear", how })

const lines = (said: string, word: string): ReadonlyArray<string> =>
  said.split("\n").flatMap((line) => line.startsWith(`${word} `) ? [line.slice(word.length + 1).trim()] : [])

/**
 * Judges by what a program said: one line `ESCAPED …` is enough to lose, and at least one `HELD …` is needed to win.
 */
export const judge = (said: string): Verdict => {
  const [lost] = lines(said, "ESCAPED")
  if (lost !== undefined) return escaped(lost)
  const reasons = [...new Set(lines(said, "HELD"))]
  return reasons.length > 0
    ? held(reasons.slice(0, 4).join(", "))
    : unclear(`it showed nothing: ${said.trim().slice(-300)}`)
}

/**
 * An attempt that is one program, judged by what it says.
 */
export const program = (
  language: Language,
  id: string,
  title: string,
  wall: string,
  code: string,
  options: Omit<Attempt, "id" | "title" | "wall" | "make"> & {
    readonly timeoutMs?: number
    /** What is said when the wall ends the program itself. */
    readonly ended?: string
  } = {}
): Attempt => {
  const { ended, timeoutMs, ...rest } = options
  return {
    id,
    title,
    wall,
    ...rest,
    make: (arena) =>
      Effect.map(
        arena.judged(language, code, timeoutMs),
        (verdict) =>
          verdict.outcome === "unclear" && ended !== undefined && verdict.how.includes(ended) ? held(ended) : verdict
      )
  }
}

type Shape = Parameters<typeof program> extends [Language, ...infer Rest] ? Rest : never

export const python = (...args: Shape): Attempt => program("python", ...args)
export const bash = (...args: Shape): Attempt => program("bash", ...args)
export const javascript = (...args: Shape): Attempt => program("javascript", ...args)
