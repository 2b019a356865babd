// The same without Effect: promises, async iterables, `try` and `catch`.
import { ExecutionError, SandboxSDK } from "sandbox-sdk/promise"

const sdk = await SandboxSDK.local()
try {
  const { sandbox } = await sdk.createSandbox({ templateId: "python" })

  const { execution } = await sdk.runCode(sandbox.id, "print('Hello')\n42", {
    onStdout: ({ line }) => console.log(`stdout: ${line.trimEnd()}`)
  })
  console.log(`value: ${execution.text}`)

  for await (const event of sdk.runTerminalStream(sandbox.id, "echo from the shell; exit 3")) {
    if (event._tag === "Stdout") console.log(event.text.trimEnd())
    if (event._tag === "Ended") console.log(`exit status ${event.exitCode}`)
  }

  try {
    await sdk.runCode(sandbox.id, "int('x')")
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error
    console.log(`raised: ${error.name}`)
  }

  const stop = AbortSignal.timeout(300)
  await sdk.runCode(sandbox.id, "while True: pass", { signal: stop }).catch(() => console.log("aborted and stopped"))
} finally {
  await sdk.disconnect()
}
