// A program that starts sandboxes and never gets to end them: its parent kills it, or it ends in the middle of things.
import { SandboxSDK } from "sandbox-sdk/promise"

const [mark, ending = "wait", isolation = "auto", image] = process.argv.slice(2)
const sdk = await SandboxSDK.local({ isolation, ...(image === undefined ? {} : { docker: { image } }) })
for (const templateId of ["python", "javascript"]) {
  const { sandbox } = await sdk.createSandbox({ templateId })
  await sdk.runTerminal(sandbox.id, `setsid bash -c 'exec -a ${mark} sleep 1000' >/dev/null 2>&1 &`)
  void sdk.runTerminal(sandbox.id, `bash -c 'exec -a ${mark} sleep 1000'`).catch(() => {})
  void sdk.runCode(sandbox.id, templateId === "python" ? "while True: pass" : "while (true) {}").catch(() => {})
}
process.on("message", () => {
  if (ending === "exit") {
    process.exit(3)
  }
  setTimeout(() => {
    throw new Error("on purpose")
  })
})
await new Promise((resolve) => setTimeout(resolve, 300))
process.send?.("up")
