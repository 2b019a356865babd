/**
 * From nothing to the first result.
 */
import { Effect } from "effect"
import type { SandboxSDK } from "sandbox-sdk"
import { bubblewrap } from "../References.js"
import { Failed, inTurns, rounds, type Row, timed, times } from "../Row.js"
import { local } from "../Subjects.js"

/**
 * How long a sandbox takes from `createSandbox` to its first result. It is deleted afterwards, outside of what is measured.
 */
const firstResult = (sdk: typeof SandboxSDK.Service, templateId: string) =>
  Effect.gen(function*() {
    const start = performance.now()
    const { sandbox } = yield* sdk.createSandbox({ templateId })
    yield* sdk.runCode(sandbox.id, "1+1")
    const took = performance.now() - start
    yield* sdk.deleteSandbox(sandbox.id)
    return took
  })

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "create-cold",
    title: "createSandbox to the first result, without a pool, engine in this process",
    reference: "bubblewrap around python3 -I -c pass",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        return [times(yield* inTurns(rounds(effort, 40), firstResult(sdk, "python"), timed(bubblewrap)), 1.5)]
      })).pipe(Effect.mapError((error) => new Failed({ message: error.message, cause: error })))
  }
]
