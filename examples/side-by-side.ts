// Several sandboxes at once: each has files, processes and limits of its own, and none knows of the others.
import { Console, Effect } from "effect"
import { Sandbox, SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const countPrimes = (from: number, to: number) => `
open("range.txt", "w").write("${from} to ${to}")
sum(all(n % d for d in range(2, int(n ** 0.5) + 1)) for n in range(${from}, ${to}))
`

const ranges = [[2, 10_000], [10_000, 20_000], [20_000, 30_000]] as const

const work = ([from, to]: typeof ranges[number]) =>
  Effect.scoped(Effect.gen(function*() {
    const sandbox = yield* Sandbox.make({ templateId: "python", metadata: { job: "primes" }, resources: { cpus: 0.5 } })
    const { execution } = yield* sandbox.runCode(countPrimes(from, to))
    // Every sandbox has a file of this name, and sees only its own.
    return { range: yield* sandbox.readFile("range.txt"), primes: Number(execution.text) }
  }))

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const results = yield* Effect.forEach(ranges, work, { concurrency: "unbounded" })
  for (const { primes, range } of results) {
    yield* Console.log(`${range}: ${primes} primes`)
  }
  yield* Console.log(`together: ${results.reduce((sum, { primes }) => sum + primes, 0)}`)
  yield* Console.log(`sandboxes left: ${(yield* sdk.listSandboxes({ metadata: { job: "primes" } })).length}`)
})

await Effect.runPromise(program.pipe(Effect.provide(layerLocal())))
