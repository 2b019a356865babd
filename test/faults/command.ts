/**
 * `npm run faults`: lets everything go wrong that can, and prints what has come of it. `--faults N` (2500 by default) is
 * about how often, `--seed N` makes it the same as before, `--only PHASE` or `--only PHASE:N` a part of it. Ends with 1 when
 * something was lost, came twice, ran twice, hung, failed without a cause or was left behind.
 */
import { Cause, Effect, Exit, Schema } from "effect"
import { parseArgs } from "node:util"
import { phases } from "./phases/index.js"
import type { Programs } from "./ServerProcess.js"
import { run } from "./suite.js"
import { table } from "./table.js"
import { Tally } from "./Tally.js"

class Usage extends Error {}

const readPrograms = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Struct({ server: Schema.String, clock: Schema.String }))
)

const whole = (name: string, text: string): number => {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new Usage(`--${name} takes a whole number, not ${text}.`)
  return number
}

const main = async (): Promise<number> => {
  const [given, ...args] = process.argv.slice(2)
  const programs: Programs = readPrograms(given)
  const { values } = parseArgs({
    args,
    options: {
      faults: { type: "string", default: "2500" },
      seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
      only: { type: "string", multiple: true, default: [] }
    }
  })
  const seed = whole("seed", values.seed)
  const unknown = values.only.find((text) => !phases.some(({ id }) => id === text.split(":")[0]))
  if (unknown !== undefined) {
    throw new Usage(`There is no phase ${unknown}. There are: ${phases.map(({ id }) => id).join(", ")}.`)
  }
  console.error(`seed: ${seed}`)
  const stopped = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.abort())
  const tally = new Tally((faults) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${faults} faults`)
  })
  const exit = await Effect.runPromiseExit(
    run(tally, {
      seed,
      programs,
      faults: whole("faults", values.faults),
      only: values.only,
      onPhase: ({ title }) => console.error(`${process.stderr.isTTY ? "\r\u001b[K" : ""}${title}`)
    }),
    { signal: stopped.signal }
  )
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K")
  console.log(table(phases, tally, seed))
  if (Exit.isFailure(exit)) {
    if (!Exit.isInterrupted(exit)) throw Cause.squash(exit.cause)
    console.log("It was stopped before its end: this is what there was up to there.")
    return 130
  }
  return tally.violations.length === 0 ? 0 : 1
}

main().then(
  // Not by process.exit: it would cut off what a pipe has not taken yet.
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const isUsage = error instanceof Usage || (error instanceof TypeError && "code" in error)
    console.error(isUsage ? error.message : error)
    process.exitCode = isUsage ? 64 : 70
  }
)
