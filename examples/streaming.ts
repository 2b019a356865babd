// Output while the code runs: by callbacks, and as a stream that can be cut short.
import { Console, Effect, Stream } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const code = `
import sys, time
for n in range(3):
    print("tick", n)
    time.sleep(0.1)
print("a warning", file=sys.stderr)
display({"progress": 1.0})
"done"
`

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  // A callback returns nothing, or an effect that is run before the next one is called.
  yield* sandbox.runCode(code, {
    onStdout: ({ line }) => Console.log(`stdout: ${line.trimEnd()}`),
    onStderr: ({ line }) => Console.log(`stderr: ${line.trimEnd()}`),
    onResult: (result) => Console.log(`result: ${result.text}`),
    onError: (error) => Console.log(`error: ${error.name}`)
  })

  // Taking three pieces of output ends the stream, and that stops the endless code.
  const pieces = yield* sandbox.runCodeStream("import time\nwhile True:\n    print('more'); time.sleep(0.05)").pipe(
    Stream.filter((event) => event._tag === "Stdout"),
    Stream.take(3),
    Stream.runCount
  )
  yield* Console.log(`took ${pieces} pieces of an endless program`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
