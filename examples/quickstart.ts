// The whole of it in one run: a sandbox on this machine, live output, a value, a typed error, and nothing left behind.
import { Console, Effect } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const slowly = `
import time
for n in range(4):
    print(f"line {n + 1} of 4")
    time.sleep(0.5)
sum(range(101))
`

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python", name: "quickstart" })
  yield* Console.log(`sandbox ${sandbox.id} (${sandbox.info.templateId})`)

  const { execution, metadata } = yield* sandbox.runCode(slowly, {
    onStdout: ({ line }) => Console.log(`  ${line.trimEnd()}`)
  })
  yield* Console.log(`value: ${execution.text}`)
  yield* Console.log(`duration: ${Math.round(metadata.duration ?? 0)} ms`)

  yield* sandbox.runCode("1 / 0").pipe(
    Effect.catchTag("ExecutionError", (error) => Console.log(`typed error: ${error.name}: ${error.value}`))
  )
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
console.log("sandbox deleted")
