/**
 * How long programs take to begin.
 */
import { Effect } from "effect"
import { conversation, program } from "../References.js"
import { Failed, inTurns, rounds, type Row, timed, times } from "../Row.js"

const failed = (cause: unknown) => new Failed({ message: String(cause), cause })

const ROOT = new URL("../../../", import.meta.url).pathname

/** The milliseconds that an import takes in a Node that has just started, as that Node measures them. */
const importing = (specifier: string) =>
  Effect.scoped(Effect.gen(function*() {
    const code = `const start = performance.now(); await import(${JSON.stringify(specifier)}); ` +
      "console.log(performance.now() - start)"
    const { next } = yield* conversation(process.execPath, ["--input-type=module", "-e", code])
    return Number(yield* next)
  }))

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "import",
    title: "import of sandbox-sdk/promise in a fresh Node",
    reference: "import of e2b",
    measure: (effort) =>
      Effect.map(
        inTurns(rounds(effort, 15), importing(`${ROOT}dist/promise.js`), importing("e2b")),
        (found) => [times(found, 0.5)]
      ).pipe(Effect.mapError(failed))
  },
  {
    id: "cli",
    title: "sandbox --version",
    reference: "node -e 0",
    measure: (effort) =>
      Effect.map(
        inTurns(
          rounds(effort, 15),
          timed(program(process.execPath, [`${ROOT}dist/cli/sandbox.js`, "--version"])),
          timed(program(process.execPath, ["-e", "0"]))
        ),
        (found) => {
          const { goal: _, ...finding } = times(found, 1)
          return [finding]
        }
      ).pipe(Effect.mapError(failed))
  }
]
