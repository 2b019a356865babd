// Every failure is one of six classes, and the compiler knows which of them a call can have.
import { Console, Effect } from "effect"
import { Sandbox, SandboxSDKError } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  const attempt = (code: string, timeoutMs = 10_000) =>
    sandbox.runCode(code, { timeoutMs }).pipe(
      Effect.flatMap(({ execution }) => Console.log(`value: ${execution.text}`)),
      Effect.catchTags({
        ExecutionError: (error) => Console.log(`the code raised ${error.name}: ${error.value}`),
        TimeoutError: (error) =>
          Console.log(
            `stopped after ${error.timeoutMs} ms; it had printed ${JSON.stringify(error.execution?.logs.stdout)}`
          ),
        SandboxError: (error) => Console.log(`the sandbox could not: ${error.code}`),
        SandboxSDKError: (error) => Console.log(`a bad call: ${error.field}`)
      })
    )

  yield* attempt("21 * 2")
  yield* attempt("{}['missing']")
  yield* attempt("print('working')\nwhile True: pass", 300)
  yield* attempt("import os; os._exit(1)")
  yield* attempt("'the next run has a fresh interpreter'")
  yield* attempt("1", -5)

  const error = yield* Effect.flip(sandbox.readFile("/etc/shadow"))
  yield* Console.log(`one of ours: ${error instanceof SandboxSDKError}, ${error._tag}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
