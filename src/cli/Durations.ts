/**
 * Durations as people type them.
 */
import * as Options from "@effect/cli/Options"
import * as Option from "effect/Option"

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The longest that a timer takes. */
const LONGEST = 2_147_483_647

/**
 * Milliseconds from `1.5`, `500ms`, `30s`, `5m`, `2h`, `1d`; a bare number is seconds, as for timeout(1).
 */
export const parse = (text: string): Option.Option<number> => {
  const [, number, unit] = /^(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)?$/.exec(text.trim()) ?? []
  const ms = Math.round(Number(number) * (units[unit ?? "s"] ?? NaN))
  return ms >= 1 && ms <= LONGEST ? Option.some(ms) : Option.none()
}

/**
 * An option that is a duration.
 */
export const option = (name: string) =>
  Options.text(name).pipe(
    Options.withPseudoName("DURATION"),
    Options.filterMap(parse, `--${name} takes a duration from 1ms to 24d, such as 30s, 5m or 1.5 (seconds).`)
  )

/**
 * Milliseconds in words.
 */
export const show = (ms: number): string => {
  const [unit = "ms", size = 1] = Object.entries(units).reverse().find(([, size]) => ms >= size) ?? []
  return `${Math.round(ms / size * 10) / 10} ${unit}`
}
