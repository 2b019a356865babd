// Ctrl-C (SIGINT) and SIGTERM interrupt the program: the code is stopped, the sandbox deleted, the exit status 0.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const endless = `
import itertools, time
for n in itertools.count(1):
    print(f"beat {n}")
    time.sleep(0.5)
`

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })
  yield* Effect.addFinalizer(() => Console.log("stopped; deleting the sandbox"))
  yield* Console.log(`process ${process.pid} runs until it is told to stop`)
  yield* sandbox.runCode(endless, {
    timeoutMs: 3_600_000,
    captureOutput: false,
    onStdout: ({ line }) => Console.log(line.trimEnd())
  })
})

program.pipe(
  Effect.scoped,
  Effect.provide(layerLocal()),
  Effect.ensuring(Console.log("nothing is left")),
  NodeRuntime.runMain
)
