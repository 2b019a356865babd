// A server that answers @e2b/code-interpreter as a sandbox would, and executes nothing: what their client costs.
import { createServer } from "node:http"

const events = [
  { type: "number_of_executions", execution_count: 1 },
  { type: "result", is_main_result: true, text: "2" },
  { type: "end_of_execution" }
].map((event) => `${JSON.stringify(event)}\n`).join("")

const server = createServer({ noDelay: true }, (request, response) => {
  request.resume().on("end", () => {
    const created = { sandboxID: "stub", templateID: "stub", clientID: "stub", envdVersion: "0.6.4" }
    if (request.url.startsWith("/execute")) {
      response.writeHead(200, { "content-type": "application/x-ndjson" }).end(events)
    } else if (request.method === "DELETE") {
      response.writeHead(204).end()
    } else {
      response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(created))
    }
  })
})

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })))
