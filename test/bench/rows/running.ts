/**
 * One round trip to a sandbox that is there.
 */
import { Effect } from "effect"
import { bareHttp, bubblewrap, e2b, ipykernel, program, python } from "../References.js"
import { AT_ONCE, atOnce, explained, inTurns, rates, rounds, type Row, timed, times } from "../Row.js"
import { local, sandboxOf, served } from "../Subjects.js"

/** As many turns as it takes until Node has compiled what is on the way, of either. */
const WARM_UP = 500

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "run-local",
    title: "runCode(\"1+1\"), engine in this process",
    reference: "a round trip of ipykernel, by jupyter_client",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const kernel = yield* ipykernel
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        return [times(yield* inTurns(rounds(effort, 600), timed(sdk.runCode(id, "1+1")), kernel, WARM_UP), 0.12)]
      })))
  },
  {
    id: "run-http",
    title: "runCode(\"1+1\"), over HTTP",
    reference: "runCode of @e2b/code-interpreter against a server that executes nothing",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const theirs = yield* e2b
        const { sdk } = yield* served()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        return [times(yield* inTurns(rounds(effort, 600), timed(sdk.runCode(id, "1+1")), timed(theirs), WARM_UP), 1.2)]
      })))
  },
  {
    id: "terminal-local",
    title: "runTerminal(\"true\"), engine in this process",
    reference: "/bin/true, started from Node",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const found = yield* inTurns(
          rounds(effort, 400),
          timed(sdk.runTerminal(id, "true")),
          timed(program("/bin/true", [])),
          50
        )
        return [times(found, 1.3)]
      })))
  },
  {
    id: "context-new",
    title: "a new code context in a running sandbox",
    reference: "python3 -I -c pass, started from Node",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const create = Effect.gen(function*() {
          const start = performance.now()
          const context = yield* sdk.createCodeContext(id)
          const took = performance.now() - start
          yield* sdk.deleteCodeContext(context.id)
          return took
        })
        return [times(yield* inTurns(rounds(effort, 100), create, timed(python)), 0.3)]
      })))
  },
  {
    id: "run-many",
    title: `runCode("1+1") over HTTP, ${AT_ONCE} at once, a second`,
    reference: "requests of a bare node:http server a second, by the same HTTP client",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const bare = yield* bareHttp
        const { sdk } = yield* served()
        // As many contexts as runs at once: those of one context queue.
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const contexts = yield* Effect.forEach(Array.from({ length: AT_ONCE }), () => sdk.createCodeContext(id))
        let turn = 0
        const run = Effect.suspend(() => {
          const contextId = contexts[turn++ % AT_ONCE]?.id
          return sdk.runCode(id, "1+1", { contextId })
        })
        const total = 640
        const found = yield* inTurns(rounds(effort, 12), atOnce(total, run), atOnce(total, bare))
        return [rates(found, total, 0.25, "", "a second")]
      })))
  },
  {
    id: "bubblewrap",
    title: "bubblewrap around python3 -I -c pass, for comparison",
    reference: "python3 -I -c pass, started from Node",
    measure: (effort) =>
      explained(Effect.map(inTurns(rounds(effort, 40), timed(bubblewrap), timed(python)), (found) => {
        const { goal: _, ...finding } = times(found, 1)
        return [finding]
      }))
  }
]
