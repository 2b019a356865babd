// A program that has sandboxes waiting and one in use when its parent kills it.
import { SandboxSDK } from "sandbox-sdk/promise"

const sdk = await SandboxSDK.local({ dataDirectory: process.argv[2], pool: { size: 2 } })
const { sandbox } = await sdk.createSandbox({ templateId: "python" })
process.send?.(sandbox.id)
await new Promise(() => setInterval(() => {}, 1_000))
