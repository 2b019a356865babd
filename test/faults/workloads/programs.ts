/**
 * Programs that leave their mark in a file and then say what is known beforehand, in each language.
 */
import type { Language } from "../../../src/CodeContext.js"
import { lines, WORDS } from "./text.js"

/** What a program is to say. */
export interface Shape {
  /** How many lines on standard output. */
  readonly lines: number
  /** Milliseconds before each. */
  readonly paceMs?: number
  /** How many characters its one long line has. */
  readonly long?: number
  /** Milliseconds for which nothing happens after half of the lines. */
  readonly quietMs?: number
}

const LONG = "長"
const PIECES = "ж漢😀"
const COMPLAINT = "ungültig ✗"

export const stdoutOf = ({ lines: count, long = 0 }: Shape): string =>
  `${lines(count)}${PIECES}\n${LONG.repeat(long)}\n`

export const stderrOf = `${COMPLAINT}\n`.repeat(3)

/** The value of the last expression. */
export const VALUE = "✓ 漢"

/** How each language shows it. */
export const shown: Readonly<Record<Language, string | undefined>> = {
  python: `'${VALUE}'`,
  javascript: `'${VALUE}'`,
  typescript: `'${VALUE}'`,
  bash: undefined
}

const python = (counter: string, mark: string, { lines, long = 0, paceMs = 0, quietMs = 0 }: Shape): string => `
import os, sys, time
with open(${JSON.stringify(counter)}, "a") as counter:
    counter.write("${mark}\\n")
with open("/tmp/pid-${mark}", "w") as file:
    file.write(str(os.getpid()))
for number in range(${lines}):
    if ${paceMs}: time.sleep(${paceMs / 1000})
    if ${quietMs} and number == ${Math.floor(lines / 2)}: time.sleep(${quietMs / 1000})
    print(f"{number:05d} ${WORDS}", flush=${paceMs + quietMs > 0 ? "True" : "False"})
for byte in "${PIECES}".encode():
    sys.stdout.buffer.write(bytes([byte]))
    sys.stdout.flush()
print()
print("${LONG}" * ${long})
for _ in range(3): print("${COMPLAINT}", file=sys.stderr)
"${VALUE}"
`

const javascript = (counter: string, mark: string, { lines, long = 0, paceMs = 0, quietMs = 0 }: Shape): string => `
const fs = await import("node:fs")
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
fs.appendFileSync(${JSON.stringify(counter)}, "${mark}\\n")
fs.writeFileSync("/tmp/pid-${mark}", String(process.pid))
for (let number = 0; number < ${lines}; number++) {
  if (${paceMs}) await pause(${paceMs})
  if (${quietMs} && number === ${Math.floor(lines / 2)}) await pause(${quietMs})
  console.log(String(number).padStart(5, "0") + " ${WORDS}")
}
for (const byte of Buffer.from("${PIECES}")) process.stdout.write(Uint8Array.of(byte))
process.stdout.write("\\n" + "${LONG}".repeat(${long}) + "\\n")
for (let i = 0; i < 3; i++) console.error("${COMPLAINT}")
"${VALUE}"
`

/** It also does as a command. */
const bash = (counter: string, mark: string, { lines, long = 0, paceMs = 0, quietMs = 0 }: Shape): string => `
printf '${mark}\\n' >> ${counter}
printf '%s' "$$" > /tmp/pid-${mark}
for ((number = 0; number < ${lines}; number++)); do
  ${paceMs > 0 ? `sleep ${paceMs / 1000}` : ":"}
  ${quietMs > 0 ? `if ((number == ${Math.floor(lines / 2)})); then sleep ${quietMs / 1000}; fi` : ":"}
  printf '%05d %s\\n' "$number" '${WORDS}'
done
${[...Buffer.from(PIECES)].map((byte) => `printf '\\x${byte.toString(16)}'`).join("\n")}
printf '\\n'
${long > 0 ? `printf '${LONG}%.0s' $(seq ${long})` : ":"}
printf '\\n'
for i in 1 2 3; do printf '%s\\n' '${COMPLAINT}' >&2; done
`

/** The program. */
export const program: Readonly<Record<Language, (counter: string, mark: string, shape: Shape) => string>> = {
  python,
  javascript,
  typescript: javascript,
  bash
}
