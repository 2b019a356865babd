// A program that creates sandboxes, runs code in each, and prints what it keeps for one of them: objects, and bytes of buffers.
import { setTimeout } from "node:timers/promises"
import { queryObjects } from "node:v8"
import { SandboxSDK } from "sandbox-sdk/promise"

const COUNT = 10

const sdk = await SandboxSDK.local()

const create = async () => {
  for (let made = 0; made < COUNT; made++) {
    const { sandbox } = await sdk.createSandbox({ templateId: "python" })
    await sdk.runCode(sandbox.id, "1 + 1")
  }
  await setTimeout(300)
}

// It collects garbage before it counts.
const kept = () => ({ objects: queryObjects(Object, { format: "count" }), bytes: process.memoryUsage().arrayBuffers })

try {
  // What all of them share is there with the first ones.
  await create()
  const before = kept()
  await create()
  const after = kept()
  const [objects, bytes] = ["objects", "bytes"].map((what) => (after[what] - before[what]) / COUNT)
  console.log(JSON.stringify({ objects, bytes }))
} finally {
  await sdk.disconnect()
}
