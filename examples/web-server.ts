// A web server in a sandbox, reached from here: by HTTP, and its answers as they are written.
import { SandboxSDK } from "sandbox-sdk/promise"

const PROGRAM = `
const { createServer } = require("node:http")

createServer(async (request, response) => {
  if (request.method === "POST") {
    // What comes in goes out again, in capitals, while it comes.
    for await (const piece of request) response.write(piece.toString().toUpperCase())
    response.end()
  } else {
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify({ path: request.url, visits: ++visits }))
  }
}).listen(8000, "127.0.0.1")

let visits = 0
`

await using sdk = await SandboxSDK.local()
await using sandbox = await sdk.sandbox({ templateId: "javascript" })

await sandbox.writeFile("server.cjs", PROGRAM)
await sandbox.runTerminal("nohup node server.cjs > server.log 2>&1 &")

// The URL works by itself, for whoever has it, and for this port alone.
const { url } = await sandbox.waitForPort(8000, { timeoutMs: 30_000 })

for (const path of ["first", "second?with=query"]) {
  console.log(await (await fetch(new URL(path, url))).json())
}
console.log(await (await fetch(url, { method: "POST", body: "said from outside" })).text())

await sandbox.closePort(8000)
console.log("closed:", await fetch(url).then(({ status }) => status, () => "nobody answers"))
