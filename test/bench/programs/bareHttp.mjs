// A server of node:http that does nothing but answer: what HTTP itself costs.
//
// GET /tick answers a few bytes, GET /file?path= sends a file, PUT /file?path= takes one.
import { createReadStream, createWriteStream } from "node:fs"
import { createServer } from "node:http"
import { pipeline } from "node:stream"

const answer = Buffer.from(JSON.stringify({ logs: { stdout: [], stderr: [] }, results: [{ text: "2" }] }))

const server = createServer({ noDelay: true }, (request, response) => {
  const url = new URL(request.url, "http://127.0.0.1")
  const path = url.searchParams.get("path")
  if (url.pathname === "/file" && request.method === "GET") {
    response.writeHead(200, { "content-type": "application/octet-stream" })
    pipeline(createReadStream(path, { highWaterMark: 256 * 1024 }), response, () => {})
    return
  }
  if (url.pathname === "/file") {
    pipeline(request, createWriteStream(path), () => response.end("{}"))
    return
  }
  request.resume().on("end", () => {
    response.writeHead(200, { "content-type": "application/json", "content-length": answer.length }).end(answer)
  })
})

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })))
