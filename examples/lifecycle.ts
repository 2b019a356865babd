// Stop and start keep the files and end the processes; a sandbox with an expiry time deletes itself.
import { Console, Effect, Schedule } from "effect"
import { SandboxSDK } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const { sandbox } = yield* sdk.createSandbox({ templateId: "python", expiryTime: 60_000 })

  yield* sdk.runCode(sandbox.id, "open('note.txt', 'w').write('still here')\nx = 1")
  yield* sdk.stopSandbox(sandbox.id)
  yield* Console.log(`after stop: ${yield* sdk.getSandboxStatus(sandbox.id)}`)

  yield* sdk.startSandbox(sandbox.id)
  yield* Console.log(`files: ${yield* sdk.readFile(sandbox.id, "note.txt")}`)
  const error = yield* Effect.flip(sdk.runCode(sandbox.id, "x"))
  yield* Console.log(`variables: ${error._tag === "ExecutionError" ? `${error.name}: ${error.value}` : error._tag}`)

  const { expiresAt } = yield* sdk.extendSandbox(sandbox.id, 200)
  yield* Console.log(`expires: ${expiresAt === undefined ? "never" : "soon"}`)
  const gone = yield* sdk.getSandbox(sandbox.id).pipe(
    Effect.repeat(Schedule.spaced("50 millis")),
    Effect.flip
  )
  yield* Console.log(`then: ${gone._tag === "SandboxError" ? gone.code : gone._tag}`)
})

await Effect.runPromise(program.pipe(Effect.provide(layerLocal())))
