// The program of basic.ts over HTTP: another layer is all that changes. (The server is mostly somewhere else.)
import { Console, Effect, Layer } from "effect"
import { SandboxConfig, SandboxSDK } from "sandbox-sdk"
import { serve } from "sandbox-sdk/server"

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

const server = await serve({ port: 0, apiKeys: ["a-key-for-this-example"] })
console.log(`server at ${server.url}`)

const remote = SandboxSDK.layerFetch.pipe(
  Layer.provide(SandboxConfig.layer({ serverUrl: server.url, apiKey: "a-key-for-this-example" }))
)
await Effect.runPromise(program.pipe(Effect.provide(remote))).finally(server.close)
