// The same as basic.ts without Effect, and what else a plain TypeScript caller needs: promises, async iterables, `catch`.
import { ExecutionError, SandboxSDK } from "sandbox-sdk/promise"

const sdk = await SandboxSDK.local()
try {
  const { sandbox } = await sdk.createSandbox({ templateId: "python", name: "My Sandbox" })
  console.log(`status: ${await sdk.getSandboxStatus(sandbox.id)}`)

  const { execution } = await sdk.runCode(sandbox.id, "print('Hello, World!')\n6 * 7", {
    onStdout: ({ line }) => console.log(`output: ${line.trimEnd()}`)
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

  await sdk.deleteSandbox(sandbox.id)
  console.log(`sandboxes left: ${(await sdk.listSandboxes()).length}`)
} finally {
  await sdk.disconnect()
}
