// A program that starts sandboxes and never gets to end them: its parent kills it with SIGKILL.
import { SandboxSDK } from "sandbox-sdk/promise"

const sdk = await SandboxSDK.local()
const [mark] = process.argv.slice(2)
for (const templateId of ["python", "javascript"]) {
  const { sandbox } = await sdk.createSandbox({ templateId })
  await sdk.runTerminal(sandbox.id, `setsid bash -c 'exec -a ${mark} sleep 1000' >/dev/null 2>&1 &`)
  void sdk.runTerminal(sandbox.id, `bash -c 'exec -a ${mark} sleep 1000'`).catch(() => {})
  void sdk.runCode(sandbox.id, templateId === "python" ? "while True: pass" : "while (true) {}").catch(() => {})
}
await new Promise((resolve) => setTimeout(resolve, 300))
console.log("up")
