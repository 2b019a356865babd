// Snapshots and forks: the files of a sandbox at one moment, for sandboxes that go on from there, each by itself.
import { Console, Effect } from "effect"
import { Sandbox, SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const sandbox = yield* Sandbox.make({ templateId: "python" })
  yield* sandbox.writeFile("numbers.txt", "1 2 3")

  const snapshot = yield* sandbox.snapshot({ name: "three numbers" })
  yield* sandbox.writeFile("numbers.txt", "nothing of use")
  const { sandbox: restored } = yield* sdk.createSandbox({ fromSnapshot: snapshot.id })
  yield* Console.log(`from the snapshot: ${yield* sdk.readFile(restored.id, "numbers.txt")}`)

  yield* sandbox.writeFile("numbers.txt", "10 20")
  const forks = yield* sandbox.fork(2)
  yield* Effect.forEach(forks, (fork, index) => fork.writeFile("numbers.txt", `10 20 ${index}`))
  for (const each of [sandbox, ...forks]) {
    const { execution } = yield* each.runCode("sum(map(int, open('numbers.txt').read().split()))")
    yield* Console.log(`sum: ${execution.text}`)
  }
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
