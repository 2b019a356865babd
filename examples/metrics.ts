// What this instance of the layer has done so far.
import { Console, Effect } from "effect"
import { Sandbox, SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  yield* sandbox.runCode("sum(range(1000))")
  yield* Effect.flip(sandbox.runCode("1 / 0")) // The code raised, but the request was answered: a success.
  yield* Effect.flip(sandbox.readFile("missing.txt")) // A failure.

  const metrics = yield* sdk.getMetrics
  yield* Console.log(`requests: ${metrics.totalRequests}`)
  yield* Console.log(`successful: ${metrics.successfulRequests}, failed: ${metrics.failedRequests}`)
  yield* Console.log(`active sandboxes: ${metrics.activeSandboxes}`)
  yield* Console.log(`on average: ${metrics.averageResponseTime.toFixed(1)} ms`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
