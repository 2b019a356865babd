// Create a sandbox, run code in it, delete it. (`Sandbox.make` of the other examples deletes by itself.)
import { Console, Effect } from "effect"
import { SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const { sandbox } = yield* sdk.createSandbox({ templateId: "python", name: "My Sandbox" })
  yield* Console.log(`status: ${yield* sdk.getSandboxStatus(sandbox.id)}`)

  const result = yield* sdk.runCode(sandbox.id, "print('Hello, World!')\n6 * 7")
  yield* Console.log(`output: ${result.execution.logs.stdout.join("").trimEnd()}`)
  yield* Console.log(`value: ${result.execution.text}`)

  yield* sdk.deleteSandbox(sandbox.id)
  const left = yield* sdk.listSandboxes()
  yield* Console.log(`sandboxes left: ${left.length}`)
})

await Effect.runPromise(program.pipe(Effect.provide(layerLocal())))
