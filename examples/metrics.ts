// What this instance of the layer has done so far, and the metrics of the process in the text form of Prometheus.
import { Console, Effect } from "effect"
import { Metrics, Sandbox, SandboxSDK } from "sandbox-sdk"
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

  const text = yield* Metrics.renderPrometheus
  for (const line of text.split("\n").filter((line) => line.startsWith("sandbox_executions_total")).sort()) {
    yield* Console.log(line)
  }
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
