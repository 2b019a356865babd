/**
 * Runs of code.
 */
import { Effect } from "effect"
import type { Language } from "../../../src/CodeContext.js"
import type { Channels } from "../Witness.js"
import { orSeeError, seeEvents, seeExecution } from "./events.js"
import { program, type Shape, shown, stderrOf, stdoutOf } from "./programs.js"
import type { Workload } from "./Workload.js"

const saidBy = (language: Language, shape: Shape): Channels => {
  const result = shown[language]
  return {
    stdout: Buffer.from(stdoutOf(shape)),
    stderr: Buffer.from(stderrOf),
    ...(result === undefined ? {} : { results: Buffer.from(`${result}\n`) })
  }
}

const quiet = ({ quietMs = 0 }: Shape) => ({ quietMs })

/** As a stream. */
export const streamed = (name: string, language: Language, shape: Shape): Workload => ({
  name,
  isCounted: true,
  ...quiet(shape),
  said: () => ({ ...saidBy(language, shape), end: Buffer.from(language === "bash" ? "0\n" : "over\n") }),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    seeEvents(witness, sdk.runCodeStream(sandboxId, program[language](counter, mark, shape), { language }))
})

/** As a call. */
export const called = (name: string, language: Language, shape: Shape): Workload => ({
  name,
  isCounted: true,
  ...quiet(shape),
  said: () => saidBy(language, shape),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    sdk.runCode(sandboxId, program[language](counter, mark, shape), { language }).pipe(
      Effect.map(({ execution }) => seeExecution(witness, execution)),
      (call) => orSeeError(witness, call)
    )
})
