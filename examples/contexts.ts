// Each context is an interpreter with variables, directory and environment of its own.
import { Console, Effect } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })
  const blue = yield* sandbox.createCodeContext({ language: "python", envVars: { COLOR: "blue" } })
  const script = yield* sandbox.createCodeContext({ language: "typescript" })

  yield* sandbox.runCode("x = 'the default context'")
  yield* sandbox.runCode("import os; x = os.environ['COLOR']", { contextId: blue.id })
  yield* sandbox.runCode("const x: string = `TypeScript ${1 + 1}`", { contextId: script.id })

  const show = (contextId?: string) =>
    Effect.map(sandbox.runCode("x", contextId === undefined ? {} : { contextId }), ({ execution }) => execution.text)
  yield* Console.log(yield* show())
  yield* Console.log(yield* show(blue.id))
  yield* Console.log(yield* show(script.id))

  const contexts = yield* sandbox.listCodeContexts()
  yield* Console.log(`contexts: ${contexts.map((context) => context.language).sort().join(", ")}`)
  yield* sandbox.deleteCodeContext(blue.id)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
